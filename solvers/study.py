"""A study: a grid of problems and methods, run side by side, kept as it goes, resumed where it stopped."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed
from joblib.externals.loky import BrokenProcessPool
from threadpoolctl import threadpool_limits

from mmdp import Problem, Selection, Status, upper_bounds
from mmdp.instances import Instance
from solvers.answer import Answer
from solvers.environment import environment
from solvers.records import UPPER_BOUNDS, Key, Record, line_of, read_records, replace_text, write_records
from solvers.rounding import rounded_instance
from solvers.shared_bounds import share_bounds
from solvers.solve import selection_of, solve
from solvers.study_plan import Plan, Run, plan_study, split_method
from solvers.workers import workers_deaf_to_ctrl_c

RECORDS, SESSIONS = "records.jsonl", "run.json"
OnRecord = Callable[[Record, int, int], None]


def run_study(
    instances: Sequence[str | Instance],
    objectives: Sequence[str],
    budgets: Sequence[int],
    methods: Sequence[str],
    *,
    time_limit: float | None = None,
    seed: int = 0,
    jobs: int | None = 1,
    out: str | Path | None = None,
    resume: bool = False,
    on_record: OnRecord | None = None,
) -> list[Record]:
    """Run every method on every problem of a grid and measure each against the best bound that any of them proved.

    Runs go through joblib: processes on this machine, or whatever `joblib.parallel_config` chose (Dask, Ray). Linear
    algebra is held to one thread per run, so that times do not depend on the neighbours. A run that fails, even one
    that takes its process along, becomes a record with `error`; the rest goes on.

    Parameters
    ----------
    instances : names (`mmdp instances`) or paths, loaded by the worker itself; or `Instance` objects.
    objectives : names of `mmdp.OBJECTIVES`.
    budgets : values of k, 0 <= k <= n.
    methods : "name" or "name:backend" as in `solvers.CATALOG`, or the aliases "greedy" and "exact"; as
        "name:backend:dtype" the solver is given tokens rounded to float64, float32, float16 or bfloat16, and its set is
        judged by the exact ones.
    time_limit : seconds for each run; None as in `solve`.
    seed : for everything random.
    jobs : runs side by side; 1 stays in this process, None leaves it to `joblib.parallel_config`.
    out : folder for records.jsonl (one line per run, written as it finishes) and run.json (machine, versions).
    resume : go on where an earlier study in `out` stopped; what finished is not run again, what failed is.
    on_record : called in this process after each run with the record, how many are finished, and how many there are.
        The bounds of a problem are shared only at the end.

    Returns
    -------
    list of Record : in the order of the grid, bounds shared (`share_bounds`).

    Raises
    ------
    ValueError, ImportError : bad input, before anything runs; see `plan_study`.
    FileExistsError : `out` already holds records and `resume` is False.

    Examples
    --------
    >>> from mmdp.instances import Instance
    >>> square = Instance("square", features=[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    >>> for record in run_study([square], ["max-min"], [2], ["greedy", "brute_force"]):
    ...     print(record.method, record.value, record.gap)
    upper_bounds None None
    greedy 2.0 0.0
    brute_force 2.0 0.0
    """
    plan = plan_study(instances, objectives, budgets, methods, time_limit=time_limit, seed=seed)
    return run_plan(plan, jobs=jobs, out=out, resume=resume, on_record=on_record)


def run_plan(
    plan: Plan,
    *,
    jobs: int | None = 1,
    out: str | Path | None = None,
    resume: bool = False,
    on_record: OnRecord | None = None,
) -> list[Record]:
    """The second half of `run_study`."""
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1, got {jobs}")
    total = len(plan.runs)
    with ExitStack() as stack:
        log, found = None, list[Record]()
        if out is not None:
            found = _open(Path(out), plan, jobs, resume)
            log = stack.enter_context((Path(out) / RECORDS).open("a", encoding="utf-8"))
        done: dict[Key, Record] = {record.key: record for record in found if record.error is None}
        pending = [run for run in plan.runs if run.key not in done]
        results = stack.enter_context(closing(_results(pending, jobs)))
        for finished, record in enumerate(results, start=total - len(pending) + 1):
            if record.status == Status.INTERRUPTED.value:
                raise KeyboardInterrupt  # a solver in this process took the signal; its run is to be repeated
            if log is not None:
                log.write(line_of(record))
                log.flush()
            done[record.key] = record
            if on_record is not None:
                on_record(record, finished, total)
    planned = {run.key for run in plan.runs}
    others = [record for record in found if record.key not in planned]
    shared = share_bounds([done[run.key] for run in plan.runs] + others)
    if out is not None:
        write_records(Path(out) / RECORDS, shared)
    return shared[:total]


def execute(run: Run) -> Record:
    """One run, wherever it happens; whatever goes wrong is in the record."""
    started = time.perf_counter()
    record = Record(*run.key)
    try:
        with threadpool_limits(limits=1):
            instance = run.load()
            data = instance.features if instance.features is not None else instance.distances
            problem = instance.problem(run.objective, run.k)
            record = replace(record, n=problem.n, dtype=str(getattr(data, "dtype", "")), gap_kind=problem.gap_kind)
            if run.method == UPPER_BOUNDS:
                return _bounds_of(problem, record, started)
            method, backend, dtype = split_method(run.method)
            posed = problem if dtype is None else rounded_instance(instance, dtype).problem(run.objective, run.k)
            selection = solve(posed, method, backend=backend or "auto", time_limit=run.time_limit, seed=run.seed)
            if dtype is not None:  # the same set, judged by the exact tokens, about which nothing is proved
                answer = Answer(selection.indices, stats=dict(selection.stats))
                selection = selection_of(problem, selection.solver, answer, selection.seconds)
                record = replace(record, dtype=dtype)
            return _record_of(selection, record)
    except Exception as error:
        seconds, trace = time.perf_counter() - started, traceback.format_exc()
        return replace(record, seconds=seconds, error=f"{type(error).__name__}: {error}", stats={"traceback": trace})


def _bounds_of(problem: Problem, record: Record, started: float) -> Record:
    bounds = upper_bounds(problem)
    return replace(
        record,
        solver=UPPER_BOUNDS,
        bound=min(bounds.values(), default=float("inf")),
        seconds=time.perf_counter() - started,
        stats=dict(bounds),
    )


def _record_of(selection: Selection, record: Record) -> Record:
    solver, _, backend = selection.solver.partition(":")
    return replace(
        record,
        solver=solver,
        backend=backend,
        value=selection.objective,
        bound=selection.bound,
        best_bound=selection.bound,
        bound_by=record.method,
        gap=selection.gap,
        proved=selection.proved,
        status=selection.status.value,
        seconds=selection.seconds,
        indices=selection.indices.tolist(),
        stats=selection.stats,
    )


def _results(runs: list[Run], jobs: int | None) -> Generator[Record]:
    """Records as they finish. When a worker dies, what it may have been running is run again, one by one."""
    left = {run.key: run for run in runs}
    while left:
        try:
            for record in _parallel(list(left.values()), jobs):
                del left[record.key]
                yield record
        except BrokenProcessPool:
            # Runs are handed out in order and only this many at once, so the culprit is among the first.
            for run in list(left.values())[: 2 * (jobs or 1)]:
                del left[run.key]
                yield _alone(run)


def _parallel(runs: list[Run], jobs: int | None) -> Generator[Record]:
    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs")
    with workers_deaf_to_ctrl_c():
        results = parallel(delayed(execute)(run) for run in runs)  # starts the workers
    with closing(results):
        yield from results


def _alone(run: Run) -> Record:
    try:
        record: Record = Parallel(n_jobs=2)([delayed(execute)(run)])[0]  # 2: a process of its own
    except BrokenProcessPool:
        return replace(Record(*run.key), error="the worker process died (killed, or out of memory)")
    return record


def read_sessions(folder: Path) -> list[dict[str, Any]]:
    """Machine, versions and arguments of each session that wrote to a folder; ValueError where the file is not ours."""
    path = folder / SESSIONS
    try:
        sessions: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["sessions"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not the run.json of a study: {error!r}") from error
    return sessions


def _open(folder: Path, plan: Plan, jobs: int | None, resume: bool) -> list[Record]:
    """Make the folder, note this session, and return what an earlier one finished."""
    folder.mkdir(parents=True, exist_ok=True)
    records, sessions = folder / RECORDS, folder / SESSIONS
    found = list[Record]()
    if records.exists():
        if not resume:
            raise FileExistsError(f"{records} already exists; resume it, or choose another folder")
        found = read_records(records)
        write_records(records, found)  # drops a last line that was cut short
    earlier = read_sessions(folder) if sessions.exists() else []
    first = plan.runs[0]
    session = {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": len(plan.runs),
        "jobs": jobs,
        "time_limit": first.time_limit,
        "seed": first.seed,
        **environment(),
    }
    replace_text(sessions, json.dumps({"sessions": [*earlier, session]}, indent=2) + "\n")
    return found

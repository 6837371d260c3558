"""The door for people and theory: look up, check, time, recompute the objective, build the Selection."""

from __future__ import annotations

import difflib
import inspect
import math
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any, get_args

import numpy as np

from mmdp import Problem, Selection, Status
from mmdp.certificates import Effort, best_certificate
from mmdp.certify import TOLERANCE
from solvers.answer import Answer, Request
from solvers.catalog import CATALOG
from solvers.solver import Solver

GREEDY = {
    "max-min": "farthest_first",
    "conditional-dpp": "greedy_map",
    "implicit-weight": "rank1",
    "max-sum": "max_sum",
}
ALIASES = ("greedy", "exact")
BACKENDS = ("gpu", "cpu", "naive")
AUTO_SECONDS = 10.0


def solve(
    problem: Problem,
    method: str = "auto",
    *,
    backend: str = "auto",
    time_limit: float | None = None,
    seed: int = 0,
    bound: Effort = "cheap",
    refine: str | None = None,
    **options: Any,
) -> Selection:
    """Choose k tokens and say how good they are.

    Parameters
    ----------
    problem : what is asked.
    method : a name of `CATALOG`; ``"greedy"``, the greedy of the objective; ``"exact"``, the best proving method for
        it; or ``"auto"``, which proves what the time allows and otherwise gives greedy + local search with the best
        bound.
    backend : ``"naive"`` (numpy, as in the paper), ``"cpu"`` (numba, OR-Tools), ``"gpu"`` (torch, Triton) or
        ``"auto"``, the fastest installed one that takes the problem, ``"cpu"`` before ``"naive"``. A problem lives in
        host memory, so ``"gpu"`` is never chosen by itself; named, it also runs without an accelerator.
    time_limit : seconds; None means 10 for ``"auto"`` and no limit for a named method.
    seed : for everything random.
    bound : what to prove about the answer of a method that proves nothing itself. ``"cheap"`` takes about ten
        milliseconds at n = 576 (`mmdp.certificates.best_certificate`); ``"full"`` takes up to seconds, and also tightens
        the bound of a proving method that was stopped; ``"none"`` leaves the bound infinite. The time does not count in
        `seconds`.
    refine : ``"leximin"``, ``"cover"`` or ``"max_sum"``: for max-min, whose optimum is an ensemble, go on to the best set
        by that second criterion among those at least as good (`refined`), in the time that is left (None: 10 s).
    options : of the method, by name; exact methods that can write their proof down have ``certify=True``.

    Returns
    -------
    Selection : with the objective recomputed from its definition, the best bound that was proved, and where there is
        one the certificate that `mmdp.check` verifies.

    Raises
    ------
    ValueError : unknown method, backend, bound or criterion, a method that does not take the objective or the
        constraints, a time limit below 0.
    TypeError : an option the method does not have, `refine` for another objective than max-min.
    ImportError : a missing optional dependency, with its pip command.

    Examples
    --------
    >>> from mmdp import MaxMinDiversity
    >>> problem = MaxMinDiversity.from_features([[1, 0], [0, 1], [-1, 0], [1, 1]], k=2)
    >>> solve(problem, "exact").indices.tolist()
    [0, 2]
    """
    if time_limit is not None and not time_limit >= 0:
        raise ValueError(f"time_limit must be >= 0 seconds, got {time_limit}")
    if bound not in get_args(Effort):
        raise ValueError(f"bound must be one of {', '.join(get_args(Effort))}, got {bound!r}")
    if refine is not None:
        from solvers.ensemble.refine import refinable, refined  # late: it solves problems itself

        refinable(problem, refine)
    if method == "auto" and time_limit is None:
        time_limit = AUTO_SECONDS
    solver = find_solver(problem, method, backend, certify=bool(options.get("certify")))
    run = solver.load()
    _check_options(solver, run, options)
    started = time.perf_counter()
    with one_blas_thread() if solver.exact else nullcontext():
        answer = run(problem, Request(time_limit, seed, started), **options)
    seconds = time.perf_counter() - started
    selection = selection_of(problem, solver.full_name, _bounded(problem, answer, bound), seconds)
    if refine is None or not len(selection.indices):
        return selection
    left = None if time_limit is None else max(0.0, time_limit - selection.seconds)
    return refined(problem, selection, refine, seed=seed, time_limit=left)


def find_solver(problem: Problem, method: str, backend: str = "auto", *, certify: bool = False) -> Solver:
    """The catalog row for a method name or alias; ValueError when there is none for this problem.

    `certify` says that a certificate is wanted, which decides what ``"exact"`` stands for.
    """
    if backend not in (*BACKENDS, "auto"):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, auto, got {backend!r}")
    if method == "greedy":
        if problem.name not in GREEDY:
            raise ValueError(f"there is no greedy for the objective {problem.name!r}, only for {', '.join(GREEDY)}")
        method = GREEDY[problem.name]
    elif method == "exact":
        from solvers.exact.best import best_method  # late: only this alias needs it

        method, backend = best_method(problem, certify), "auto"
    rows = [row for row in CATALOG if row.name == method]
    if not rows:
        names = sorted({row.name for row in CATALOG} | set(ALIASES))
        near = difflib.get_close_matches(method, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(names)}"
        raise ValueError(f"unknown method {method!r}{hint}")
    rows = [row for row in rows if row.takes(problem.name)]
    if not rows:
        names = sorted({row.name for row in CATALOG if row.takes(problem.name)})
        raise ValueError(
            f"method {method!r} does not take the objective {problem.name!r}; there are {', '.join(names)}"
        )
    if backend != "auto":
        rows = [row for row in rows if row.backend == backend]
        if not rows:
            raise ValueError(f"method {method!r} has no backend {backend!r}")
    able = [row for row in CATALOG if row.takes(problem.name) and row.honours(problem.constraints)]
    rows = [row for row in rows if row in able]
    if not rows:
        what = "forbidden pairs" if problem.constraints.forbidden_pairs else "constraints"
        raise ValueError(f"method {method!r} cannot honour {what}; {', '.join(sorted({row.name for row in able}))} can")
    rows.sort(key=lambda row: (row.backend == "gpu", BACKENDS.index(row.backend)))  # gpu only where it is named
    return next((row for row in rows if not row.missing), rows[-1])


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold linear algebra to one thread inside the block.

    A search makes many small decompositions, which more threads slow down: tenfold and more where other work runs.
    """
    limits: AbstractContextManager[Any] = _linear_algebra().limit(limits=1, user_api="blas")
    return limits


@cache
def _linear_algebra() -> Any:
    """The libraries of numpy and scipy; looking them up takes milliseconds."""
    import scipy.linalg  # noqa: F401 (compiled code calls its library, which must be loaded to be found)
    from threadpoolctl import ThreadpoolController  # late: only searches need it

    return ThreadpoolController()


def options_of(run: Any) -> list[str]:
    """The names of a solver's options."""
    return list(inspect.signature(run).parameters)[2:]


def _bounded(problem: Problem, answer: Answer, effort: Effort) -> Answer:
    """The answer with a bound that follows from the problem alone, where that is asked for and an improvement."""
    if answer.status in (Status.OPTIMAL, Status.INFEASIBLE) or (effort == "cheap" and answer.bound < math.inf):
        return answer
    proved, certificate = best_certificate(problem, effort)
    if certificate is None or proved > answer.bound:
        return answer
    return replace(answer, bound=proved, certificate=certificate)


def _check_options(solver: Solver, run: Any, options: dict[str, Any]) -> None:
    allowed = options_of(run)
    for name in options:
        if name not in allowed:
            has = ", ".join(allowed) or "none"
            raise TypeError(f"{solver.full_name} has no option {name!r}; its options: {has}")


def selection_of(problem: Problem, name: str, answer: Answer, seconds: float) -> Selection:
    """The Selection for an Answer: objective by the definition, bound never below it."""
    indices = np.asarray(answer.indices, dtype=np.int64)
    status, bound = answer.status, float(answer.bound)
    if status is Status.INFEASIBLE:
        objective = bound = -math.inf
    else:
        if len(indices) != problem.k:
            raise RuntimeError(f"{name} returned {len(indices)} tokens instead of {problem.k}")
        objective = problem.value(indices)
        slack = TOLERANCE * max(1.0, abs(objective)) if math.isfinite(objective) else 0.0
        if bound < objective - slack:
            raise RuntimeError(f"{name} claims the bound {bound}, below the objective {objective} of its own set")
        bound = objective if status is Status.OPTIMAL else max(bound, objective)
        if bound == objective:
            status = Status.OPTIMAL
    return Selection(
        indices=indices,
        objective=objective,
        bound=bound,
        status=status,
        solver=name,
        problem=f"{problem.name} n={problem.n} k={problem.k}",
        gap_kind=problem.gap_kind,
        seconds=max(0.0, seconds - answer.compile_seconds),
        stats=dict(answer.stats),
        certificate=answer.certificate,
    )

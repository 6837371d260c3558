"""The sweep: every row in turn in every round, one line of JSON for each request, taken up again where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import torch

from lmm_integration.json_lines import drop_torn_line, read_json_lines
from lmm_integration.latency.clock import Clock
from lmm_integration.latency.kernels import switch, why_not
from lmm_integration.latency.machine import machine_state
from lmm_integration.latency.memory import GIB, eager_scores, free_bytes
from lmm_integration.latency.request import Timed, timed_request
from lmm_integration.latency.rows import Row
from lmm_integration.latency.workload import Workload

RUNS, SETTINGS = "runs.jsonl", "run.json"
Line = dict[str, Any]
OnLine = Callable[[Line, int, int], None]


def run_sweep(
    model: Any,
    workload: Workload,
    rows: Sequence[Row],
    batches: Sequence[int],
    new_tokens: int,
    *,
    repeats: int,
    warmup: int,
    out: Path | None = None,
    on_line: OnLine | None = None,
) -> list[Line]:
    """Time every row at every batch size.

    Rows take turns, A B C A B C, so that a slow moment of the machine falls on all of them, and a ratio is taken within
    one round. Before the first round of a batch size every row runs `warmup` times unrecorded; after an interruption
    too. Every method answers once before that, so that a budget which it cannot serve is refused before anything is
    timed. A row that cannot run here, by its kernel or for want of memory, becomes a line with the reason in `skipped`.

    Parameters
    ----------
    rows : the first is the unpruned model with sdpa.
    new_tokens : length of the output; every shorter one is measured along.
    out : folder for `runs.jsonl`, written as it goes. A round whose rows are all there, from one session, is not run
        again, and what was left out stays so; a round that lacks a row is run anew as a whole.
    on_line : called with each new line, how many there are now and how many there will be at most.

    Returns
    -------
    The lines, old and new, of these rows and batches: fields of `Timed`, and method, kernel, keep, batch, round, session
    and machine.

    Raises
    ------
    ValueError : a budget that a method cannot serve, a line of an earlier run that is none.
    """
    clock, session = Clock(model.device), datetime.now(UTC).isoformat()
    wanted = [(*row.key, batch) for batch in batches for row in rows]
    lines: dict[tuple[Any, ...], Line] = {}
    if out is not None:
        drop_torn_line(out / RUNS)
        lines = {_key(line): line for line in read_lines(out / RUNS)}

    def request(row: Row, inputs: dict[str, Any]) -> Timed:
        options = switch(model, row.kernel)
        return timed_request(model, inputs, row.pruner, row.keep, new_tokens, clock, workload, **options)

    def keep(line: Line) -> None:
        lines[_key(line)] = line
        if out is not None:
            with (out / RUNS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, allow_nan=False) + "\n")
        if on_line is not None:
            here = [line for key, line in lines.items() if key[:4] in wanted]
            on_line(line, sum(repeats if "skipped" in line else 1 for line in here), len(wanted) * repeats)

    alive = {batch: [row for row in rows if (*row.key, batch, None) not in lines] for batch in batches}
    left = {
        batch: [number for number in range(repeats) if not _one_round(lines, alive[batch], batch, number)]
        for batch in batches
    }
    if any(left.values()):
        for row in (row for row in rows if row.pruner is not None):
            _try(partial(timed_request, model, workload.inputs(1), row.pruner, row.keep, 1, clock, workload))
    for batch in (batch for batch in batches if left[batch]):
        inputs = workload.inputs(batch)
        for row in list(alive[batch]):
            reason = why_not(row.kernel, model) or _no_room(row, model, batch, inputs["input_ids"].shape[1])
            if reason := reason or _try(partial(request, row, inputs), warmup, may_fail=row.kernel == "compile"):
                keep(_named(row, batch) | {"skipped": reason})
                alive[batch].remove(row)
        for number in left[batch]:
            for row in alive[batch]:
                before = {"round": number, "session": session, "machine": machine_state(str(model.device))}
                keep(_named(row, batch) | before | _rounded(asdict(request(row, inputs))))
    return [line for key, line in lines.items() if key[:4] in wanted]


def _one_round(lines: Mapping[tuple[Any, ...], Line], rows: Sequence[Row], batch: int, number: int) -> bool:
    """Whether all rows of a round are there, from one session: only then do its ratios compare like with like."""
    found = [lines.get((*row.key, batch, number)) for row in rows]
    return None not in found and len({line["session"] for line in found if line}) <= 1


def _try(request: Callable[[], object], times: int = 1, *, may_fail: bool = False) -> str | None:
    """Run something unrecorded; why it cannot be had, or None. Memory may be short anywhere, a compiler may be missing."""
    try:
        for _ in range(times):
            request()
    except torch.OutOfMemoryError:
        torch.cuda.empty_cache()
        return "out of memory"
    except Exception as error:
        if not may_fail:
            raise
        return f"cannot be compiled here: {type(error).__name__}: {(str(error).strip() or '-').splitlines()[0]}"
    return None


def _no_room(row: Row, model: Any, batch: int, columns: int) -> str | None:
    """Eager attention writes its scores out, and the main memory of a CPU has no error for too much."""
    if row.kernel != "eager":
        return None
    wants, free = eager_scores(model.config, rows=batch, columns=columns), free_bytes(str(model.device))
    if free is None or wants <= free:
        return None
    return f"the scores of a layer take about {wants / GIB:.1f} GiB, and {free / GIB:.1f} GiB are free"


def _named(row: Row, batch: int) -> Line:
    return {"method": row.method, "kernel": row.kernel, "keep": row.keep, "batch": batch}


def _key(line: Line) -> tuple[Any, ...]:
    return (line["method"], line["kernel"], line["keep"], line["batch"], line.get("round"))


def _rounded(value: Any) -> Any:
    """Microseconds are enough."""
    if isinstance(value, dict):
        return {name: _rounded(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(entry) for entry in value]
    return round(value, 3) if isinstance(value, float) else value


def read_lines(path: Path) -> list[Line]:
    """The lines of an earlier run, see `read_json_lines`."""

    def line(found: Line) -> Line:
        _key(found)
        return found

    return read_json_lines(path, line, "timed request")


def open_folder(out: Path, settings: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    """Make the folder, or go on in it; `run.json` keeps the settings and a line for each session.

    Raises
    ------
    ValueError : the folder holds runs of other settings, whose times cannot stand beside these.
    """
    out.mkdir(parents=True, exist_ok=True)
    path = out / SETTINGS
    kept: dict[str, Any] = {"settings": dict(settings), "sessions": []}
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        other = [name for name, value in settings.items() if kept["settings"].get(name) != value]
        if other:
            was = ", ".join(f"{name} {kept['settings'].get(name)!r} (now {settings[name]!r})" for name in other)
            raise ValueError(f"{out} holds runs with {was}: choose another folder")
    kept["sessions"].append(dict(session))
    path.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")

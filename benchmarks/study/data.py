"""The committed data of the study: one short JSON line per run, and what is measured once per instance."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study.design import OBJECTIVES
from benchmarks.study.geometry import geometry
from benchmarks.vit_tokens import load_any
from mmdp.checks import Int
from mmdp.instances import Instance
from solvers.records import Record, replace_text, to_json

FOLDER = Path(__file__).resolve().parent.parent / "results" / "study"
RUNS, INSTANCES = FOLDER / "runs.jsonl", FOLDER / "instances.json"


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes
    ----------
    value, bound : None where infinite (log det of a singular set, nothing proved).
    chosen : the kept tokens as base64 of packed bits.
    scores : value of the kept tokens under each objective, in the order of `OBJECTIVES`; None where it is -inf or the
        instance has no data for it.
    """

    instance: str
    objective: str
    k: int
    method: str
    value: float | None
    bound: float | None
    status: str
    seconds: float
    chosen: str
    scores: tuple[float | None, ...]

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Which run it is."""
        return (self.instance, self.objective, self.k, self.method)

    def kept(self, n: int) -> Int:
        """The kept tokens, ascending."""
        return unpacked(self.chosen, n)


def packed(indices: Iterable[int], n: int) -> str:
    """base64 of n bits."""
    bits = np.zeros(n, np.uint8)
    bits[list(indices)] = 1
    return base64.b64encode(np.packbits(bits).tobytes()).decode()


def unpacked(text: str, n: int) -> Int:
    """The inverse of `packed`, ascending."""
    return np.flatnonzero(np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n))


def read_cells() -> list[Cell]:
    """The committed runs; none before the first."""
    if not RUNS.exists():
        return []
    lines = RUNS.read_text(encoding="utf-8").splitlines()
    return [Cell(**{**(row := json.loads(line)), "scores": tuple(row["scores"])}) for line in lines]


def read_instances() -> dict[str, dict[str, Any]]:
    """Digest and geometry of each instance by name."""
    return json.loads(INSTANCES.read_text(encoding="utf-8")) if INSTANCES.exists() else {}


def condense(records: Iterable[Record]) -> None:
    """Add the finished runs to the committed data.

    Of two runs of one method on one problem the one with more time counts, of equals the later one.
    """
    cells = {cell.key: cell for cell in read_cells()}
    instances = read_instances()
    latest: dict[tuple[str, str, int, str], Record] = {}
    for record in records:
        key = (record.instance, record.objective, record.k, record.method)
        old = latest.get(key, record)
        if record.error is None and (old.time_limit or 0) <= (record.time_limit or 0):
            latest[key] = record
    fresh: dict[str, list[Record]] = {}
    for key, record in latest.items():
        if key not in cells or cells[key].seconds != _seconds(record):
            fresh.setdefault(record.instance, []).append(record)
    for name, runs in fresh.items():
        instance = load_any(name)
        cells.update((cell.key, cell) for cell in _cells(instance, runs))
        instances[name] = {"n": instance.n, "digest": runs[0].digest, **geometry(instance)}
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = sorted(cells.values(), key=lambda cell: cell.key)
    replace_text(RUNS, "".join(json.dumps(to_json(asdict(cell)), separators=(",", ":")) + "\n" for cell in rows))
    replace_text(INSTANCES, json.dumps(dict(sorted(instances.items())), indent=0) + "\n")


def _seconds(record: Record) -> float:
    return round(float(record.seconds or 0.0), 4)


def _cells(instance: Instance, runs: list[Record]) -> Iterator[Cell]:
    problems = {name: instance.problem(name, 0) for name in instance.objectives}
    for run in runs:
        kept = run.indices or []
        chosen = run.indices is not None  # else it is a record of bounds
        scores = [problems[name].value(kept) if chosen and name in problems else None for name in OBJECTIVES]
        yield Cell(
            run.instance,
            run.objective,
            run.k,
            run.method,
            to_json(run.value),
            to_json(run.bound),
            run.status or "bounds",
            _seconds(run),
            packed(kept, instance.n),
            tuple(to_json(score) for score in scores),
        )

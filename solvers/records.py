"""What a study keeps of each run, and the file it keeps them in: one JSON object per line."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mmdp.problem import GapKind

Key = tuple[str, str, str, int, str, int, float | None]
UPPER_BOUNDS = "upper_bounds"  #: the method name of the record that holds the bounds of `mmdp.upper_bounds`


@dataclass(frozen=True)
class Record:
    """One run of a study; plain types only.

    Attributes
    ----------
    instance, digest, objective, k, method, seed, time_limit : what was run; `digest` is a fingerprint of the data.
    n, dtype : number of tokens, and the number type of the features (or distances) as the solver was given them.
    solver, backend : what `method` stood for, as in the catalog.
    value, indices : the selection, the value by its definition; None for a record of bounds or a failed run.
    bound : what this run itself proved; inf for nothing.
    best_bound, bound_by : the least bound that any run on the same problem proved, and which.
    gap, gap_kind : from `value` to `best_bound`, see `mmdp.optimality_gap`.
    proved : whether the value reaches `best_bound`: an optimum, proved by this run or another.
    status : why this run stopped.
    seconds : wall-clock time.
    stats : figures of the solver; for a record of bounds every bound by name.
    error : what went wrong, or None.
    """

    instance: str
    digest: str
    objective: str
    k: int
    method: str
    seed: int
    time_limit: float | None
    n: int | None = None
    dtype: str | None = None
    solver: str | None = None
    backend: str | None = None
    value: float | None = None
    bound: float = math.inf
    best_bound: float = math.inf
    bound_by: str | None = None
    gap: float | None = None
    gap_kind: GapKind | None = None
    proved: bool = False
    status: str | None = None
    seconds: float | None = None
    indices: list[int] | None = None
    stats: dict[str, Any] = field(default_factory=dict)
    error: str | None = None

    @property
    def key(self) -> Key:
        """What makes two runs the same question."""
        return (self.instance, self.digest, self.objective, self.k, self.method, self.seed, self.time_limit)

    @property
    def group(self) -> tuple[str, str, str, int]:
        """The problem: a bound proved by one record of a group holds for all of them."""
        return (self.instance, self.digest, self.objective, self.k)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; an infinite number becomes None and is named under "infinite", to be restored."""
        data = asdict(self)
        infinite = {name: str(x) for name, x in data.items() if isinstance(x, float) and not math.isfinite(x)}
        plain: dict[str, Any] = to_json(data)
        return {**plain, "infinite": infinite} if infinite else plain

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Record:
        """The inverse of `to_dict`; ValueError for missing or unknown fields."""
        data = dict(data)
        data.update({name: float(text) for name, text in data.pop("infinite", {}).items()})
        unknown = set(data) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown fields {', '.join(sorted(unknown))}")
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(str(error)) from error


def to_json(value: Any) -> Any:
    """`value` in JSON types, numpy's included; infinite and NaN become None, what JSON does not know becomes text.

    >>> to_json({"a": np.float32(0.5), "b": [np.inf, np.arange(2)]})
    {'a': 0.5, 'b': [None, [0, 1]]}
    """
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(entry) for entry in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def line_of(record: Record) -> str:
    """One line of the file, with its end."""
    return json.dumps(record.to_dict(), allow_nan=False) + "\n"


def read_records(path: str | Path) -> list[Record]:
    """The records of a file, the last of each key; a last line cut short (the writer was killed) is left out.

    Raises
    ------
    ValueError : a line that is not a record, with its number.
    """
    *lines, rest = Path(path).read_bytes().split(b"\n")
    records = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = Record.from_dict(json.loads(line))
        except (ValueError, TypeError, AttributeError) as error:
            raise ValueError(f"line {number} of {path} is not a record: {error}") from error
        records[record.key] = record
    try:
        record = Record.from_dict(json.loads(rest))
    except (ValueError, TypeError, AttributeError):
        return list(records.values())
    return list({**records, record.key: record}.values())


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Replace the file in one step: whatever happens, either the old or the new one is there."""
    replace_text(Path(path), "".join(map(line_of, records)))


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step."""
    draft = path.with_name(path.name + ".new")
    draft.write_text(text, encoding="utf-8")
    os.replace(draft, path)

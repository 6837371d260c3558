"""One JSON line for every picture and budget; a file of them is gone on with."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lmm_integration.json_lines import read_json_lines
from mmdp.checks import Bool
from solvers.records import to_json

FOLDER = Path(__file__).resolve().parent.parent / "results" / "accuracy_study"
DIGITS = 5  # significant ones of committed numbers


@dataclass(frozen=True)
class SetRecord:
    """A set of tokens and what the model makes of it.

    Attributes
    ----------
    family, name : objective, and name of the set within it.
    value : of the objective; None where it is infinite.
    radius, cover : covering radius and mean distance to the nearest kept token, 1 - cos of projected tokens.
    seen : share of the things in the scene that a kept patch shows.
    frozen, true : relative errors of attention in the layer in front of which tokens go (`LayerView.errors`).
    divergence : KL of the answers' distributions from those with every token, nats a token.
    right, repacked : which questions are answered rightly, as `bits`; with closed positions, "" where not asked.
    """

    family: str
    name: str
    value: float | None
    radius: float
    cover: float
    seen: float
    frozen: float
    true: float
    divergence: float
    right: str
    repacked: str = ""

    @property
    def label(self) -> str:
        """The name without the number."""
        return self.name.split("/")[0]


@dataclass(frozen=True)
class Record:
    """A picture at a budget.

    Attributes
    ----------
    kinds : of its questions.
    whole, blind : which are right with every visual token, and with none, as `bits`.
    problems : per family "best", "bound", "proved", "floor", "slack" as in `Family`.
    seconds : of one core.
    """

    image: int
    k: int
    kinds: tuple[str, ...]
    whole: str
    blind: str
    problems: dict[str, dict[str, Any]]
    sets: list[SetRecord]
    seconds: float


def bits(right: Bool) -> str:
    """Questions in order, "1" where right.

    >>> bits(np.array([True, False]))
    '10'
    """
    return "".join("01"[int(r)] for r in right)


def flags(text: str) -> Bool:
    """The inverse of `bits`."""
    return np.array([c == "1" for c in text])


def line_of(record: Record) -> str:
    """One line, numbers in five significant digits."""
    return json.dumps(_short(asdict(record)), separators=(",", ":")) + "\n"


def record_of(row: dict[str, Any]) -> Record:
    """The inverse of `line_of`, up to rounding, of the object of a line."""
    return Record(**{**row, "sets": [SetRecord(**each) for each in row["sets"]], "kinds": tuple(row["kinds"])})


def read_records(path: Path) -> list[Record]:
    """Of a file that a run left, plain or compressed; see `read_json_lines`."""
    return read_json_lines(path, record_of, "record")


def write_committed(tower: str, records: Iterable[Record]) -> Path:
    """Compress the records of a tower, in the order of pictures and budgets, and return the file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = sorted(records, key=lambda record: (record.image, record.k))
    path = committed(tower)
    path.write_bytes(lzma.compress("".join(map(line_of, rows)).encode(), preset=9))
    return path


def committed(tower: str) -> Path:
    """Where the records of a tower lie."""
    return FOLDER / f"{tower}.jsonl.xz"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _short(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_short(each) for each in value]
    if isinstance(value, float):
        value = to_json(value)
        return value if value is None else float(f"{value:.{DIGITS}g}")
    return value

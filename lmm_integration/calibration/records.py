"""What a calibration measured so far, as JSON lines: one divergence a line, behind a line that says of what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lmm_integration.calibration.points import Point
from lmm_integration.json_lines import drop_torn_line

BEGIN = '{"calibration": '


class Records:
    """(sample, point) -> divergence, kept in a file as soon as it is known.

    Parameters
    ----------
    path : the file, gone on with where it exists; None keeps nothing.
    settings : plain JSON values, what the divergences are of: model, answers, reducer, reading of pruned attention.

    Raises
    ------
    ValueError : the file holds something else, or divergences of other settings.
    """

    def __init__(self, path: str | Path | None, settings: Mapping[str, Any]) -> None:
        self.path = None if path is None else Path(path)
        self.found: dict[tuple[str, Point], float] = {}
        settings = json.loads(json.dumps(settings))
        if self.path is None:
            return
        *lines, torn = self.path.read_text(encoding="utf-8").split("\n") if self.path.exists() else [""]
        if lines:
            self._read(lines, settings)
            drop_torn_line(self.path)
        elif torn[: len(BEGIN)] == BEGIN[: len(torn)]:
            self._write({"calibration": settings}, "w")
        else:
            raise ValueError(f"{self.path} is not of a calibration; name another file or delete it")

    def put(self, sample: str, point: Point, kl: float) -> None:
        """Keep one divergence; numbers that are not finite stand as null."""
        self.found[sample, point] = kl
        if self.path is not None:
            self._write({"sample": sample, **point._asdict(), "kl": kl if math.isfinite(kl) else None}, "a")

    def _write(self, line: dict[str, Any], mode: str) -> None:
        assert self.path is not None
        with self.path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")

    def _read(self, lines: list[str], settings: dict[str, Any]) -> None:
        for number, line in enumerate(lines, start=1):
            try:
                facts = json.loads(line)
                if number == 1:
                    before = facts["calibration"]
                    continue
                kl = math.nan if facts["kl"] is None else float(facts["kl"])
                self.found[facts["sample"], Point(*(int(facts[name]) for name in Point._fields))] = kl
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{self.path}, line {number}, is not of a calibration: {error}") from error
        if changed := sorted(name for name in {*before, *settings} if before.get(name) != settings.get(name)):
            raise ValueError(
                f"{self.path} was measured with another {', '.join(changed)}; name another file or delete it"
            )

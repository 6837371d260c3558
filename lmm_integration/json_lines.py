"""Files of JSON lines that a long run writes as it goes, and goes on with: a killed writer leaves a torn last line."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read_json_lines(path: Path, parse: Callable[[Any], T], what: str) -> list[T]:
    """What `parse` makes of every line; none where the file is not there. A last line that was cut off is no line.

    Parameters
    ----------
    path : a file, plain or, where it ends in .xz, compressed.
    parse : called with the object of a line.
    what : a line should be, for the message.

    Raises
    ------
    ValueError : any other line that is no JSON, or of which `parse` raises KeyError, TypeError or ValueError; the message
        names it.
    """
    if not path.exists():
        return []
    data = path.read_bytes()
    *whole, _ = (lzma.decompress(data) if path.suffix == ".xz" else data).split(b"\n")
    found = []
    for number, text in enumerate(whole, start=1):
        try:
            found.append(parse(json.loads(text)))
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no {what}: {error}") from error
    return found


def drop_torn_line(path: Path) -> None:
    """Cut off what a killed run left of a last line, so that the next one begins on its own."""
    if path.exists():
        data = path.read_bytes()
        if data and not data.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(data.rfind(b"\n") + 1)

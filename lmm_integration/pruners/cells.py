"""A raster cut into exactly k cells, for the methods that only look at where a token stands."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor


def cells(n: int, k: int, grid: tuple[int, int] | None) -> tuple[Tensor, Tensor]:
    """Cut a raster into k cells as square as can be.

    The lines are cut into about sqrt(k rows / columns) bands, and the columns of every band into its share of the k
    cells; a token belongs to the part its middle lies in. Where 8 x 8 cells fit a square grid, these are they. Without
    a grid the tokens are one line.

    Returns
    -------
    centre : (k,) int64, the token in the middle of each cell, floor((i + 1/2) size / parts) both ways.
    member : (n,) int64, the cell of each token; -1 when k = 0.

    >>> cells(16, 4, (4, 4))[0].tolist(), cells(10, 3, None)[0].tolist()
    ([5, 7, 13, 15], [1, 5, 8])
    """
    rows, columns = grid or (1, n)
    centre = torch.empty(k, dtype=torch.int64)
    member = torch.full((rows, columns), -1)
    done = 0
    counts = bands(rows, columns, k)
    for (top, bottom, middle), count in zip(_parts(rows, len(counts)), counts, strict=True):
        for left, right, here in _parts(columns, count):
            member[top:bottom, left:right] = done
            centre[done] = middle * columns + here
            done += 1
    return centre, member.flatten()


def bands(rows: int, columns: int, k: int) -> list[int]:
    """How many of k cells each band of lines is cut into."""
    count = max(1, -(-k // columns), min(rows, k, round((k * rows / columns) ** 0.5)))
    return [(band + 1) * k // count - band * k // count for band in range(count)]


def _parts(size: int, parts: int) -> Iterator[tuple[int, int, int]]:
    """(start, end, middle) of each part; it covers the integers t with t + 1/2 in it, and so its own middle."""
    for i in range(parts):
        start, end = (-((parts - 2 * j * size) // (2 * parts)) for j in (i, i + 1))
        yield start, end, (2 * i + 1) * size // (2 * parts)

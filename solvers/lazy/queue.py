"""The highest of n scores, found through the maxima of blocks of them; ties to the lowest index."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import inlined, kernel
from solvers.lazy.extremes import first_equal, largest

BLOCK = 32


@kernel
def block_maxima(score: Any) -> Any:
    """The maximum of every block of scores."""
    n = len(score)
    top = np.empty((n + BLOCK - 1) // BLOCK, score.dtype)
    for b in range(len(top)):
        top[b] = largest(score[b * BLOCK : min(n, (b + 1) * BLOCK)])
    return top


@inlined
def highest(score: Any, top: Any) -> int:
    """The lowest index of the highest score."""
    best = largest(top)
    start = first_equal(top, best) * BLOCK
    return int(start + first_equal(score[start : start + BLOCK], best))


@inlined
def lower(score: Any, top: Any, i: int, value: Any) -> None:
    """Give token i a score that is no higher than before."""
    was = score[i]
    score[i] = value
    b = i // BLOCK
    if was == top[b]:
        top[b] = largest(score[b * BLOCK : min(len(score), (b + 1) * BLOCK)])

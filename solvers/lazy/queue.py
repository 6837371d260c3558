"""The highest of n scores, found through the maxima of blocks of them; ties to the lowest index."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.extremes import first_equal, lanes_at_least, largest, lowest_bit

BLOCK = 32


@kernel
def renew(score: Any, top: Any) -> None:
    """Find the maxima of all blocks anew."""
    n = len(score)
    for b in range(len(top)):
        top[b] = largest(score[b * BLOCK : min(n, (b + 1) * BLOCK)])


@kernel
def block_maxima(score: Any) -> Any:
    """The maximum of every block of scores."""
    top = np.empty((len(score) + BLOCK - 1) // BLOCK, score.dtype)
    renew(score, top)
    return top


@kernel
def highest(score: Any, top: Any) -> int:
    """The lowest index of the highest score."""
    best = largest(top)
    start = first_equal(top, best) * BLOCK
    return int(start + first_equal(score[start : start + BLOCK], best))


@kernel
def lower(score: Any, top: Any, i: int, value: Any) -> None:
    """Give token i a score that is no higher than before."""
    was = score[i]
    score[i] = value
    b = i // BLOCK
    if was == top[b]:
        top[b] = largest(score[b * BLOCK : min(len(score), (b + 1) * BLOCK)])


@kernel
def gather(score: Any, done: Any, wanted: int, least: Any, out: Any) -> int:
    """Write the tokens with a finite score >= `least` that have not done `wanted` to `out`; return how many."""
    n, count, i = len(score), 0, 0
    least = max(least, np.finfo(score.dtype).min)
    lanes = 64 // score.itemsize
    while i + lanes <= n:
        mask = lanes_at_least(score, i, least)
        while mask:
            token = i + lowest_bit(mask)
            if done[token] < wanted:
                out[count] = token
                count += 1
            mask &= mask - 1
        i += lanes
    while i < n:
        if score[i] >= least and done[i] < wanted:
            out[count] = i
            count += 1
        i += 1
    return count


@kernel
def sort_by_block(tokens: Any, count: int, done: Any, width: int, places: Any, out: Any) -> None:
    """Write the tokens to `out` in the order of done // width, a counting sort; len(places) > all of these + 1."""
    places[:] = 0
    for a in range(count):
        places[done[tokens[a]] // width + 1] += 1
    for b in range(1, len(places)):
        places[b] += places[b - 1]
    for a in range(count):
        block = done[tokens[a]] // width
        out[places[block]] = tokens[a]
        places[block] += 1

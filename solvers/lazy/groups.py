"""Tokens brought up to date four at a time, against four chosen ones: a 4 x 4 tile costs little more than a row of it.

Nothing is wasted on that. In a step one token is brought up to date first, and every token whose bound is not below
the score of that one has to be looked at in any case. Those that have come equally far form a group.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import inlined, kernel
from solvers.lazy.extremes import lanes_at_least, lowest_bit
from solvers.lazy.tiles import tile_1x4, tile_2x4, tile_4x1, tile_4x4

WIDE = 4  # chosen tokens of a block


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
def sort_by_block(tokens: Any, count: int, done: Any, places: Any, out: Any) -> None:
    """Write the tokens to `out` in the order of their next blocks, of which there are fewer than len(places)."""
    places[:] = 0
    for a in range(count):
        places[done[tokens[a]] // WIDE + 1] += 1
    for b in range(1, len(places)):
        places[b] += places[b - 1]
    for a in range(count):
        block = done[tokens[a]] // WIDE
        out[places[block]] = tokens[a]
        places[block] += 1


@kernel
def next_group(ordered: Any, start: int, count: int, done: Any, score: Any, least: Any, group: Any) -> tuple[int, int]:
    """Write up to four tokens of one block with scores >= `least` to `group`: (how many, where the next ones start)."""
    block, size = done[ordered[start]] // WIDE, 0
    while start < count and size < 4 and done[ordered[start]] // WIDE == block:
        if score[ordered[start]] >= least:
            group[size] = ordered[start]
            size += 1
        start += 1
    return size, start


@inlined
def keep_best(tokens: Any, held: int, token: int, score: Any) -> int:
    """Put a token with a finite score among the `held` best, in falling order, if it belongs there; return how many.

    Those that were best in one step are looked at first, together, in the next: what they set is hard to exceed.
    """
    a = held if score[token] > -np.inf else len(tokens)
    while 0 < a <= held and score[tokens[a - 1]] < score[token]:
        if a < len(tokens):
            tokens[a] = tokens[a - 1]
        a -= 1
    if a < len(tokens):
        tokens[a] = token
        held = min(held + 1, len(tokens))
    return held


@inlined
def members(group: Any, count: int) -> tuple[int, int, int, int]:
    """The tokens of a group, the last one again where there are fewer than four."""
    last = count - 1
    return group[0], group[min(1, last)], group[min(2, last)], group[last]


@inlined
def block_of(chosen: Any, block: int, size: int) -> tuple[int, int, int, int]:
    """The chosen tokens of a block, the last of `size` again where there are fewer than four."""
    start, last = WIDE * block, size - 1
    return chosen[start], chosen[min(start + 1, last)], chosen[min(start + 2, last)], chosen[min(start + 3, last)]


@inlined
def products(X: Any, i: Any, count: int, Y: Any, j: Any, columns: int, width: int, out: Any) -> None:
    """Write <X[i[a]], Y[j[q]]> up to column `width` to out[4 a + q], for a < `count` and q < `columns` at least.

    Here as elsewhere tuples are taken apart by name: an index that varies would send them through memory.
    """
    if count > 2 and columns == 1:
        column = tile_4x1(X, i, Y, (j[0],), width)
        out[0], out[4], out[8], out[12] = column
    elif count > 2:
        square = tile_4x4(X, i, Y, j, width)
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = square[:8]
        out[8], out[9], out[10], out[11], out[12], out[13], out[14], out[15] = square[8:]
    elif count == 2:
        pair = tile_2x4(X, (i[0], i[1]), Y, j, width)
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = pair
    else:
        out[0], out[1], out[2], out[3] = tile_1x4(X, (i[0],), Y, j, width)

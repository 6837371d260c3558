"""The far graph of a threshold as bit sets: cores, colour classes, and tokens that no clique of a given size can use.

Bit sets are Python integers: bit i of `far[j]` says that tokens i and j are at least the threshold apart.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmdp.checks import Bool, Int
from solvers.answer import Request


def bit_rows(adjacent: Bool) -> list[int]:
    """The rows of a Boolean matrix as bit sets."""
    packed = np.packbits(adjacent, axis=1, bitorder="little")
    return [int.from_bytes(row.tobytes(), "little") for row in packed]


def members(bits: int) -> Iterator[int]:
    """The positions of the ones, ascending."""
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


def core_smallest_last(far: Bool, size: int) -> Int:
    """The tokens that can lie in a clique of `size` by their degrees, in smallest-last order.

    Tokens with fewer than size - 1 far neighbours are dropped again and again; of the rest, the one with the fewest far
    neighbours among those not yet placed takes the last free place.
    """
    degree = far.sum(axis=1)
    taken: list[int] = []
    dropped = 0
    for position in range(len(far)):
        i = int(np.argmin(degree))
        if degree[i] < size - 1 and dropped == position:
            dropped = position + 1
        degree -= far[i]
        degree[i] = 2 * len(far)  # out of the way
        taken.append(i)
    return np.array(taken[dropped:][::-1], dtype=np.int64)


def colour_classes(far: list[int], tokens: int, most: int) -> tuple[list[int], int]:
    """(at most `most` classes of pairwise close tokens, dealt greedily in order; the tokens left over)."""
    classes: list[int] = []
    while tokens and len(classes) < most:
        group, candidates = 0, tokens
        while candidates:
            lowest = candidates & -candidates
            group |= lowest
            candidates &= ~(far[lowest.bit_length() - 1] | lowest)
        classes.append(group)
        tokens &= ~group
    return classes, tokens


def colourable(far: list[int], tokens: int, colours: int) -> bool:
    """Whether greedy colouring takes at most so many colours; then no far clique has more tokens."""
    while tokens:
        if not colours:
            return False
        colours -= 1
        candidates = tokens
        while candidates:
            lowest = candidates & -candidates
            tokens ^= lowest
            candidates &= ~(far[lowest.bit_length() - 1] | lowest)
    return True


def usable(far: list[int], tokens: int, size: int, request: Request) -> int:
    """The tokens that may lie in a far clique of `size`; 0 proves that there is none.

    A token is dropped when its far neighbours take fewer than size - 1 colours, until no more can be dropped.

    Raises
    ------
    TimeoutError : time was up.
    """
    while size > 1:
        if colourable(far, tokens, size - 1):
            return 0
        before = tokens
        for i in members(tokens):
            if request.left <= 0:
                raise TimeoutError
            around = far[i] & tokens
            if around.bit_count() < size - 1 or colourable(far, around, size - 2):
                tokens ^= 1 << i
        if tokens == before:
            break
    return tokens


def clique_cover(far: list[int], tokens: int) -> Iterator[int]:
    """Groups of pairwise close tokens that together hold every close pair; greedy."""
    close = {i: tokens & ~far[i] & ~(1 << i) for i in members(tokens)}
    uncovered = dict(close)
    for i in close:
        while uncovered[i]:
            group, candidates = 1 << i, close[i]
            while candidates:
                fresh = candidates & uncovered[i] or candidates
                lowest = fresh & -fresh
                group |= lowest
                candidates &= close[lowest.bit_length() - 1]
            for j in members(group):
                uncovered[j] &= ~group
            yield group

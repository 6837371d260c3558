"""Colourings of one far graph, as bit sets: how few classes can a clique be told apart by."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mmdp.checks import Bool, Int


class FarGraph:
    """A far graph as bit sets, in the reverse of the order in which tokens of least remaining degree are taken out.

    The (k-1)-core is a prefix of that order, for every k.
    """

    def __init__(self, far: Bool) -> None:
        n = len(far)
        np.fill_diagonal(far, False)
        rows = far.astype(np.int32)
        degree = rows.sum(axis=1, dtype=np.int32)
        taken, degrees = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        for position in range(n):
            i = degree.argmin()
            taken[position], degrees[position] = i, degree[i]
            degree -= rows[i]
            degree[i] = 2 * n  # larger than any degree, whatever is subtracted
        self.order: Int = taken[::-1]
        self._highest = np.maximum.accumulate(degrees)
        packed = np.packbits(far[np.ix_(self.order, self.order)], axis=1, bitorder="little")
        self.neighbours = [int.from_bytes(row.tobytes(), "little") for row in packed]

    def core_size(self, k: int) -> int:
        """How many tokens the (k-1)-core has."""
        return len(self.order) - int(np.searchsorted(self._highest, k - 1))

    @cached_property
    def least_refuted(self) -> int:
        """The least budget that greedy colouring of the core refutes; n + 1 when there is none."""
        n = len(self.order)
        classes = deal_colours(self.neighbours, n, n)[0]
        colour = np.empty(n, dtype=np.int64)
        for label, members in enumerate(classes):
            colour[_positions(members)] = label
        used = np.concatenate([[0], np.maximum.accumulate(colour) + 1])  # by size of the prefix
        return next((k for k in range(2, n + 1) if used[self.core_size(k)] < k), n + 1)

    def colouring(self, k: int) -> tuple[Int, Int] | None:
        """Labels and triples that leave no clique of size k, as in `Colouring`; None where they were not found."""
        coloured = self.coloured(k)
        if coloured is None:
            return None
        classes, joined = coloured
        labels = np.full(len(self.order), -1)
        for label, members in enumerate([*classes, *(token for token, _, _ in joined)]):
            labels[self.order[_positions(members)]] = label
        triples = [(len(classes) + i, a, b) for i, (_, a, b) in enumerate(joined)]
        return labels, np.array(triples, dtype=np.int64).reshape(-1, 3)

    def coloured(self, k: int) -> tuple[list[int], list[tuple[int, int, int]]] | None:
        """Classes of the (k-1)-core, and what joined two of them, that leave no clique of size k; None for failure."""
        size = self.core_size(k)
        if size < k:
            return [1 << i for i in range(size)], []
        classes, left = deal_colours(self.neighbours, size, k - 1)
        joined = absorb(self.neighbours, classes, left)
        return None if joined is None else (classes, joined)


def deal_colours(neighbours: list[int], size: int, colours: int) -> tuple[list[int], int]:
    """Up to `colours` classes of pairwise close tokens, dealt greedily in order to the first `size` tokens, and those
    left over; bit sets.
    """
    left = (1 << size) - 1
    classes: list[int] = []
    while left and len(classes) < colours:
        members, open_ = 0, left
        while open_:
            lowest = open_ & -open_
            members |= lowest
            open_ &= ~(neighbours[lowest.bit_length() - 1] | lowest)
        classes.append(members)
        left &= ~members
    return classes, left


def absorb(neighbours: list[int], classes: list[int], left: int) -> list[tuple[int, int, int]] | None:
    """Let every token left over do without one more colour; None when one cannot.

    Either it displaces its only neighbour in a class, or it joins two classes with which it forms no triangle: a
    clique meets the three together at most twice, so they still count as two, and are closed to further moves.
    `classes` change in place; returned are (token as a bit set, class, class).
    """
    free = list(range(len(classes)))
    joined = []
    while left:
        lowest = left & -left
        left ^= lowest
        around = neighbours[lowest.bit_length() - 1]
        if _displaced(neighbours, classes, free, lowest, around):
            continue
        pair = _paired(neighbours, classes, free, around)
        if pair is None:
            return None
        joined.append((lowest, *pair))
        free = [a for a in free if a not in pair]
    return joined


def _displaced(neighbours: list[int], classes: list[int], free: list[int], token: int, around: int) -> bool:
    for a in free:
        met = classes[a] & around
        if met & (met - 1):
            continue  # two neighbours or more
        if not met:
            classes[a] |= token
            return True
        others = neighbours[met.bit_length() - 1]
        for b in free:
            if b != a and not classes[b] & others:
                classes[a] ^= met | token
                classes[b] |= met
                return True
    return False


def _paired(neighbours: list[int], classes: list[int], free: list[int], around: int) -> tuple[int, int] | None:
    """Two classes whose members among `around`, the far tokens of the one to place, are pairwise close."""
    for place, a in enumerate(free):
        met, reach = classes[a] & around, 0
        while met:
            lowest = met & -met
            reach |= neighbours[lowest.bit_length() - 1]
            met ^= lowest
        for b in free[place + 1 :]:
            if not classes[b] & around & reach:
                return a, b
    return None


def _positions(members: int) -> list[int]:
    """The positions of the bits of a bit set."""
    found = []
    while members:
        lowest = members & -members
        found.append(lowest.bit_length() - 1)
        members ^= lowest
    return found

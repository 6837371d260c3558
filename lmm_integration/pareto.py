"""Two criteria at once: the tokens that no other token beats in both, front by front."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float, Int


def pareto_choice(first: Float, second: Float, k: int) -> Int:
    """k indices, both criteria to be large: whole fronts of non-dominated points while they fit, then part of the next.

    A point dominates another one when it is at least as good in both and better in one. The front that does not fit is
    cut by crowding distance :cite:p:`deb2002fast`, the loneliest first, ties to the lowest index.

    Parameters
    ----------
    first, second : (n,) finite.
    k : 0 <= k <= n.

    Returns
    -------
    (k,) int64, by front, inside a whole front by index.

    Examples
    --------
    >>> pareto_choice(np.array([1.0, 0.0, 0.5, 0.4]), np.array([0.0, 1.0, 0.5, 0.5]), 3).tolist()
    [0, 1, 2]
    """
    left = np.arange(len(first))
    chosen: list[Int] = []
    missing = k
    while missing:
        front = left[_non_dominated(first[left], second[left])]
        if len(front) > missing:
            lonely = np.argsort(-crowding(first[front], second[front]), kind="stable")
            front = front[lonely[:missing]]
        chosen.append(front)
        missing -= len(front)
        left = np.setdiff1d(left, front, assume_unique=True)
    return np.concatenate(chosen).astype(np.int64) if chosen else np.empty(0, dtype=np.int64)


def crowding(first: Float, second: Float) -> Float:
    """(n,) how much room a point of a front has along both criteria, in shares of their ranges; inf at the ends."""
    total = np.zeros(len(first))
    for values in (first, second):
        order = np.argsort(values, kind="stable")
        ordered = values[order]
        span = ordered[-1] - ordered[0]
        room = np.full(len(values), np.inf)
        if len(values) > 2:
            room[order[1:-1]] = (ordered[2:] - ordered[:-2]) / span if span > 0 else 0.0
        total += room
    return total


def min_max(values: Float) -> Float:
    """Values scaled to [0, 1]; all 0 where they are all the same."""
    span = np.ptp(values) if len(values) else 0.0
    return (values - values.min()) / span if span > 0 else np.zeros_like(values)


def _non_dominated(first: Float, second: Float) -> Int:
    """Ascending positions of the points that none dominates; O(n log n)."""
    order = np.lexsort((-second, -first))
    a, b = first[order], second[order]
    starts = np.flatnonzero(np.append(True, a[1:] != a[:-1]))  # groups of equal `first`, their best `second` in front
    group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(a))))
    best = b[starts]
    before = np.append(-np.inf, np.maximum.accumulate(best)[:-1])
    return np.sort(order[(b == best[group]) & (b > before[group])])

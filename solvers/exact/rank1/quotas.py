"""Quotas per group on a 0/1 vector of given sum: least linear value, exchanges and projection, compiled.

Throughout, `labels` holds the group of each coordinate, 0 <= labels < g, and low, high (g,) how many ones a group takes
at least and at most. Empty `low` and `high` stand for no quotas at all; `labels` is then not read.

The 0/1 vectors of sum s within the quotas are the bases of a matroid. So a greedy that takes coordinates by cost, as
long as the rest can still be completed, finds the cheapest one, and the cheapest one on the other side of a coordinate
is a single exchange away.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Bool, Float, Int
from solvers.exact.capped_simplex import project


@njit(cache=True)
def is_feasible(s: int, labels: Int, low: Int, high: Int) -> bool:
    """Whether any 0/1 vector of sum s, one coordinate per label, keeps the quotas."""
    n = len(labels)
    if not 0 <= s <= n:
        return False
    if not len(low):
        return True
    sizes = np.zeros(len(low), dtype=np.int64)
    for label in labels:
        sizes[label] += 1
    least, most = 0, 0
    for q in range(len(low)):
        if low[q] > min(sizes[q], high[q]):
            return False
        least += low[q]
        most += min(sizes[q], high[q])
    return least <= s <= most


@njit(cache=True)
def least_set(cost: Float, s: int, labels: Int, low: Int, high: Int) -> Bool:
    """The s coordinates of least total cost within the quotas, which must be feasible. O(n log n)."""
    chosen = np.zeros(len(cost), dtype=np.bool_)
    order = np.argsort(cost)
    if not len(low):
        chosen[order[:s]] = True
        return chosen
    count = np.zeros(len(low), dtype=np.int64)
    spare = s - low.sum()  # places that no group is owed
    for i in order:
        q = labels[i]
        owed = count[q] < low[q]
        if count[q] < high[q] and (owed or spare > 0):
            chosen[i] = True
            count[q] += 1
            if not owed:
                spare -= 1
    return chosen


@njit(cache=True)
def least_sum(cost: Float, s: int, labels: Int, low: Int, high: Int) -> float:
    """The cost of `least_set`."""
    if not len(low):
        ordered = np.sort(cost)
        total = 0.0
        for i in range(s):
            total += ordered[i]
        return total
    chosen = least_set(cost, s, labels, low, high)
    total = 0.0
    for i in range(len(cost)):
        if chosen[i]:
            total += cost[i]
    return total


@njit(cache=True)
def exchanges(cost: Float, chosen: Bool, labels: Int, low: Int, high: Int) -> Float:
    """(n,) how much dearer the least set becomes when coordinate i changes sides; inf when it cannot.

    `chosen` is the least set. Its coordinate i leaves for the cheapest one outside that may enter, from its own group
    or, where the quotas of both groups allow it, from another one; and likewise the other way round. O(n + g).
    """
    n, groups = len(cost), max(1, len(low))
    count = np.zeros(groups, dtype=np.int64)
    first_out, last_in = np.full(groups, np.inf), np.full(groups, -np.inf)
    for i in range(n):
        q = labels[i] if len(low) else 0
        if chosen[i]:
            count[q] += 1
            last_in[q] = max(last_in[q], cost[i])
        else:
            first_out[q] = min(first_out[q], cost[i])
    entering, leaving = np.inf, -np.inf
    for q in range(groups):
        if not len(low) or count[q] < high[q]:
            entering = min(entering, first_out[q])
        if not len(low) or count[q] > low[q]:
            leaving = max(leaving, last_in[q])
    rise = np.empty(n)
    for i in range(n):
        q = labels[i] if len(low) else 0
        if chosen[i]:
            into = first_out[q]
            if not len(low) or count[q] > low[q]:
                into = min(into, entering)
            rise[i] = into - cost[i]
        else:
            out = last_in[q]
            if not len(low) or count[q] < high[q]:
                out = max(out, leaving)
            rise[i] = cost[i] - out
    return rise


@njit(cache=True)
def project_within(y: Float, s: int, labels: Int, low: Int, high: Int) -> Float:
    """The nearest point to y in {x in [0, 1]^n: sum x = s, low_q <= sum of group q <= high_q}; the quotas feasible.

    For a multiplier t of the sum, a group takes the sum of its clipped y_i - t, cut to its quota; the total falls
    piecewise linearly in t. Groups at a quota are projected by themselves, the rest is clipped.
    """
    if not len(low):
        return project(y, s)
    n, groups = len(y), len(low)
    below, above = y.min() - 1.0, y.max()
    t = 0.5 * (below + above)
    sums = np.empty(groups)
    for _ in range(200):
        sums[:] = 0.0
        for i in range(n):
            sums[labels[i]] += min(1.0, max(0.0, y[i] - t))
        total = 0.0
        for q in range(groups):
            total += min(max(sums[q], low[q]), high[q])
        if abs(total - s) <= 1e-13 * (1.0 + s):
            break
        if total > s:
            below = t
        else:
            above = t
        t = 0.5 * (below + above)
    x = np.empty(n)
    for i in range(n):
        x[i] = min(1.0, max(0.0, y[i] - t))
    for q in range(groups):
        if not low[q] <= sums[q] <= high[q]:
            members = np.flatnonzero(labels == q)
            bound = low[q] if sums[q] < low[q] else high[q]
            x[members] = project(y[members], bound)
    return x

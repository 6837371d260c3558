"""Swap search for the 0/1 vector of least energy: min y^T Q y, sum y = m, within quotas."""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from mmdp.checks import Bool, Float, Int


@njit(cache=True)
def greedy_ones(Q: Float, m: int, labels: Int, low: Int, high: Int) -> Bool:
    """Set m coordinates to 1, one by one, each time the one that adds least energy; ties to the lowest. O(n m).

    Quotas (see `quotas`) are kept by leaving room for what groups are still owed.
    """
    n = len(Q)
    y = np.zeros(n, dtype=np.bool_)
    cost = np.diag(Q).copy()  # Q_ii + 2 sum_{j: y_j = 1} Q_ij
    count = np.zeros(len(low), dtype=np.int64)
    spare = m - low.sum()
    for _ in range(m):
        best = -1
        for i in range(n):
            if not y[i] and (best < 0 or cost[i] < cost[best]):
                if len(low):
                    q = labels[i]
                    if count[q] >= high[q] or (count[q] >= low[q] and spare <= 0):
                        continue
                best = i
        y[best] = True
        cost += 2.0 * Q[best]
        if len(low):
            q = labels[best]
            if count[q] >= low[q]:
                spare -= 1
            count[q] += 1
    return y


@njit(cache=True)
def greedy_zeros(Q: Float, m: int, labels: Int, low: Int, high: Int) -> Bool:
    """All ones, then n - m of them set to 0, one by one, each time the one that saves most energy. O(n (n - m))."""
    n = len(Q)
    y = np.ones(n, dtype=np.bool_)
    saved = -np.diag(Q).copy()  # 2 sum_{j: y_j = 1} Q_ij - Q_ii
    count = np.zeros(len(low), dtype=np.int64)
    for i in range(n):
        saved[i] += 2.0 * Q[i].sum()
        if len(low):
            count[labels[i]] += 1
    spare = n - m - np.maximum(count - high, 0).sum()
    for _ in range(n - m):
        best = -1
        for i in range(n):
            if y[i] and (best < 0 or saved[i] > saved[best]):
                if len(low):
                    q = labels[i]
                    if count[q] <= low[q] or (count[q] <= high[q] and spare <= 0):
                        continue
                best = i
        y[best] = False
        saved -= 2.0 * Q[best]
        if len(low):
            q = labels[best]
            if count[q] <= high[q]:
                spare -= 1
            count[q] -= 1
    return y


@njit(cache=True)
def energy_of(Q: Float, y: Bool) -> float:
    """y^T Q y, from its entries."""
    total = 0.0
    chosen = np.flatnonzero(y)
    for i in chosen:
        for j in chosen:
            total += Q[i, j]
    return total


@njit(cache=True)
def swap(Q: Float, y: Bool, labels: Int, low: Int, high: Int, rounds: int) -> tuple[Bool, float]:
    """(y, energy) after at most `rounds` best 1-swaps within the quotas, ended when none helps.

    Setting i to 0 and j to 1 changes the energy by Q_ii - 2 h_i + Q_jj + 2 h_j - 2 Q_ij, h = Q y. Row i is skipped when
    even its largest entry could not beat the best swap so far. A round is at most O(m (n - m)).
    """
    y = y.copy()
    n = len(Q)
    largest = np.empty(n)
    h = np.zeros(n)
    count = np.zeros(len(low), dtype=np.int64)
    for i in range(n):
        largest[i] = Q[i].max()
        if y[i]:
            h += Q[i]
            if len(low):
                count[labels[i]] += 1
    smallest_gain = 1e-12 * np.abs(np.diag(Q)).max()
    for _ in range(rounds):
        ones, zeros = np.flatnonzero(y), np.flatnonzero(~y)
        entering = np.empty(len(zeros))
        cheapest = np.inf
        for b in range(len(zeros)):
            j = zeros[b]
            entering[b] = Q[j, j] + 2.0 * h[j]
            cheapest = min(cheapest, entering[b])
        best, out, into = -smallest_gain, -1, -1
        for i in ones:
            leaving = Q[i, i] - 2.0 * h[i]
            if leaving + cheapest - 2.0 * largest[i] >= best:
                continue
            row = Q[i]
            for b in range(len(zeros)):
                change = leaving + entering[b] - 2.0 * row[zeros[b]]
                if change < best:
                    if len(low):
                        q, r = labels[i], labels[zeros[b]]
                        if q != r and (count[q] <= low[q] or count[r] >= high[r]):
                            continue
                    best, out, into = change, i, zeros[b]
        if out < 0:
            break
        y[out], y[into] = False, True
        h += Q[into] - Q[out]
        if len(low):
            count[labels[out]] -= 1
            count[labels[into]] += 1
    return y, energy_of(Q, y)


def multi_start(
    Q: Float, m: int, labels: Int, low: Int, high: Int, starts: int, seed: int, deadline: float
) -> tuple[Bool, float]:
    """(y, energy), the best of both greedy sets and of `starts` kicked copies of the best so far, all improved by `swap`.

    A kick exchanges random coordinates, 2 of them after a success and twice as many after each failure, up to a quarter
    of all. No start begins after the deadline, a time of `time.perf_counter`.
    """
    n = len(Q)
    rng = np.random.default_rng(seed)
    best = greedy_ones(Q, m, labels, low, high)
    least = energy_of(Q, best)
    for start in (best, greedy_zeros(Q, m, labels, low, high)):
        if time.perf_counter() < deadline:
            y, energy = swap(Q, start, labels, low, high, 10 * n)
            if energy < least:
                best, least = y, energy
    size = 2
    for _ in range(starts if 0 < m < n else 0):
        if time.perf_counter() >= deadline:
            break
        y = _kicked(best, min(size, m, n - m), labels, low, high, rng)
        y, energy = swap(Q, y, labels, low, high, 10 * n)
        if energy < least - 1e-12 * abs(least):
            best, least, size = y, energy, 2
        else:
            size = min(2 * size, max(2, n // 4))
    return best, least


def _kicked(y: Bool, size: int, labels: Int, low: Int, high: Int, rng: np.random.Generator) -> Bool:
    """y with `size` random ones and zeros exchanged, less those that the quotas forbid."""
    y = y.copy()
    ones = rng.choice(np.flatnonzero(y), size, replace=False)
    zeros = rng.choice(np.flatnonzero(~y), size, replace=False)
    if not len(low):
        y[ones], y[zeros] = False, True
        return y
    count = np.bincount(labels[y], minlength=len(low))
    for i, j in zip(ones, zeros, strict=True):
        q, r = labels[i], labels[j]
        if q == r or (count[q] > low[q] and count[r] < high[r]):
            y[i], y[j] = False, True
            count[q] -= 1
            count[r] += 1
    return y

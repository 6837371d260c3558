"""Swap search for the set of pruned tokens of least energy: min y^T G y, sum y = m."""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from mmdp.checks import Bool, Float


@njit(cache=True)
def greedy_prune(G: Float, m: int) -> Bool:
    """Prune m tokens one by one, each time the one that adds least energy; ties to the lowest index. O(n m)."""
    n = len(G)
    y = np.zeros(n, dtype=np.bool_)
    cost = np.diag(G).copy()  # G_ii + 2 sum_{j pruned} G_ij
    for _ in range(m):
        best = -1
        for i in range(n):
            if not y[i] and (best < 0 or cost[i] < cost[best]):
                best = i
        y[best] = True
        cost += 2.0 * G[best]
    return y


@njit(cache=True)
def greedy_keep(G: Float, m: int) -> Bool:
    """Prune everything, then keep n - m tokens one by one, each time the one that saves most energy. O(n (n - m))."""
    n = len(G)
    y = np.ones(n, dtype=np.bool_)
    saved = -np.diag(G).copy()  # 2 sum_{j pruned} G_ij - G_ii
    for i in range(n):
        saved[i] += 2.0 * G[i].sum()
    for _ in range(n - m):
        best = -1
        for i in range(n):
            if y[i] and (best < 0 or saved[i] > saved[best]):
                best = i
        y[best] = False
        saved -= 2.0 * G[best]
    return y


@njit(cache=True)
def energy_of(G: Float, y: Bool) -> float:
    """y^T G y, from its entries."""
    total = 0.0
    chosen = np.flatnonzero(y)
    for i in chosen:
        for j in chosen:
            total += G[i, j]
    return total


@njit(cache=True)
def swap(G: Float, y: Bool, rounds: int) -> tuple[Bool, float]:
    """(y, energy) after at most `rounds` best 1-swaps, ended when none helps. A round is at most O(m (n - m)).

    Keeping i and pruning j instead changes the energy by G_ii - 2 h_i + G_jj + 2 h_j - 2 G_ij, h = G y. Row i is
    skipped when even its largest entry could not beat the best swap so far.
    """
    y = y.copy()
    n = len(G)
    largest = np.empty(n)
    h = np.zeros(n)
    for i in range(n):
        largest[i] = G[i].max()
        if y[i]:
            h += G[i]
    smallest_gain = 1e-12 * np.diag(G).max()
    for _ in range(rounds):
        pruned, kept = np.flatnonzero(y), np.flatnonzero(~y)
        entering = np.empty(len(kept))
        for b in range(len(kept)):
            entering[b] = G[kept[b], kept[b]] + 2.0 * h[kept[b]]
        cheapest = entering.min() if len(kept) else np.inf
        best, out, into = -smallest_gain, -1, -1
        for i in pruned:
            leaving = G[i, i] - 2.0 * h[i]
            if leaving + cheapest - 2.0 * largest[i] >= best:
                continue
            row = G[i]
            for b in range(len(kept)):
                change = leaving + entering[b] - 2.0 * row[kept[b]]
                if change < best:
                    best, out, into = change, i, kept[b]
        if out < 0:
            break
        y[out], y[into] = False, True
        h += G[into] - G[out]
    return y, energy_of(G, y)


def multi_start(G: Float, m: int, starts: int, seed: int, deadline: float) -> tuple[Bool, float]:
    """(y, energy), the best of both greedy sets and of `starts` kicked copies of the best so far, all improved by `swap`.

    A kick exchanges random tokens, 2 of them after a success and twice as many after each failure, up to a quarter of
    all. No start begins after the deadline, a time of `time.perf_counter`.
    """
    n = len(G)
    rng = np.random.default_rng(seed)
    best, least = greedy_prune(G, m), np.inf
    least = energy_of(G, best)
    for start in (best, greedy_keep(G, m)):
        if time.perf_counter() < deadline:
            y, energy = swap(G, start, 10 * n)
            if energy < least:
                best, least = y, energy
    size = 2
    for _ in range(starts if 0 < m < n else 0):
        if time.perf_counter() >= deadline:
            break
        count = min(size, m, n - m)
        y = best.copy()
        y[rng.choice(np.flatnonzero(best), count, replace=False)] = False
        y[rng.choice(np.flatnonzero(~best), count, replace=False)] = True
        y, energy = swap(G, y, 10 * n)
        if energy < least - 1e-12 * abs(least):
            best, least, size = y, energy, 2
        else:
            size = min(2 * size, max(2, n // 4))
    return best, least

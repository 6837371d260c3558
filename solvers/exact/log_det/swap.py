"""Greedy MAP and swap search for max log det L_S, |S| = k."""

from __future__ import annotations

import time

import numpy as np
from numba import njit

from mmdp.checks import Bool, Float, Int

PIVOT = 1e-12  # residual share of L_jj at or below which a token counts as dependent


@njit(cache=True)
def complete(L: Float, start: Int, k: int, banned: Bool) -> tuple[Int, bool]:
    """(members, regular) : `start` completed greedily to k tokens by incremental Cholesky; ties to the lowest index.

    Each step takes the unbanned token of largest residual L_jj - L_jS L_S^-1 L_Sj. `regular` says that no residual was
    negligible; after one, the tokens of lowest index follow. O(n k^2).
    """
    n = len(L)
    members = np.empty(k, dtype=np.int64)
    rows = np.empty((k, n))
    residual = np.diag(L).copy()
    taken = banned.copy()
    regular = True
    for c in range(k):
        best = -1
        if c < len(start):
            best = start[c]
        else:
            for j in range(n):
                if not taken[j] and (best < 0 or residual[j] > residual[best]):
                    best = j
            if best < 0:  # more tokens banned than can be spared
                for j in range(n):
                    if not (members[:c] == j).any():
                        best = j
                        break
        members[c], taken[best] = best, True
        pivot = residual[best]
        if pivot <= PIVOT * L[best, best] or pivot <= 0.0:
            regular = False
            rows[c] = 0.0
            continue
        row = L[best].copy()
        for b in range(c):
            row -= rows[b, best] * rows[b]
        row /= np.sqrt(pivot)
        rows[c] = row
        residual -= row * row
    return members, regular


@njit(cache=True)
def swap(L: Float, members: Int, rounds: int) -> tuple[Int, float]:
    """(members, log det) after at most `rounds` best 1-swaps, ended when none helps, from a regular set.

    Replacing i in S by j outside multiplies det L_S by B_ii (L_jj - L_jS B L_Sj) + (B L_Sj)_i^2, B = L_S^-1.
    O(k^2 n) a round.
    """
    members = members.copy()
    n, k = len(L), len(members)
    diagonal = np.diag(L).copy()
    inside = np.zeros(n, dtype=np.bool_)
    inside[members] = True
    for _ in range(rounds):
        block = np.empty((k, n))
        square = np.empty((k, k))
        for a in range(k):
            block[a] = L[members[a]]
            for b in range(k):
                square[a, b] = L[members[a], members[b]]
        B = np.linalg.inv(square)
        W = B @ block
        residual = diagonal - (block * W).sum(axis=0)
        best, out, into = 1.0 + 1e-9, -1, -1
        for j in range(n):
            if inside[j]:
                continue
            off = max(residual[j], 0.0)
            for a in range(k):
                ratio = B[a, a] * off + W[a, j] * W[a, j]
                if ratio > best:
                    best, out, into = ratio, a, j
        if out < 0:
            break
        inside[members[out]], inside[into] = False, True
        members[out] = into
    square = np.empty((k, k))
    for a in range(k):
        for b in range(k):
            square[a, b] = L[members[a], members[b]]
    sign, value = np.linalg.slogdet(square)
    return members, value if sign > 0 else -np.inf


def multi_start(L: Float, k: int, starts: int, seed: int, deadline: float) -> tuple[Int, float]:
    """(members, log det), the best of greedy MAP and of `starts` kicked copies of the best so far, all improved by `swap`.

    A kick throws random members out, 2 after a success and twice as many after each failure, up to all (then from 2
    again), lets one random token in, and completes the rest greedily without the outcasts. -inf and the greedy set
    where greedy finds no regular one. No start begins after the deadline, a time of `time.perf_counter`.
    """
    n = len(L)
    rng = np.random.default_rng(seed)
    nobody = np.zeros(n, dtype=np.bool_)
    best, regular = complete(L, np.empty(0, dtype=np.int64), k, nobody)
    if not regular:
        return best, -np.inf
    best, value = swap(L, best, 10 * k if time.perf_counter() < deadline else 0)
    size = 2
    for _ in range(starts):
        if time.perf_counter() >= deadline:
            break
        out = rng.choice(k, min(size, k), replace=False)
        banned = nobody.copy()
        banned[best[out]] = True
        start = np.delete(best, out)
        guest = rng.integers(n)
        if guest not in best:
            start = np.append(start, guest)
        members, regular = complete(L, start, k, banned)
        size = 2 * size if size < k else 2
        if regular:
            members, found = swap(L, members, 10 * k)
            if found > value + 1e-12 * max(1.0, abs(value)):
                best, value, size = members, found, 2
    return best, value

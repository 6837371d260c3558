"""Greedy MAP and swap search for max log det L_S, |S| = k."""

from __future__ import annotations

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


class Kicks:
    """Iterated swap search: kick the best set known, repair it greedily, climb by `swap`.

    Kicks of two kinds take turns. One throws random members out, 2 after a success and twice as many after each
    failure, up to all (then from 2 again), lets one random token in, and completes the rest greedily without the
    outcasts. The other puts random tokens in the place of one member in six, at least three.

    Attributes
    ----------
    failures : kicks since the last improvement.
    """

    def __init__(self, L: Float, k: int, seed: int) -> None:
        self.L, self.k = L, k
        self.rng = np.random.default_rng(seed)
        self.nobody = np.zeros(len(L), dtype=np.bool_)
        self.out = 2
        self.failures = 0

    def greedy(self) -> tuple[Int, bool]:
        """(the set of greedy MAP, whether it is regular)."""
        return complete(self.L, np.empty(0, dtype=np.int64), self.k, self.nobody)

    def climb(self, members: Int) -> Int:
        """To a set that no swap improves."""
        return swap(self.L, members, 10 * self.k)[0]

    def kicked(self, best: Int) -> Int | None:
        """A set climbed to from a kick of `best`, a regular set; None where the kick ends in a singular one."""
        self.failures += 1
        start, banned = self._replaced(best) if self.failures % 2 else self._thinned(best)
        members, regular = complete(self.L, start, self.k, banned)
        return self.climb(members) if regular else None

    def _thinned(self, best: Int) -> tuple[Int, Bool]:
        outcasts = self.rng.choice(self.k, min(self.out, self.k), replace=False)
        guest = self.rng.integers(len(self.L))
        banned = self.nobody.copy()
        banned[best[outcasts]] = True
        start = np.delete(best, outcasts)
        self.out = 2 * self.out if self.out < self.k else 2
        return start if guest in best else np.append(start, guest), banned

    def _replaced(self, best: Int) -> tuple[Int, Bool]:
        outside = np.setdiff1d(np.arange(len(self.L)), best)
        count = min(max(3, self.k // 6), self.k, len(outside))
        start = best.copy()
        start[self.rng.choice(self.k, count, replace=False)] = self.rng.choice(outside, count, replace=False)
        return start, self.nobody

    def succeeded(self) -> None:
        """The last kick improved on the best set."""
        self.out, self.failures = 2, 0

"""The sets of k tokens whose log det, or whose rank-1 energy, is near the best: walks of swaps that keep it so."""

from __future__ import annotations

import itertools
import math
import time

import numpy as np

from mmdp import ConditionalDPP, ImplicitWeight
from mmdp.checks import Float, Int
from solvers.answer import Request
from solvers.exact.max_min.compiled import kernel
from solvers.local_search.iterated import kick
from solvers.local_search.naive import SEARCHES

MOST_SUBSETS = 5_000  # of the enumeration
PROPOSALS = 100_000
MOVES = {"conditional-dpp": 100, "implicit-weight": 10_000}  # of one walk: O(k^2 n), and O(n) each


@kernel
def wander_log_det(L: Float, tokens: Int, room: float, leaving: Int, entering: Int, moves: int) -> int:
    """Walk, in place, while log det L_S stays at most `room` below that of the first set; swaps made.

    Replacing i in S by j multiplies det L_S by B_ii (L_jj - L_jS B L_Sj) + (B L_Sj)_i^2, B = L_S^-1.
    """
    n, k = len(L), len(tokens)
    inside = np.zeros(n, np.bool_)
    inside[tokens] = True
    made, stale = 0, True
    B, W, rest = np.empty((k, k)), np.empty((k, n)), np.empty(n)
    for s in range(len(leaving)):
        a, new = leaving[s], entering[s]
        if inside[new]:
            continue
        if stale:
            block = np.empty((k, n))
            square = np.empty((k, k))
            for b in range(k):
                block[b] = L[tokens[b]]
                for c in range(k):
                    square[b, c] = L[tokens[b], tokens[c]]
            B = np.linalg.inv(square)
            W = B @ block
            for j in range(n):
                rest[j] = L[j, j]
                for b in range(k):
                    rest[j] -= block[b, j] * W[b, j]
            stale = False
        ratio = B[a, a] * max(rest[new], 0.0) + W[a, new] * W[a, new]
        if ratio <= 0.0 or room + math.log(ratio) < 0.0:
            continue
        room += math.log(ratio)
        inside[tokens[a]], inside[new] = False, True
        tokens[a] = new
        stale = True
        made += 1
        if made == moves:
            break
    return made


@kernel
def wander_energy(G: Float, tokens: Int, room: float, leaving: Int, entering: Int, moves: int) -> int:
    """Walk, in place, while the energy of the pruned tokens is at most `room` above that of the first set; swaps made.

    Pruning i and keeping j instead changes it by G_ii + 2 h_i + G_jj - 2 h_j - 2 G_ij, h = G y.
    """
    n = len(G)
    inside = np.zeros(n, np.bool_)
    inside[tokens] = True
    h = np.zeros(n)
    for i in range(n):
        if not inside[i]:
            h += G[i]
    made = 0
    for s in range(len(leaving)):
        old, new = tokens[leaving[s]], entering[s]
        if inside[new]:
            continue
        change = G[old, old] + 2.0 * h[old] + G[new, new] - 2.0 * h[new] - 2.0 * G[old, new]
        if change > room:
            continue
        room -= change
        h += G[old] - G[new]
        inside[old], inside[new] = False, True
        tokens[leaving[s]] = new
        made += 1
        if made == moves:
            break
    return made


class SwapLevel:
    """A level set of log det or of the rank-1 energy, reached by enumeration, by restarts and by a walk."""

    def __init__(self, problem: ConditionalDPP | ImplicitWeight, threshold: float, best: Int) -> None:
        self.problem, self.threshold, self.best = problem, threshold, best
        self._search = SEARCHES[problem.name](problem)
        if isinstance(problem, ConditionalDPP):
            self._matrix, self._wander = np.ascontiguousarray(problem.kernel), wander_log_det
        else:
            self._matrix, self._wander = np.ascontiguousarray(problem.gram), wander_energy

    def everything(self, most: int, deadline: float) -> Int | None:
        """(count, k) ascending rows, or None: more than `most`, too many subsets to look at, or no time for them."""
        n, k = self.problem.n, self.problem.k
        if math.comb(n, k) > MOST_SUBSETS:
            return None
        good: list[Int] = []
        for subset in map(np.array, itertools.combinations(range(n), k)):
            if time.perf_counter() >= deadline or len(good) > most:
                return None
            if self.problem.value(subset) >= self.threshold:
                good.append(subset)
        return np.array(good).reshape(-1, k) if len(good) <= most else None

    def restart(self, rng: np.random.Generator, deadline: float) -> Int | None:
        """A set found by best-improvement swaps from the best set with a sixth of its members replaced at random."""
        request = Request(max(0.0, deadline - time.perf_counter()))
        found = self._search.climb(kick(self.best, np.arange(self.problem.n), rng), request)
        return np.sort(found) if self.problem.value(found) >= self.threshold else None

    def walk(self, tokens: Int, rng: np.random.Generator) -> Int:
        """Where a random walk of swaps within the level ends."""
        n, k = self.problem.n, self.problem.k
        room = self.problem.value(tokens) - self.threshold
        at = tokens.copy()
        draws = rng.integers(0, k, PROPOSALS), rng.integers(0, n, PROPOSALS)
        self._wander(self._matrix, at, room, *draws, MOVES[self.problem.name])
        return np.sort(at) if self.problem.value(at) >= self.threshold else tokens

"""Good sets fast: farthest-first traversals from many tokens, then min-conflicts tabu search at rising thresholds."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from mmdp.checks import Float, Int
from solvers.exact.max_min.bitsets import Words
from solvers.exact.max_min.bracket import Bracket
from solvers.exact.max_min.compiled import kernel

Short = npt.NDArray[np.int16]
SLICE = 20_000  # iterations between two looks at the clock
LATER_STEP = 3  # levels above the best value that a second call tries first
BLOCKED = np.int16(32_000)


@kernel
def farthest_first_starts(distances: Float, k: int, starts: Int) -> tuple[Int, float]:
    """The best of the farthest-first traversals :cite:p:`gonzalez1985clustering` from the given tokens, and its value.

    O(k n) per start.
    """
    n = len(distances)
    best_value = -1.0
    best = np.empty(k, np.int64)
    tokens = np.empty(k, np.int64)
    for start in starts:
        nearest = distances[start].copy()
        nearest[start] = -1.0
        tokens[0] = start
        value = np.inf
        for c in range(1, k):
            token = np.argmax(nearest)
            value = nearest[token]  # never increases
            if value <= best_value:
                break
            tokens[c] = token
            for i in range(n):
                nearest[i] = min(nearest[i], distances[token, i])
            nearest[token] = -1.0
        if value > best_value:
            best_value = value
            best[:] = tokens
    return best, best_value


@kernel
def conflict_rows(distances: Float, threshold: float) -> Short:
    """(n, n) 1 where d_ij < threshold, i != j."""
    n = len(distances)
    rows = np.empty((n, n), np.int16)
    for i in range(n):
        for j in range(n):
            rows[i, j] = distances[i, j] < threshold
        rows[i, i] = 0
    return rows


@kernel
def _below(state: Words, m: int) -> int:
    """A random number in 0 .. m-1 (xorshift*)."""
    x = state[0]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    state[0] = x
    return np.int64((((x * np.uint64(2685821657736338717)) >> np.uint64(33)) * np.uint64(m)) >> np.uint64(31))


@kernel
def min_conflicts(
    rows: Short, tokens: Int, inside: Short, conflicts: Short, until: Int, first: int, last: int, state: Words
) -> tuple[int, int]:
    """Swap one token of the set at a time until no pair conflicts; iterations first .. last-1.

    Out goes a non-tabu token with most conflicts, in comes one with fewest; among equals a pair in conflict with each
    other is preferred (the swap then gains one more), else chance decides. Tenures as in adaptive multistart tabu
    search for cliques :cite:p:`wu2012multineighborhood`. `inside`, `conflicts` and `until` carry the state; returns
    (conflicting pairs left, iterations done).
    """
    n, k = len(rows), len(tokens)
    total = 0
    for a in range(k):
        total += conflicts[tokens[a]]
    total //= 2
    leaving = np.empty(k, np.int64)
    entering = np.empty(n, np.int64)
    cost = np.empty(n, np.int16)
    for iteration in range(first, last):
        if total == 0:
            return 0, iteration
        worst = np.int16(-1)
        out_count = 0
        for a in range(k):
            i = tokens[a]
            if until[i] <= iteration:
                if conflicts[i] > worst:
                    worst = conflicts[i]
                    out_count = 0
                if conflicts[i] == worst:
                    leaving[out_count] = a
                    out_count += 1
        for i in range(n):
            cost[i] = BLOCKED if inside[i] or until[i] > iteration else conflicts[i]
        least = BLOCKED
        for i in range(n):
            least = min(least, cost[i])
        if out_count == 0 or least == BLOCKED:
            continue
        in_count = 0
        for i in range(n):
            if cost[i] == least:
                entering[in_count] = i
                in_count += 1
        x, y = _below(state, out_count), _below(state, in_count)
        a, new = leaving[x], entering[y]
        linked = rows[tokens[a], new] == 1
        for s in range(out_count):
            if linked:
                break
            for t in range(in_count):
                if rows[tokens[leaving[(x + s) % out_count]], entering[(y + t) % in_count]] == 1:
                    a, new = leaving[(x + s) % out_count], entering[(y + t) % in_count]
                    linked = True
                    break
        old = tokens[a]
        total += np.int64(least) - np.int64(worst) - (1 if linked else 0)
        tokens[a] = new
        inside[old], inside[new] = 0, 1
        for i in range(n):
            conflicts[i] += rows[new, i] - rows[old, i]
        tenure = min(total, 10)
        until[old] = iteration + 1 + tenure + _below(state, max(k // 40, 6))
        until[new] = iteration + 1 + tenure * 6 // 10 + _below(state, max(k * 6 // 400, 4))
    return total, last


class Climber:
    """Raises the lower end of a bracket."""

    def __init__(self, bracket: Bracket, seed: int) -> None:
        self.bracket = bracket
        self.iterations = 0
        self._step = 0
        self._random = np.array([np.uint64(seed) * np.uint64(2) + np.uint64(0x9E3779B97F4A7C15)], np.uint64)

    def climb(self, patience: int, deadline: float) -> None:
        """Try thresholds above the best value, each for `patience` iterations, until the next level fails too.

        The steps are a quarter of the open levels at first; in later calls they start small.
        """
        bracket = self.bracket
        step = self._step or max(1, (bracket.high - bracket.low) // 4)
        while not bracket.closed and time.perf_counter() < deadline:
            index = min(bracket.low + step, bracket.high - 1)
            tokens = self._attempt(float(bracket.levels[index]), patience, deadline)
            if tokens is not None:
                bracket.found(tokens)
                step *= 1 + (self._step > 0)
            elif index == bracket.low + 1:
                break
            else:
                step = max(1, (index - bracket.low) // 3)
        self._step = LATER_STEP

    def _attempt(self, threshold: float, patience: int, deadline: float) -> Int | None:
        """k tokens pairwise at least `threshold` apart, or None when time is up."""
        rows = conflict_rows(self.bracket.distances, threshold)
        tokens = self.bracket.tokens.copy()
        inside = np.zeros(len(rows), np.int16)
        inside[tokens] = 1
        conflicts = rows[tokens].sum(axis=0, dtype=np.int16)
        until = np.zeros(len(rows), np.int64)
        done = 0
        while done < patience and time.perf_counter() < deadline:
            left, done = min_conflicts(
                rows, tokens, inside, conflicts, until, done, min(patience, done + SLICE), self._random
            )
            if left == 0:
                self.iterations += done
                return np.sort(tokens)
        self.iterations += done
        return None

"""Best-improvement 1-swap for log det: all k (n - k) swaps scored at once from one inverse."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import numpy as np

from mmdp import ConditionalDPP
from mmdp.checks import Int
from solvers.answer import Request
from solvers.greedy_map.naive import cholesky_greedy
from solvers.local_search.iterated import iterate

GAIN = 1e-10  # least improvement in nats that counts
TRIES = 20  # swaps tried that by the formula improve; far from singular sets the first one does
ROUNDING = 1e-13  # share of its variance below which a token is a combination of others, up to rounding


class LogDetSearch:
    """Swaps on L = diag(w) C diag(w), C of unit diagonal.

    With B = C_S^-1 and the Schur complement c_j = 1 - C_jS B C_Sj, putting j in the place of i multiplies det L_S by
    (w_j / w_i)^2 (B_ii c_j + (B C_Sj)_i^2). One step costs O(k^2 n).
    """

    def __init__(self, problem: ConditionalDPP) -> None:
        self.problem = problem
        diagonal = problem.kernel.diagonal()
        self.positive = np.flatnonzero(diagonal > 0)
        scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        self.cosine = problem.kernel / scale[:, None] / scale
        self.log_weight = 2 * np.log(scale)

    def greedy(self) -> Int:
        """Greedy MAP."""
        return cholesky_greedy(self.problem.kernel, self.problem.k, last=self.problem.ground.zero_rows)[0]

    def explore(self, subset: Int, turn: int, rng: np.random.Generator, request: Request) -> Int:
        """Iterated local search over the tokens of positive weight."""
        return iterate(self.problem, self.climb, subset, self.positive, turn, rng, request)

    def climb(self, subset: Int, request: Request) -> Int:
        """To a set that no swap improves; a set of value -inf is repaired first, or comes back where that fails."""
        current = self.problem.value(subset)
        if current == -math.inf:
            repaired = self._repaired(subset)
            current = self.problem.value(repaired)
            if current == -math.inf:
                return subset
            subset = repaired
        while request.left > 0:
            for swapped in islice(self._improving(subset), TRIES):
                value = self.problem.value(swapped)
                if value > current + GAIN:
                    subset, current = swapped, value
                    break
            else:
                break
        return subset

    def _repaired(self, subset: Int) -> Int:
        """An independent part of the subset, completed greedily without regard to how small the variances get."""
        first = np.zeros(self.problem.n, dtype=np.bool_)
        first[subset] = True
        last = self.problem.ground.zero_rows
        return cholesky_greedy(self.problem.kernel, len(subset), last=last, first=first, pivot=ROUNDING)[0]

    def _improving(self, subset: Int) -> Iterator[Int]:
        """The sets that a swap should make better, best first; rounding errs near singular sets, so recompute."""
        outside = np.setdiff1d(self.positive, subset)
        if not len(outside):
            return
        inverse = np.linalg.inv(self.cosine[np.ix_(subset, subset)])
        cross = self.cosine[np.ix_(subset, outside)]
        solved = inverse @ cross
        schur = np.maximum(1 - (cross * solved).sum(axis=0), 0.0)
        with np.errstate(divide="ignore"):
            gain = np.log(np.maximum(inverse.diagonal()[:, None] * schur, 0.0) + solved**2)
        gain += self.log_weight[outside] - self.log_weight[subset][:, None]
        while gain.max() > GAIN:
            position, best = np.unravel_index(int(gain.argmax()), gain.shape)
            gain[position, best] = -np.inf
            swapped = subset.copy()
            swapped[position] = outside[best]
            yield swapped

"""Greedy for max-sum diversity, in plain numpy: RepMax of TrimTokenator."""

from __future__ import annotations

import numpy as np

from mmdp import MaxSumDiversity
from mmdp.checks import Float, Int
from solvers.answer import Answer, Request


def run(problem: MaxSumDiversity, request: Request) -> Answer:
    """First the token that is farthest from all others together, then each time the one that adds most to the value.

    max over i of w_i + sum_{j in S} d_ij, w = lam r; for the first token S is the whole ground set. Ties go to the
    lowest index. With d = 1 - cos and no relevance this is RepMax, which starts from the least mean cosine and then
    takes the least sum of cosines to the tokens chosen :cite:p:`zhang2025trimtokenator`.

    Notes
    -----
    In a metric and without relevance, half of the optimum :cite:p:`birnbaum2009improved`; 1 - cos is not a metric. Time
    O(n^2 + n k).

    Examples
    --------
    >>> problem = MaxSumDiversity.from_features([[1, 0], [0, 1], [-1, 0], [1, 1]], k=2)
    >>> run(problem, Request()).indices.tolist()
    [2, 0]
    """
    return Answer(sum_greedy(problem.distances, problem.weights, problem.k))


def sum_greedy(distances: Float, weights: Float, k: int) -> Int:
    """The first k tokens."""
    chosen = np.empty(k, dtype=np.int64)
    gain = weights + distances.sum(axis=1)
    near = weights.copy()
    for t in range(k):
        gain[chosen[:t]] = -np.inf
        j = chosen[t] = int(np.argmax(gain))
        near = near + distances[j]
        gain = near.copy()
    return chosen

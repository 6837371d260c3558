"""Upper bounds on max-sum diversity."""

from __future__ import annotations

import numpy as np

from mmdp.bounds.rank1 import LARGE, qp_bound, sdp_bound
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.objectives.max_sum import MaxSumDiversity


def row_sum_bound(problem: MaxSumDiversity) -> float:
    """sum_{i < j in S} d_ij + w(S) is at most the sum of the k largest of w_i + (sum of the k - 1 largest d_ij) / 2.

    *Proof.* Every token of S counts half of its k - 1 distances inside S, hence at most half of its k - 1 largest ones.
    QED

    Holds for any distances; rounding, relative 2 n eps, is added. O(n^2 log n).

    Examples
    --------
    >>> row_sum_bound(MaxSumDiversity.from_features(np.eye(3), k=2)) >= 1.0
    True
    """
    k = problem.k
    largest = np.sort(problem.distances, axis=1)[:, problem.n - max(k - 1, 0) :].sum(axis=1)
    share = np.sort(problem.weights + largest / 2)[problem.n - k :]
    size = float(np.abs(problem.weights).sum() + largest.sum())
    return float(share.sum()) + 2 * (problem.n + 2) * float(np.finfo(float).eps) * size


def quadratic_bounds(problem: MaxSumDiversity) -> dict[str, float]:
    """`qp_bound` and, up to 1200 tokens, `sdp_bound` of the form of the problem as a `CardinalityBQP`."""
    bqp = CardinalityBQP.unconstrained(problem)
    relaxations = {"qp": qp_bound} | ({"sdp": sdp_bound} if problem.n <= LARGE else {})
    return {name: bqp.error - bound(bqp.Q, problem.n - bqp.m).value for name, bound in relaxations.items()}

"""Upper bounds that need only the problem, each with its proof and what it adds for rounding."""

from __future__ import annotations

import math

import numpy as np

from mmdp.bounds.colouring import colouring_bound, colouring_bounds
from mmdp.bounds.ddfact import ddfact_bound, ddfact_certificate, ddfact_value_gradient
from mmdp.bounds.factor_rows import compact_factor, factor_of, has_volume
from mmdp.bounds.log_det import hadamard_bound, spectral_bound
from mmdp.bounds.max_min import angle_bound, farthest_first_picks, simplex_bound
from mmdp.bounds.max_sum import quadratic_bounds, row_sum_bound
from mmdp.bounds.rank1 import LARGE, qp_bound, sdp_bound
from mmdp.bounds.relaxed_bound import RelaxedBound
from mmdp.objectives import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem

__all__ = [
    "RelaxedBound",
    "angle_bound",
    "colouring_bound",
    "colouring_bounds",
    "compact_factor",
    "ddfact_bound",
    "ddfact_certificate",
    "ddfact_value_gradient",
    "hadamard_bound",
    "qp_bound",
    "row_sum_bound",
    "sdp_bound",
    "simplex_bound",
    "spectral_bound",
    "upper_bounds",
]


def upper_bounds(problem: Problem) -> dict[str, float]:
    """Every upper bound on the optimum that follows from the problem alone, by name; seconds at n = 576.

    * Any objective: ``"exact"`` alone, the optimum itself, where there is nothing to choose (k = 0 or n, or k = 1 for
      max-min).
    * ``max-min``: ``"colouring"``; for angular distances ``"simplex"``; for them and for a metric (one that was given
      as a matrix, up to 1200 tokens) ``"angle"``, after a farthest-first run of its own.
    * ``conditional-dpp``: ``"hadamard"``, ``"spectral"`` and, up to 1200 tokens or features, ``"ddfact"``; -inf when
      k exceeds the rank of the kernel.
    * ``implicit-weight``: ``"qp"`` and, up to 1200 tokens, ``"sdp"``; never above 0.
    * ``max-sum``: ``"rows"``, ``"qp"`` and, up to 1200 tokens, ``"sdp"``.

    Each is rounded up as its own page says. Constraints are ignored: they only shrink the set of choices, so the
    bounds stay valid. An objective of the user's own gets no bound, nor does a subclass.

    Examples
    --------
    >>> problem = MaxMinDiversity.from_features(np.eye(4), k=3)
    >>> {name: round(bound, 3) for name, bound in upper_bounds(problem).items()}
    {'angle': 2.0, 'simplex': 1.5, 'colouring': 1.0}
    """
    n, k = problem.n, problem.k
    if k in (0, n) or (k == 1 and type(problem) is MaxMinDiversity):
        return {"exact": problem.value(np.arange(k))}
    if type(problem) is MaxMinDiversity:
        return _max_min(problem)
    if type(problem) is ConditionalDPP:
        return _log_det(problem)
    if type(problem) is ImplicitWeight:
        return _rank1(problem)
    if type(problem) is MaxSumDiversity:
        return {"rows": row_sum_bound(problem), **quadratic_bounds(problem)}
    return {}


def _max_min(problem: MaxMinDiversity) -> dict[str, float]:
    ground, k = problem.ground, problem.k
    bounds = {}
    directed = np.flatnonzero(~ground.zero_rows)
    given = ground.metric == "precomputed"
    if len(directed) >= k and (not given or (problem.n <= LARGE and ground.is_metric)):
        value = problem.value(farthest_first_picks(problem.distances, k, directed))
        slack = 1e-9 * float(problem.distances.max()) if given else 0.0  # what is_metric lets pass
        bounds["angle"] = angle_bound(value, ground.metric) + slack
    if ground.metric in ("cosine", "chordal"):
        bounds["simplex"] = simplex_bound(k, ground.metric)
    bounds["colouring"] = colouring_bound(problem.distances, k)
    return bounds


def _log_det(problem: ConditionalDPP) -> dict[str, float]:
    kernel, k = problem.kernel, problem.k
    rows = factor_of(kernel) if problem.ground.features is None else compact_factor(problem.factor)
    spectral = spectral_bound(kernel, k) if has_volume(rows, k) else -math.inf
    bounds = {"hadamard": hadamard_bound(kernel, k), "spectral": spectral}
    if rows.shape[1] <= LARGE:
        bounds["ddfact"] = ddfact_bound(rows, k).value
    return bounds


def _rank1(problem: ImplicitWeight) -> dict[str, float]:
    relaxations = {"qp": qp_bound} | ({"sdp": sdp_bound} if problem.n <= LARGE else {})
    return {name: min(0.0, -bound(problem.gram, problem.k).value) for name, bound in relaxations.items()}

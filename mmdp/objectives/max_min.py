"""Max-min diversity (MMDP, p-dispersion): the objective behind DivPrune."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from mmdp.checks import Float, Int
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet, Metric
from mmdp.problem import GapKind, Problem


class MaxMinDiversity(Problem):
    """max over |S| = k of min over i != j in S of d_ij; +inf for fewer than two tokens.

    With d_ij = 1 - cos(x_i, x_j) this is the problem that DivPrune :cite:p:`alvar2025divprune` poses on the projected
    visual tokens. NP-hard; farthest-first traversal reaches 1/2 of the optimum in a metric
    :cite:p:`ravi1994heuristic` and 1/4 in units of 1 - cos (see the page on guarantees).

    Examples
    --------
    >>> import numpy as np
    >>> problem = MaxMinDiversity.from_features([[1, 0], [0, 1], [-1, 0], [1, 1]], k=2)
    >>> problem.value([0, 2])
    2.0
    """

    name: ClassVar[str] = "max-min"
    gap_kind: ClassVar[GapKind] = "relative"

    @classmethod
    def from_features(
        cls, features: Any, k: int, metric: Metric = "cosine", *, constraints: Constraints | None = None
    ) -> MaxMinDiversity:
        """Tokens as rows of an (n, d) array, any real dtype; `metric` as in `GroundSet`."""
        return cls(GroundSet(features, metric), k, constraints)

    @classmethod
    def from_distances(cls, distances: Any, k: int, *, constraints: Constraints | None = None) -> MaxMinDiversity:
        """A symmetric, non-negative (n, n) matrix with zero diagonal; it need not be a metric."""
        return cls(GroundSet.from_distances(distances), k, constraints)

    @property
    def distances(self) -> Float:
        """(n, n) float64 distances."""
        return self.ground.distances

    def _value(self, subset: Int) -> float:
        if len(subset) < 2:
            return math.inf
        inside = self.distances[np.ix_(subset, subset)]
        return float(inside[np.triu_indices(len(subset), 1)].min())

"""Max-sum diversity (p-dispersion-sum, max-sum diversification): the objective behind TrimTokenator."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from mmdp.checks import Float, Int, as_real
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet, Metric
from mmdp.problem import GapKind, Problem


class MaxSumDiversity(Problem):
    """max over |S| = k of sum_{i < j in S} d_ij + lam sum_{i in S} r_i.

    Known as the maximum diversity problem or p-dispersion-sum :cite:p:`kuby1987programming` and, with relevance r, as
    max-sum diversification :cite:p:`borodin2017maxsum`. For d_ij = 1 - cos and unit vectors u_i the first sum is
    (k^2 - ||sum_{i in S} u_i||^2) / 2, so the most diverse set is the one whose mean direction is shortest: the
    representativeness that TrimTokenator maximises within an image :cite:p:`zhang2025trimtokenator`. A quota per image is a
    partition matroid (`Constraints`). 0 for the empty set, lam r_i for one token. NP-hard.

    The distances of every metric here are of negative type (zero rows under angular distances aside), so that the
    objective is a concave quadratic function on the sets of size k.

    Attributes
    ----------
    relevance : (n,) r, or None.
    lam : its weight.

    Examples
    --------
    >>> problem = MaxSumDiversity.from_features([[1, 0], [0, 1], [-1, 0], [1, 1]], k=3)
    >>> problem.value([0, 1, 2])
    4.0
    >>> MaxSumDiversity.from_distances([[0, 1], [1, 0]], k=2, relevance=[0.5, 1], lam=2).value([0, 1])
    4.0
    """

    name: ClassVar[str] = "max-sum"
    gap_kind: ClassVar[GapKind] = "relative"

    relevance: Float | None
    lam: float

    @classmethod
    def from_features(
        cls,
        features: Any,
        k: int,
        metric: Metric = "cosine",
        *,
        relevance: Any = None,
        lam: float = 1.0,
        constraints: Constraints | None = None,
    ) -> MaxSumDiversity:
        """Tokens as rows of an (n, d) array, any real dtype; `metric` as in `GroundSet`.

        Parameters
        ----------
        relevance : (n,) finite reals, of either sign; None for diversity alone.
        lam : weight of the relevance, finite and >= 0.
        """
        return cls(GroundSet(features, metric), k, constraints)._weighted(relevance, lam)

    @classmethod
    def from_distances(
        cls,
        distances: Any,
        k: int,
        *,
        relevance: Any = None,
        lam: float = 1.0,
        constraints: Constraints | None = None,
    ) -> MaxSumDiversity:
        """A symmetric, non-negative (n, n) matrix with zero diagonal; it need not be a metric."""
        return cls(GroundSet.from_distances(distances), k, constraints)._weighted(relevance, lam)

    def _weighted(self, relevance: Any, lam: float) -> MaxSumDiversity:
        if not (math.isfinite(lam) and lam >= 0):
            raise ValueError(f"lam must be finite and >= 0, got {lam}")
        if relevance is not None:
            relevance = as_real(relevance, "relevance", (1,)).astype(np.float64)
            if len(relevance) != self.n:
                raise ValueError(f"relevance must have one number per token, got {len(relevance)} for {self.n} tokens")
        self.relevance, self.lam = relevance, float(lam)
        return self

    @property
    def distances(self) -> Float:
        """(n, n) float64 distances."""
        return self.ground.distances

    @property
    def weights(self) -> Float:
        """(n,) lam r; zeros without relevance."""
        return np.zeros(self.n) if self.relevance is None else self.lam * self.relevance

    def _value(self, subset: Int) -> float:
        return float(self.distances[np.ix_(subset, subset)].sum() / 2 + self.weights[subset].sum())

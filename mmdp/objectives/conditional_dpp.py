"""Conditional determinantal point process: the objective behind CDPruner."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from mmdp.checks import Float, Int, as_psd, as_weights
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet
from mmdp.problem import GapKind, Problem

SINGULAR = 1e-12  # least eigenvalue of the unit-diagonal kernel at or below which det = 0


class ConditionalDPP(Problem):
    """max over |S| = k of log det L_S with L = diag(w) C diag(w), C_ij = cos(x_i, x_j); natural log.

    The weight w_i is the relevance r_i of token i, or exp(theta r_i / (2 (1 - theta))) when `theta` is given
    :cite:p:`zhang2025cdpruner`; hence log det L_S = sum_{i in S} 2 log w_i + log det C_S. MAP inference in a DPP,
    also known as maximum-entropy sampling :cite:p:`ko1995exact`; NP-hard. log det is submodular, but with w <= 1 no
    gain is positive, so the usual 1 - 1/e of greedy does not apply.

    The value is 0 for the empty set and -inf when L_S is singular: a zero weight, or a least eigenvalue of C_S at most
    1e-12. For k above the rank of L every set has value -inf.

    Examples
    --------
    >>> import numpy as np
    >>> problem = ConditionalDPP.from_features(np.eye(3), k=2, relevance=[1.0, 0.5, 0.1])
    >>> round(problem.value([0, 1]), 4)
    -1.3863
    """

    name: ClassVar[str] = "conditional-dpp"
    gap_kind: ClassVar[GapKind] = "absolute"

    relevance: Float
    theta: float | None

    @classmethod
    def from_features(
        cls,
        features: Any,
        k: int,
        relevance: Any = None,
        theta: float | None = None,
        *,
        constraints: Constraints | None = None,
    ) -> ConditionalDPP:
        """Tokens as rows of (n, d) features and their relevance.

        Parameters
        ----------
        features : (n, d) finite reals.
        k : how many to keep.
        relevance : (n,) finite reals >= 0, taken as they are (scaling to [0, 1] is the caller's); None means all ones.
        theta : None, or the trade-off in [0, 1): 0 ignores relevance, towards 1 only relevance counts.
        """
        problem = cls(GroundSet(features), k, constraints)
        problem.relevance = np.ones(problem.n) if relevance is None else as_weights(relevance, problem.n, "relevance")
        if theta is not None and not 0 <= theta < 1:
            raise ValueError(f"theta must be in [0, 1), got {theta}")
        problem.theta = theta
        return problem

    @classmethod
    def from_kernel(cls, kernel: Any, k: int, *, constraints: Constraints | None = None) -> ConditionalDPP:
        """The (n, n) positive semidefinite matrix L itself."""
        matrix = as_psd(kernel, "kernel")
        problem = cls(GroundSet.of_size(len(matrix)), k, constraints)
        problem.relevance, problem.theta = np.ones(problem.n), None
        problem.__dict__["kernel"] = matrix  # fills the cache of the property
        return problem

    @cached_property
    def weights(self) -> Float:
        """(n,) factors w with L = diag(w) C diag(w)."""
        if self.theta is None:
            return self.relevance
        weights: Float = np.exp(self.theta / (2 * (1 - self.theta)) * self.relevance)
        return weights

    @cached_property
    def kernel(self) -> Float:
        """(n, n) matrix L."""
        kernel: Float = self.weights[:, None] * self.ground.cosines * self.weights[None, :]
        return kernel

    @cached_property
    def factor(self) -> Float:
        """(n, d) rows f_i with L = F F^T."""
        if self.ground.features is not None:
            factor: Float = self.weights[:, None] * self.ground.units
            return factor
        values, vectors = np.linalg.eigh(self.kernel)
        top = values > len(values) * np.finfo(float).eps * max(values[-1], 0.0) if len(values) else values > 0
        return np.asarray(vectors[:, top] * np.sqrt(values[top]))

    def _value(self, subset: Int) -> float:
        if not len(subset):
            return 0.0
        inside = self.kernel[np.ix_(subset, subset)]
        diagonal = np.diag(inside)
        if diagonal.min() <= 0:
            return -math.inf
        scale = np.sqrt(diagonal)
        eigenvalues = np.linalg.eigvalsh(inside / scale[:, None] / scale[None, :])
        if eigenvalues[0] <= SINGULAR:
            return -math.inf
        return float(np.log(eigenvalues).sum() + np.log(diagonal).sum())

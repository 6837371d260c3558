"""A certificate, checkable with one eigenvalue computation, that no k tokens are pairwise at distance >= t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mmdp.certificates import fields
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.far_core import core, distances_of, far_pairs
from mmdp.checks import Float, Int
from mmdp.problem import Problem

MARGIN = 10.0  # rounding of an eigenvalue: MARGIN * m * eps * ||J + Z||_F


def certified_level(multiplier: Float) -> float:
    """lambda_max(J + Z) plus a margin for rounding, c m eps ||J + Z||_F with c = 10; 0 for an empty Z."""
    if not len(multiplier):
        return 0.0
    matrix = multiplier + 1.0
    margin = MARGIN * len(matrix) * np.finfo(np.float64).eps * float(np.linalg.norm(matrix))
    return float(np.linalg.eigvalsh(matrix)[-1]) + margin


@dataclass(frozen=True, eq=False)
class ThetaCertificate(Certificate):
    """Proof that every set of k tokens has two at a distance below `threshold`.

    Tokens outside the (k-1)-core of the far graph (fewer than k - 1 tokens at distance >= t, counted again and again
    in what is left) are in no such set. The others are put into groups of pairwise distance < t; a set takes at most
    one token of each. Call two groups far when any of their tokens are; let Z be symmetric with zero diagonal and
    Z_ab >= 0 for far groups. For k pairwise far groups A, 1_A^T (J + Z) 1_A >= k^2, and ||1_A||^2 = k, hence
    k <= lambda_max(J + Z). So lambda_max(J + Z) < k is the proof. :cite:p:`schrijver1979comparison`

    Attributes
    ----------
    threshold : t > 0.
    k : the size of the sets, >= 2. What holds for k holds for every larger size.
    groups : (n,) group of each token, -1 for tokens outside the core; every token its own group where n is small.
    multiplier : (m, m) matrix Z.
    """

    kind: ClassVar[str] = "theta"

    threshold: float
    k: int
    groups: Int
    multiplier: Float

    def __post_init__(self) -> None:
        object.__setattr__(self, "threshold", fields.number(self.threshold, "threshold"))
        object.__setattr__(self, "k", fields.whole(self.k, "k", least=2))
        object.__setattr__(self, "groups", fields.indices(self.groups, "groups", least=-1))
        object.__setattr__(self, "multiplier", fields.reals(self.multiplier, "multiplier", ndim=2))

    def verify(self, problem: Problem) -> float:
        """The largest distance below the threshold. O(n^2 + m^3)."""
        distances = distances_of(problem, self.kind)
        if self.k > problem.k:
            raise CertificateError(f"the certificate is about sets of {self.k} tokens, the problem about {problem.k}")
        broken = self._broken(distances)
        if broken:
            raise CertificateError(f"theta certificate at threshold {self.threshold}: {broken}")
        return self.bound(distances)

    def holds(self, distances: Float) -> bool:
        """Whether this proves, for these (n, n) distances, that the optimum is below the threshold. O(n^2 + m^3)."""
        return self._broken(distances) is None

    def bound(self, distances: Float) -> float:
        """The proven upper bound: the largest distance below the threshold."""
        return float(distances[distances < self.threshold].max())

    def _broken(self, distances: Float) -> str | None:
        Z, groups = self.multiplier, self.groups
        if not self.threshold > 0:
            return "the threshold must be above 0"
        if groups.shape != (len(distances),) or Z.shape[0] != Z.shape[1] or groups.max(initial=-1) >= len(Z):
            return f"{len(groups)} groups and a multiplier of shape {Z.shape} do not fit {len(distances)} tokens"
        far = far_pairs(distances, self.threshold)
        if (core(far, self.k) & (groups < 0)).any():
            return "a token of the core has no group"
        inside = np.flatnonzero(groups >= 0)
        far_groups = np.zeros(Z.shape, dtype=np.bool_)
        i, j = np.nonzero(far[np.ix_(inside, inside)])
        far_groups[groups[inside][i], groups[inside][j]] = True
        if np.diag(far_groups).any():
            return "two tokens of a group are far apart"
        if (Z != Z.T).any() or np.diag(Z).any() or (Z[far_groups] < 0).any():
            return "the multiplier must be symmetric, zero on the diagonal and >= 0 between far groups"
        level = certified_level(Z)
        return None if level < self.k else f"it reaches {level:.9g}, which is not below k = {self.k}"

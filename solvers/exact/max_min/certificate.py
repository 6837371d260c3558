"""A certificate, checkable with one eigenvalue computation, that no k tokens are pairwise at distance >= t."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmdp.checks import Float, Int

MARGIN = 10.0  # rounding of an eigenvalue: MARGIN * m * eps * ||J + Z||_F


def certified_level(multiplier: Float) -> float:
    """lambda_max(J + Z) plus a margin for rounding, c m eps ||J + Z||_F with c = 10."""
    matrix = multiplier + 1.0
    margin = MARGIN * len(matrix) * np.finfo(np.float64).eps * float(np.linalg.norm(matrix))
    return float(np.linalg.eigvalsh(matrix)[-1]) + margin


@dataclass(frozen=True, eq=False)
class ThetaCertificate:
    """Proof that every set of k tokens has two at a distance below `threshold`.

    Tokens outside the (k-1)-core of the far graph (fewer than k - 1 tokens at distance >= t, counted again and again
    in what is left) are in no such set. The others are put into groups of pairwise distance < t; a set takes at most
    one token of each. Call two groups far when any of their tokens are; let Z be symmetric with zero diagonal and
    Z_ab >= 0 for far groups. For k pairwise far groups A, 1_A^T (J + Z) 1_A >= k^2, and ||1_A||^2 = k, hence
    k <= lambda_max(J + Z). So lambda_max(J + Z) < k is the proof. :cite:p:`schrijver1979comparison`

    Attributes
    ----------
    threshold : t.
    k : the size of the sets.
    groups : (n,) group of each token, -1 for tokens outside the core; every token its own group where n is small.
    multiplier : (m, m) matrix Z.
    """

    threshold: float
    k: int
    groups: Int
    multiplier: Float

    def holds(self, distances: Float) -> bool:
        """Whether this proves, for these (n, n) distances, that the optimum is below the threshold. O(n^2 + m^3)."""
        far = distances >= self.threshold
        np.fill_diagonal(far, False)
        m = len(self.multiplier)
        if self.groups.shape != (len(distances),) or self.groups.max(initial=-1) >= m:
            return False
        inside = self.groups >= 0
        alive = np.ones(len(far), dtype=np.bool_)
        while True:  # the core is the same whatever the order of dropping
            weak = alive & (far[:, alive].sum(axis=1) < self.k - 1)
            if not weak.any():
                break
            alive &= ~weak
        if (alive & ~inside).any():
            return False
        far_groups = np.zeros((m, m), dtype=np.bool_)
        i, j = np.nonzero(far[np.ix_(inside, inside)])
        labels = self.groups[inside]
        far_groups[labels[i], labels[j]] = True
        Z = self.multiplier
        shape = (Z == Z.T).all() and not np.diag(Z).any() and bool((Z[far_groups] >= 0).all())
        return bool(shape and not np.diag(far_groups).any() and certified_level(Z) < self.k)

    def bound(self, distances: Float) -> float:
        """The proven upper bound: the largest distance below the threshold."""
        return float(distances[distances < self.threshold].max())

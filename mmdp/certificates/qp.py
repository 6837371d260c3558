"""A diagonal shift and a point: a lower bound on a quadratic form in 0/1 variables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import lapack

from mmdp.bounds.capped_simplex import largest_sum
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates import fields
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.checks import Float
from mmdp.objectives import ImplicitWeight, MaxSumDiversity
from mmdp.problem import Problem

EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class QPCertificate(Certificate):
    """Proof that y^T Q y >= -x^T A x + (sum of the m smallest g_i), A = Q - Diag(shift), g = 2 A x + shift.

    y runs over the 0/1 vectors with m ones, and minus y^T Q y is the value of the set that y stands for
    (`CardinalityBQP`: for implicit weights Q = G and y marks the m = n - k pruned tokens). For such y, y^T Q y =
    y^T A y + shift . y, and y^T A y >= 2 x^T A y - x^T A x as soon as A is positive semidefinite, whatever x
    :cite:p:`billionnet2007using`.

    *Rounding.* With s_i^2 = Q_ii (floored at 1e-6 of the largest entry) and B_ij = A_ij / (s_i s_j), a Cholesky
    factorisation of B + c I that runs to its end in float64 proves B >= -2 c I, for c = 2 (n + 8) eps (sum |B_ii| +
    3 ||B||_F) :cite:p:`rump2006verification`. The shift is lowered by 2.5 c s_i^2 to pay for it, and the a-priori errors
    of x^T A x, of g and of the sums are subtracted, twice. So the margins scale with the matrix.

    Attributes
    ----------
    shift : (n,) reals.
    x : (n,) reals; the nearer to the minimiser of the relaxed form, the better the bound.
    """

    kind: ClassVar[str] = "qp"

    shift: Float
    x: Float

    def __post_init__(self) -> None:
        object.__setattr__(self, "shift", fields.reals(self.shift, "shift"))
        object.__setattr__(self, "x", fields.reals(self.x, "x"))

    def verify(self, problem: Problem) -> float:
        """Minus that bound, and never above 0 for implicit weights. A Cholesky factorisation, O(n^3)."""
        if type(problem) not in (ImplicitWeight, MaxSumDiversity):
            raise CertificateError(f"a qp certificate is about a quadratic objective, got a problem of {problem.name}")
        if not len(self.shift) == len(self.x) == problem.n:
            raise CertificateError(
                f"shift and x must hold {problem.n} numbers each, got {len(self.shift)} and {len(self.x)}"
            )
        form = CardinalityBQP.unconstrained(problem)
        return form.error - max(form.floor, energy_bound(form.Q, form.m, self.shift, self.x))


def energy_bound(Q: Float, m: int, shift: Float, x: Float) -> float:
    """The lower bound of `QPCertificate`; CertificateError where Q - Diag(shift) is not positive semidefinite."""
    n = len(Q)
    A = Q - np.diag(shift)
    A += np.diag(_lift(Q, A))
    Ax, spread = A @ x, np.abs(A) @ np.abs(x)
    shift = np.diag(Q) - np.diag(A)
    g = 2 * Ax + shift
    each = 2 * (n + 2) * EPS * spread + 2 * EPS * (np.abs(shift) + np.abs(np.diag(A)))
    sums = (m + 2) * EPS * largest_sum(np.abs(g), m) + (n + 2) * 2 * EPS * float(np.abs(x) @ spread)
    return -float(x @ Ax) - largest_sum(-g, m) - 2 * (largest_sum(each, m) + sums)


def _lift(Q: Float, A: Float) -> Float:
    """What to add to the diagonal of A so that it is positive semidefinite for certain; CertificateError for much."""
    n = len(A)
    peak = float(np.abs(Q).max(initial=0.0))
    s2 = np.maximum(np.abs(np.diag(Q)), 1e-6 * peak) if peak > 0 else np.ones(n)
    s = np.sqrt(s2)
    B = A / s[:, None] / s[None, :]
    c = 2 * (n + 8) * EPS * (float(np.abs(np.diag(B)).sum()) + 3 * float(np.linalg.norm(B)))
    _, failed = lapack.dpotrf(B + c * np.eye(n), lower=1)
    if failed:
        raise CertificateError("the matrix less the shift is not positive semidefinite")
    lift: Float = 2.5 * c * s2
    return lift

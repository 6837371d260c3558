"""A point of the factorisation bound on log det L_S."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from mmdp.bounds.ddfact import ddfact_certificate
from mmdp.bounds.factor_rows import has_volume
from mmdp.certificates import fields
from mmdp.certificates.certificate import Certificate, CertificateError
from mmdp.certificates.plain import dpp_of, factor_rows
from mmdp.checks import Float
from mmdp.problem import Problem


@dataclass(frozen=True, eq=False)
class DDFactCertificate(Certificate):
    """The linearisation of Gamma_k at a point x, valid at every x >= 0: `ddfact_certificate`, which has the proof.

    Attributes
    ----------
    x : (n,) reals >= 0; the nearer to the maximiser of Gamma_k, the better the bound.
    """

    kind: ClassVar[str] = "ddfact"

    x: Float

    def __post_init__(self) -> None:
        object.__setattr__(self, "x", fields.reals(self.x, "x"))

    def verify(self, problem: Problem) -> float:
        """The bound at x; -inf when every k tokens are singular. One eigendecomposition of order min(n, d)."""
        dpp = dpp_of(problem, self.kind)
        if len(self.x) != dpp.n or self.x.min(initial=0.0) < 0:
            raise CertificateError(
                f"x must hold {dpp.n} numbers >= 0, got {len(self.x)}, the least of them {_least(self.x)}"
            )
        rows = factor_rows(dpp)
        if not has_volume(rows, dpp.k):
            return -math.inf
        bound = ddfact_certificate(rows, dpp.k, self.x)
        if bound == math.inf:
            raise CertificateError(f"x carries fewer than k = {dpp.k} independent tokens")
        return bound


def _least(x: Float) -> float:
    return float(x.min(initial=math.inf))

"""The certificate of a bound that one point of the factorisation bound proves."""

from __future__ import annotations

import numpy as np

from mmdp import ConditionalDPP
from mmdp.certificates import CertificateError, DDFactCertificate
from mmdp.certify import TOLERANCE
from mmdp.checks import Float


def root_point(problem: ConditionalDPP, x: Float | None, upper: float) -> DDFactCertificate | None:
    """The point x (None means k / n everywhere) where it proves `upper`, to the accuracy that `check` asks for.

    Examples
    --------
    >>> problem = ConditionalDPP.from_kernel(np.eye(4), 2)
    >>> root_point(problem, None, 0.0).verify(problem) < 1e-9  # orthogonal tokens: the bound is exact
    True
    >>> root_point(problem, None, -0.5) is None
    True
    """
    point = DDFactCertificate(np.full(problem.n, problem.k / problem.n) if x is None else x)
    try:
        return point if point.verify(problem) <= upper + 0.9 * TOLERANCE else None
    except CertificateError:
        return None

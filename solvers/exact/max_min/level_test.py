"""Is the largest eigenvalue of J + Z below q? One Cholesky factorisation in float64, with room for its rounding."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float

MARGIN = 10.0  # times m eps (trace + Frobenius norm)


def level_below(multiplier: Float, q: float) -> bool:
    """Whether lambda_max(J + Z) < q is proved for a symmetric (m, m) matrix Z with zero diagonal, q >= 1.

    A factorisation of A = (q - c) I - J - Z that runs to its end has A's smallest eigenvalue above -(m + 1) eps tr A
    to first order, in whatever order sums are taken :cite:p:`rump2006verification`; forming A adds eps times its
    Frobenius norm. c is ten times m times that. False says nothing. O(m^3).

    Examples
    --------
    >>> level_below(np.zeros((3, 3)), 3.001), level_below(np.zeros((3, 3)), 3.0)
    (True, False)
    """
    m = len(multiplier)
    matrix = -1.0 - multiplier
    diagonal = matrix.ravel()[:: m + 1]
    margin = MARGIN * m * np.finfo(np.float64).eps * (m * q + float(np.linalg.norm(matrix)))
    diagonal += q - margin
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True

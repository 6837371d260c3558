"""Two bounds on log det L_S that need one line each. The strong one is in `mmdp.bounds.ddfact`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mmdp.bounds.capped_simplex import largest_sum
from mmdp.checks import as_budget, as_psd

EPS = float(np.finfo(float).eps)


def spectral_bound(L: Any, k: int) -> float:
    """log det L_S <= sum of the k largest log eigenvalues of L, for every |S| = k.

    *Proof* :cite:p:`ko1995exact`. L_S is a principal submatrix, so by Cauchy interlacing its t-th largest eigenvalue
    is at most that of L. QED

    *Tolerance.* 16 n eps times the largest eigenvalue is added to each eigenvalue, which covers the computed
    eigenvalues of L and of L_S alike; hence the bound is finite even for a singular L. Time O(n^3).

    Parameters
    ----------
    L : (n, n) positive semidefinite.
    k : 0 <= k <= n.

    Examples
    --------
    >>> round(spectral_bound(np.diag([4.0, 2.0, 1.0]), 2), 6)
    2.079442
    """
    matrix = as_psd(L, "L")
    k = as_budget(k, len(matrix))
    if k == 0:
        return 0.0
    eigenvalues = np.linalg.eigvalsh(matrix)
    top = np.maximum(eigenvalues[len(matrix) - k :], 0.0) + 16 * len(matrix) * EPS * max(float(eigenvalues[-1]), 0.0)
    return _up(np.log(top).sum(), k) if top[0] > 0 else -math.inf


def hadamard_bound(L: Any, k: int) -> float:
    """log det L_S <= sum of the k largest log L_ii, for every |S| = k.

    *Proof.* Hadamard's inequality: the volume of k vectors is at most the product of their lengths. QED  Attained by
    orthogonal tokens.

    *Tolerance.* Relative rounding of the sum. Time O(n) beyond the check of L.

    Parameters
    ----------
    L : (n, n) positive semidefinite.
    k : 0 <= k <= n; -inf where fewer than k diagonal entries are positive.

    Examples
    --------
    >>> round(hadamard_bound(np.diag([4.0, 2.0, 1.0]), 2), 6)
    2.079442
    """
    matrix = as_psd(L, "L")
    k = as_budget(k, len(matrix))
    positive = np.diag(matrix)[np.diag(matrix) > 0]
    if len(positive) < k:
        return -math.inf
    return _up(largest_sum(np.log(positive), k), k)


def _up(total: float, k: int) -> float:
    return float(total) + 8 * (k + 1) * EPS * (1 + abs(float(total)))

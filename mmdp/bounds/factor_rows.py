"""Factors L = F F^T of a kernel, one row per token."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp.checks import Float, as_features
from mmdp.objectives.conditional_dpp import SINGULAR


def compact_factor(F: Any) -> Float:
    """Rows of width min(n, d) with the inner products of the rows of F, up to rounding relative to their lengths.

    Worth doing once before many calls of `ddfact_certificate` or `ddfact_value_gradient` with wide F.
    """
    rows = as_features(F, "F").astype(np.float64)
    n, d = rows.shape
    if d <= n or not n:
        return rows
    lengths = np.linalg.norm(rows, axis=1)
    units = rows / np.where(lengths > 0, lengths, 1.0)[:, None]
    factor: Float = factor_of(units @ units.T) * lengths[:, None]
    return factor


def factor_of(L: Float) -> Float:
    """(n, n) rows f_i with L = F F^T, up to rounding relative to sqrt(L_ii L_jj): tiny rows keep their digits."""
    diagonal = np.sqrt(np.maximum(np.diag(L), 0.0))
    scale = np.where(diagonal > 0, diagonal, 1.0)
    values, vectors = np.linalg.eigh(L / scale[:, None] / scale[None, :])
    factor: Float = vectors * np.sqrt(np.maximum(values, 0.0)) * diagonal[:, None]
    return factor


def has_volume(rows: Float, k: int) -> bool:
    """Whether some k rows may be independent by the measure of `ConditionalDPP`.

    The least eigenvalue of a k x k principal submatrix of the cosine matrix C is at most the k-th largest of C
    (interlacing), so when that is at most 1e-12 every k rows count as singular. Half of the threshold is asked, for
    rounding.
    """
    lengths = np.linalg.norm(rows, axis=1)
    units = rows[lengths > 0] / lengths[lengths > 0][:, None]
    if min(units.shape) < k:
        return False
    gram = units.T @ units if units.shape[1] <= len(units) else units @ units.T
    return bool(np.linalg.eigvalsh(gram)[-k] > SINGULAR / 2)

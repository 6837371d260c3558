"""Norms of rows, and which of them can be worked with as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from mmdp import GroundSet
from mmdp.ground_set import ZERO_NORM
from solvers.batching import Batch, Sample
from solvers.lazy.compiled import kernel, reduction

LEAST, MOST = ZERO_NORM**2, 1e36  # squared norms between which float32 neither overflows nor loses digits


@reduction
def square(row: Any) -> Any:
    """Squared norm of a row, the same for equal rows."""
    total = row.dtype.type(0)
    for z in range(len(row)):
        total += row[z] * row[z]
    return total


@kernel
def inverse_norm(row: Any) -> Any:
    """(1 / norm, 0 where that is at most 1e-12; whether the square is finite and at most 1e36)."""
    norm = square(row)
    inverse = row.dtype.type(0)
    if norm > LEAST:
        inverse = row.dtype.type(1) / np.sqrt(norm)
    return inverse, norm <= MOST  # False for NaN


@kernel
def inverse_norms(X: Any, valid: Any) -> Any:
    """((n,) inverse norms, 0 where not `valid` or at most 1e-12; whether all squares are finite and at most 1e36)."""
    n = len(X)
    inverse = np.zeros(n, X.dtype)
    fine = True
    for i in range(n):
        if valid[i]:
            inverse[i], here = inverse_norm(X[i])
            fine &= here
    return inverse, fine


def directions(batch: Batch, sample: Sample, look: Callable[..., Any] = inverse_norms) -> tuple[Any, ...]:
    """((n, d) tokens "X" of a sample in C order, (n,) inverse norms, 0 for those without direction and for padding).

    float32, or float64 for float64 tokens and for tokens too long for float32, which are normalised beforehand.
    ValueError for a token that is not finite. Behind them whatever else `look` finds beside what `inverse_norms` does.
    """
    X = sample.floats("X")
    inverse, fine, *more = look(X, sample.valid)
    if not fine:
        batch.refuse_bad_tokens()
        X = np.zeros(X.shape)
        X[sample.valid] = GroundSet(sample.arrays["X"][sample.valid]).units
        inverse, _, *more = look(X, sample.valid)
    return X, inverse, *more

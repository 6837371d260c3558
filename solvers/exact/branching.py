"""Which variable to branch on, from the curvature of the relaxation."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float, Int


@njit(cache=True)
def most_decisive(block: Float, fractional: Int, x: Float) -> int:
    """The fractional coordinate for which both children promise the largest change of the bound.

    `block` is the positive semidefinite matrix B of a quadratic model on the fractional coordinates, whose minimum (or
    that of a concave maximum) lies at x. Moving coordinate j by t, the others following along a fixed sum, changes the
    model by t^2 / P_jj up to a constant factor, P the inverse of B projected along the all-ones vector. The score is
    the product of the changes for t = -x_j and t = 1 - x_j. O(f^3) for f fractional coordinates.
    """
    f = len(fractional)
    trace = 0.0
    for a in range(f):
        trace += block[a, a]
    regular = block.copy()
    for a in range(f):
        regular[a, a] += 1e-9 * trace / f + 1e-300  # copies of a token would make the block singular
    P = np.linalg.inv(regular)
    along = P.sum(axis=1)
    total = along.sum()
    best, chosen = -1.0, 0
    for a in range(f):
        spread = max(P[a, a] - along[a] * along[a] / total, 1e-12 * P[a, a])
        t = x[fractional[a]]
        score = t * (1.0 - t) / spread
        if score > best:
            best, chosen = score, fractional[a]
    return int(chosen)


@njit(cache=True)
def fractional_of(x: Float, interior: float) -> Int:
    """The coordinates further than `interior` from 0 and 1."""
    return np.flatnonzero((x > interior) & (x < 1.0 - interior))

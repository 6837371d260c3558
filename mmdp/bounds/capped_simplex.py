"""The capped simplex {0 <= x <= 1, sum x = s}, on which every relaxation of a budget lives."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float


def project_capped_simplex(y: Float, s: float) -> Float:
    """The nearest point to y, in the Euclidean norm, with 0 <= x <= 1 and sum x = s.

    By the optimality conditions x = clip(y - t, 0, 1) for a number t with sum x = s. That sum falls piecewise
    linearly in t, with kinks at y_i - 1 and y_i; sorting the kinks finds the piece that holds s, and on it t solves a
    linear equation. Exact up to rounding, O(n log n).

    Parameters
    ----------
    y : (n,) finite reals.
    s : 0 <= s <= n.

    Raises
    ------
    ValueError : s outside [0, n].

    Examples
    --------
    >>> project_capped_simplex(np.array([2.0, 0.5, 0.3, -1.0]), 2)
    array([1. , 0.6, 0.4, 0. ])
    """
    n = len(y)
    if not 0 <= s <= n:
        raise ValueError(f"s must be between 0 and n = {n}, got {s}")
    if s in (0, n):
        return np.full(n, 1.0 if s else 0.0)
    kinks = np.concatenate([y - 1.0, y])
    order = np.argsort(kinks, kind="stable")
    kinks = kinks[order]
    free = np.cumsum(np.where(order < n, 1, -1))  # coordinates strictly between 0 and 1 right of each kink
    mass = n - np.concatenate([[0.0], np.cumsum(free[:-1] * np.diff(kinks))])  # sum of clip(y - t, 0, 1) at each kink
    piece = int(np.searchsorted(-mass, -s, side="right")) - 1  # the last kink whose mass is still >= s
    inside = free[piece]
    t = kinks[piece] + ((mass[piece] - s) / inside if inside > 0 else 0.0)
    between = (y - t > 0) & (y - t < 1)
    if between.any():  # once more from the coordinates themselves: free of the errors of the cumulated sum
        t = (y[between].sum() + np.count_nonzero(y - t >= 1) - s) / np.count_nonzero(between)
    x: Float = np.clip(y - t, 0.0, 1.0)
    return x


def largest_sum(values: Float, s: int) -> float:
    """max {values . x : 0 <= x <= 1, sum x = s} for a whole number s: the sum of the s largest entries."""
    if s <= 0:
        return 0.0
    return float(np.partition(values, len(values) - s)[len(values) - s :].sum())

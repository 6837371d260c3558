"""What a linearised bound with a budget says about single tokens, and about all of them in one row."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Bool, Float, Int

UNITS = 1000  # the slack, in the whole numbers of a row
EPS = float(np.finfo(float).eps)


def forced(gradient: Float, count: int, slack: float) -> tuple[Bool, Bool]:
    """Which binaries are 1, and which are 0, in every x with sum x = count and gradient.x >= (its maximum) - slack.

    With the gradient sorted downwards: those with g_i - g_(count+1) > slack, and those with g_(count) - g_j > slack;
    0 < count < n.
    """
    ordered = np.sort(gradient)[::-1]
    slack = slack + _rounding(gradient)
    return gradient - ordered[count] > slack, ordered[count - 1] - gradient > slack


def cost_row(gradient: Float, count: int, slack: float) -> tuple[Int, Bool]:
    """(u, top) such that  sum_{i in top} u_i (1 - x_i) + sum_{i not in top} u_i x_i <= UNITS  for the same x.

    The maximum is lost by g_i - t for each of the `count` top entries left out and t - g_j for each other one taken,
    for any t; with t between g_(count+1) and g_(count) all are >= 0. They are divided by the slack, cut off just
    above it, and rounded down.
    """
    order = np.argsort(-gradient, kind="stable")
    top = np.zeros(len(gradient), dtype=np.bool_)
    top[order[:count]] = True
    between = (gradient[order[count - 1]] + gradient[order[count]]) / 2
    share = np.minimum(np.abs(gradient - between) / (slack + _rounding(gradient)), 1.01)
    return np.floor(UNITS * share).astype(np.int64), top


def _rounding(gradient: Float) -> float:
    """Room for the rounding of sums over the gradient, and above 0."""
    return 8 * len(gradient) * EPS * float(np.abs(gradient).max()) + np.finfo(float).tiny

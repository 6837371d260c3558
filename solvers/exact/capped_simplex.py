"""Projection onto the capped simplex {x in [0, 1]^n: sum x = s}, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float


@njit(cache=True)
def project(y: Float, s: float) -> Float:
    """The nearest point to y in {x: 0 <= x <= 1, sum x = s}, 0 <= s <= n: x_i = min(1, max(0, y_i - t)).

    The sum falls piecewise linearly in t; safeguarded Newton steps find its root in a few passes over y.
    """
    n = len(y)
    low, high, t = np.inf, -np.inf, 0.0
    for i in range(n):
        low = min(low, y[i] - 1.0)
        high = max(high, y[i])
        t += y[i]
    t = (t - s) / n
    for _ in range(100):
        total, slope = 0.0, 0
        for i in range(n):
            z = y[i] - t
            if z >= 1.0:
                total += 1.0
            elif z > 0.0:
                total += z
                slope += 1
        excess = total - s
        if abs(excess) <= 1e-14 * (1.0 + s):
            break
        if excess > 0.0:
            low = max(low, t)
        else:
            high = min(high, t)
        t = t + excess / slope if slope > 0 else 0.5 * (low + high)
        if not low < t < high:  # an end would be tried again for ever
            t = 0.5 * (low + high)
    x = np.empty(n)
    for i in range(n):
        x[i] = min(1.0, max(0.0, y[i] - t))
    return x

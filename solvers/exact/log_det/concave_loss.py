"""What log(1 + m) <= m loses, summed over eigenvalues of which the squares are known."""

from __future__ import annotations

import math


def loss(q: float) -> float:
    """h(q): the least sum of m_i - log(1 + m_i) over numbers m_i > -1 with squares that add up to q.

    m - log(1 + m) is at least h(m^2), with equality for m >= 0; h is concave with h(0) = 0, since its derivative is
    1 / (2 (1 + sqrt(q))), so that the sum of the h(m_i^2) is at least h of the sum.

    >>> round(loss(1.0), 6)
    0.306853
    """
    root = math.sqrt(max(q, 0.0))
    return root - math.log1p(root)


def furthest(gap: float) -> float:
    """The q with h(q) = gap, rounded up by a relative 1e-9.

    >>> round(furthest(1 - math.log(2)), 6)
    1.0
    """
    m = gap + math.sqrt(2 * gap)
    for _ in range(60):
        step = (m - math.log1p(m) - gap) * (1 + m) / m
        m -= step
        if abs(step) <= 1e-13 * m:
            break
    return m * m * (1 + 1e-9)


def chord(low: float, gap: float) -> tuple[float, float]:
    """(a, b) with h(q) >= a + b q for low <= q <= furthest(gap): h is concave and lies above its chord."""
    high, at = furthest(gap), loss(low) * (1 - 1e-12)
    if high <= low * (1 + 1e-9):  # every q that is left has h(q) >= gap, up to rounding
        return at, 0.0
    b = (gap - at) / (high - low)
    return at - b * low, b

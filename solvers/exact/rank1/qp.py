"""Convex quadratic relaxation over the capped simplex, with a lower bound that holds in floating point."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float, Int
from solvers.exact.rank1.quotas import least_sum, project_within


@njit(cache=True)
def linear_bound(A: Float, c: Float, s: int, x: Float, labels: Int, low: Int, high: Int) -> tuple[float, Float]:
    """(bound, gradient at x): y^T A y + c^T y is at least the bound for binary y of sum s within the quotas, ANY x.

    A convex function lies above its tangent: f(y) >= f(x) + g.(y - x) with g = 2 A x + c, and the least value of g.y is
    a `least_sum`. Rounding is left to the caller's margin.
    """
    product = A @ x
    gradient = 2.0 * product + c
    return least_sum(gradient, s, labels, low, high) - (product * x).sum(), gradient


@njit(cache=True)
def minimise(
    A: Float, c: Float, s: int, x: Float, target: float, accuracy: float, iterations: int
) -> tuple[float, Float, Float, float]:
    """`minimise_within` without quotas."""
    none = np.empty(0, dtype=np.int64)
    return minimise_within(A, c, s, x, none, none, none, target, accuracy, iterations)


@njit(cache=True)
def minimise_within(
    A: Float,
    c: Float,
    s: int,
    x: Float,
    labels: Int,
    low: Int,
    high: Int,
    target: float,
    accuracy: float,
    iterations: int,
) -> tuple[float, Float, Float, float]:
    """min x^T A x + c^T x over the capped simplex within the quotas, A positive semidefinite, from the feasible point x.

    Projected gradient with Barzilai-Borwein steps and exact line search. Stops when the bound reaches `target`, when
    it is within `accuracy` of the value, or when the value shows that the target is out of reach.

    Returns
    -------
    (bound, x, gradient, value) : the best `linear_bound`, where it was found, and the value there.
    """
    x = x.copy()
    product = A @ x
    best, gradient = linear_bound(A, c, s, x, labels, low, high)
    best_x, best_gradient = x.copy(), gradient.copy()
    value = (product * x).sum() + (c * x).sum()
    best_value = value
    step = 0.0
    for i in range(len(c)):
        step += abs(A[i, i])
    step = 0.5 / step if step > 0.0 else 1.0
    for it in range(iterations):
        direction = project_within(x - step * gradient, s, labels, low, high) - x
        slope = (gradient * direction).sum()
        if slope >= -1e-3 * accuracy:
            break
        moved = A @ direction
        curvature = (direction * moved).sum()
        length = 1.0 if 2.0 * curvature <= -slope else -slope / (2.0 * curvature)
        x = x + length * direction
        product = product + length * moved
        gradient = 2.0 * product + c
        value = (product * x).sum() + (c * x).sum()
        square = (direction * direction).sum()
        step = 0.5 * square / curvature if curvature > 1e-16 * square else 2.0 * step
        if it % 4 == 3 or it == iterations - 1:
            bound, fresh = linear_bound(A, c, s, x, labels, low, high)
            if bound > best:
                best, best_value = bound, value
                best_x, best_gradient = x.copy(), fresh
            if best >= target or value - best <= accuracy:
                break
            if value < target and value - best <= 0.1 * (target - value):
                break
    return best, best_x, best_gradient, best_value

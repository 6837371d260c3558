"""Convex quadratic relaxation over the capped simplex, with a lower bound that holds in floating point."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float
from solvers.exact.capped_simplex import project


@njit(cache=True)
def linear_bound(A: Float, c: Float, s: int, x: Float) -> tuple[float, Float]:
    """(bound, gradient at x): x^T A x + c^T x is at least the bound on {x in [0, 1]^n: sum x = s}, for ANY x given.

    A convex function lies above its tangent: f(z) >= f(x) + g.(z - x) with g = 2 A x + c, and the least value of g.z is
    the sum of the s smallest g_i. Rounding is left to the caller's margin.
    """
    product = A @ x
    gradient = 2.0 * product + c
    bound = -(product * x).sum()
    ordered = np.sort(gradient)
    for i in range(s):
        bound += ordered[i]
    return bound, gradient


@njit(cache=True)
def minimise(
    A: Float, c: Float, s: int, x: Float, target: float, accuracy: float, iterations: int
) -> tuple[float, Float, Float, float]:
    """min x^T A x + c^T x over the capped simplex, A positive semidefinite, from the feasible point x.

    Projected gradient with Barzilai-Borwein steps and exact line search. Stops when the bound reaches `target`, when
    it is within `accuracy` of the value, or when the value shows that the target is out of reach.

    Returns
    -------
    (bound, x, gradient, value) : the best `linear_bound`, where it was found, and the value there.
    """
    x = x.copy()
    product = A @ x
    best, gradient = linear_bound(A, c, s, x)
    best_x, best_gradient = x.copy(), gradient.copy()
    value = (product * x).sum() + (c * x).sum()
    best_value = value
    step = 0.0
    for i in range(len(c)):
        step += abs(A[i, i])
    step = 0.5 / step if step > 0.0 else 1.0
    for it in range(iterations):
        direction = project(x - step * gradient, s) - x
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
            bound, fresh = linear_bound(A, c, s, x)
            if bound > best:
                best, best_value = bound, value
                best_x, best_gradient = x.copy(), fresh
            if best >= target or value - best <= accuracy:
                break
            if value < target and value - best <= 0.1 * (target - value):
                break
    return best, best_x, best_gradient, best_value

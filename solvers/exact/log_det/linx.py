"""The linx bound on log det, with general scaling: value, derivatives and Newton ascent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from mmdp.checks import Float
from solvers.exact.log_det.ddfact import largest_sum
from solvers.exact.rank1.qp import minimise

EPS = float(np.finfo(float).eps)


class Linx(NamedTuple):
    """linx at one point.

    Attributes
    ----------
    x : the point.
    value : 1/2 log det A(x) - theta.x.
    gradient : with respect to x.
    scaling_gradient : with respect to theta.
    hessian : H, minus twice the Hessian with respect to x; H_ij = tr(A^-1 B_i A^-1 B_j), B_i the derivative of A.
    rounding : of the value and of bounds made with the gradient.
    bound : on log det C_S over |S| = s, the tangent at x maximised, rounding added.
    """

    x: Float
    value: float
    gradient: Float
    scaling_gradient: Float
    hessian: Float
    rounding: float
    bound: float


def evaluate(C: Float, x: Float, s: int, theta: Float) -> Linx | None:
    """linx :cite:p:`anstreicher2020efficient` with general scaling :cite:p:`fampa2022maximum`; None where A(x) is singular.

    With D = Diag(exp(theta)), A(x) = D C Diag(x) C D + I - Diag(x),

        1/2 log det A(x) - theta.x

    is concave in x, convex in theta, and equals log det C_S at the indicator of S: D C Diag(x) C D + I - Diag(x) is
    then block triangular up to row operations, with det = prod_{i in S} exp(2 theta_i) det(C_S)^2. Rounding: 8 n eps
    times (||A||_F ||A^-1||_F + sum |g_i| + |theta|.x) is added to the bound. O(n^3).
    """
    n = len(C)
    rows = np.exp(theta)[:, None] * C
    support = np.flatnonzero(x > 0)
    part = rows[:, support] * np.sqrt(x[support])
    product = part @ part.T
    A = product.copy()
    np.einsum("ii->i", A)[:] += 1 - x  # a view of the diagonal
    inverted = inverse_of(A)
    if inverted is None:
        return None
    inverse, pivots = inverted
    value = float(np.log(pivots).sum() - theta @ x)
    across = rows.T @ inverse
    along = across @ rows
    gradient = 0.5 * (np.diag(along) - np.diag(inverse)) - theta
    hessian = along * along - across * across - (across * across).T + inverse * inverse
    noise = np.linalg.norm(A) * np.linalg.norm(inverse) + np.abs(gradient).sum() + np.abs(theta) @ x + n
    rounding = 8 * n * EPS * float(noise)
    bound = value - float(gradient @ x) + largest_sum(gradient, s) + rounding
    return Linx(x, value, gradient, (inverse * product).sum(axis=1) - x, hessian, rounding, bound)


def maximise(C: Float, s: int, x: Float, theta: Float, target: float, accuracy: float, iterations: int) -> Linx | None:
    """The point of the least bound on a Newton path from x: a quadratic program on the capped simplex per step.

    Stops when the bound falls to `target`, when it is within `accuracy` of the value, or when the value shows that the
    target is out of reach. None where no regular point was met.
    """
    here = evaluate(C, x, s, theta)
    if here is None:
        here = evaluate(C, np.full(len(x), s / len(x)), s, theta)
        if here is None:
            return None
    best = here
    for _ in range(iterations):
        excess = here.bound - here.value
        if best.bound <= target or excess <= accuracy:
            break
        if 5 * excess < here.bound - target < np.inf:
            break
        linear = -here.gradient - here.hessian @ here.x
        step = minimise(0.5 * here.hessian, linear, s, here.x, np.inf, 1e-2 * excess, 200)[1] - here.x
        slope = float(here.gradient @ step)
        length = 1.0
        while True:
            there = evaluate(C, here.x + length * step, s, theta)
            if there is not None and there.value >= here.value + 1e-4 * length * slope:
                break
            length /= 2
            if length < 1e-2:
                return best
        here = there
        if here.bound < best.bound:
            best = here
    return best


def best_scaling(C: Float, s: int, rounds: int) -> tuple[Linx | None, Float]:
    """(linx, theta) : a uniform theta by golden steps around the trace, then gradient steps on every theta_i.

    At the best theta, scaling_gradient = 0. A unit step suits it, since it is a difference of numbers in [0, 1].
    """
    n = len(C)
    x = np.full(n, s / n)
    best: Linx | None = None
    centre = -0.5 * np.log(max(float(np.trace(C @ C)) / n, 1e-300))
    theta = np.full(n, centre)
    for shift in (0.0, 1.0, -1.0, 2.0, 3.0, 4.0):
        trial = np.full(n, centre + shift)
        found = maximise(C, s, x, trial, -np.inf, 1e-2, 12)
        if found is not None and (best is None or found.bound < best.bound):
            best, theta = found, trial
        elif best is not None and shift > 1.0:
            break
    if best is None:
        return None, theta
    here, at, length = best, theta, 1.0
    for _ in range(rounds):
        trial = at - length * here.scaling_gradient
        there = maximise(C, s, here.x, trial, -np.inf, 1e-3, 6)
        if there is None or there.bound > here.bound + 0.1 * abs(here.bound - best.bound) + 1e-2:
            length /= 4
            if length < 1e-2:
                break
            continue
        moved, turned = trial - at, there.scaling_gradient - here.scaling_gradient
        curvature = float(moved @ turned)
        length = min(max(float(moved @ moved) / curvature, 0.3), 10.0) if curvature > 0 else 2.0
        here, at = there, trial
        if here.bound < best.bound:
            best, theta = here, at
        if np.abs(here.scaling_gradient).max() < 1e-3:
            break
    return best, theta


def inverse_of(A: Float) -> tuple[Float, Float] | None:
    """(A^-1, diagonal of the Cholesky factor) of a positive definite matrix; None where the factorisation fails."""
    factor, info = lapack.dpotrf(A, lower=1)
    if info:
        return None
    pivots = np.diag(factor).copy()
    half, info = lapack.dpotri(factor, lower=1, overwrite_c=1)
    if info:
        return None
    np.einsum("ii->i", half)[:] *= 0.5
    return half + half.T, pivots

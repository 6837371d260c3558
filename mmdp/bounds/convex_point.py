"""A good point for the linearised bound on a quadratic form, in little time."""

from __future__ import annotations

import math

import numpy as np

from mmdp.bounds.capped_simplex import largest_sum, project_capped_simplex
from mmdp.checks import Float


def convex_point(
    Q: Float, shift: Float, m: int, start: Float | None = None, *, steps: int = 20, tolerance: float = 1e-10
) -> Float:
    """The x of the best linearised bound (`qp_bound`, `QPCertificate`) on a projected gradient path.

    Steps of Barzilai-Borwein length with exact line search on f(x) = x^T A x + shift . x, A = Q - Diag(shift), over
    0 <= x <= 1, sum x = m. The bound holds at any x, so nothing is asked of the path. O(n^2) a step.

    Parameters
    ----------
    Q : (n, n) symmetric. shift : (n,), such that A is about positive semidefinite.
    m : 0 <= m <= n.
    start : any n reals (they are projected); None means m / n everywhere.
    steps : at most.
    tolerance : stop when the path can gain no more than this, relative to the value.
    """
    A = Q - np.diag(shift)
    x = np.full(len(A), m / len(A)) if start is None else project_capped_simplex(start, m)
    Ax = A @ x
    best, best_x = -math.inf, x
    steepest = max(2 * float(np.abs(A).sum(axis=1).max()), float(np.abs(shift).max()), np.finfo(float).tiny)
    step = 1.0 / steepest
    for _ in range(steps):
        gradient = 2 * Ax + shift
        quadratic = float(x @ Ax)
        bound, value = -quadratic - largest_sum(-gradient, m), quadratic + float(shift @ x)
        if bound > best:
            best, best_x = bound, x
        if value - best <= tolerance * abs(value):
            break
        direction = project_capped_simplex(x - step * gradient, m) - x
        slope = float(gradient @ direction)
        if slope >= 0:
            break
        Ad = A @ direction
        curvature = float(direction @ Ad)
        length = min(1.0, -slope / (2 * curvature)) if curvature > 0 else 1.0
        step = float(direction @ direction) / (2 * curvature) if curvature > 0 else step
        x, Ax = x + length * direction, Ax + length * Ad
    return best_x

"""Bounds of second order: what the tangent of a concave relaxation loses at binary points, put back."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from mmdp.checks import Float
from solvers.exact.log_det.ddfact import metric
from solvers.exact.log_det.linx import Linx
from solvers.exact.rank1.diagonal_shift import climb, lowest_shift, margin_of, shifted
from solvers.exact.rank1.qp import minimise

STEPS = 20  # most Newton steps on the shift
EARLY = 4  # steps before the ascent may be given up


class Quadratic(NamedTuple):
    """log det L_S <= constant - (y^T Q y + linear.y) at the indicator y of every set S with log det L_S above the cutoff.

    Q is positive semidefinite; `scale` is the number it was multiplied by.
    """

    constant: float
    Q: Float
    linear: Float
    scale: float


class Strengthened(NamedTuple):
    """`upper`, the bound of a Quadratic; the minimiser y, the gradient there, and the shift, that give it."""

    upper: float
    y: Float
    gradient: Float
    delta: Float


def coefficient(gap: float) -> float:
    """The largest c with log(1 + m) <= m - c m^2 for every m > -1 with m - log(1 + m) <= gap.

    (m - log(1 + m)) / m^2 falls with m, so c = gap / m^2 at the positive root of m - log(1 + m) = gap; it tends to 1/2
    as the gap closes. A relative 1e-9 is taken off for the accuracy of the root.

    >>> round(coefficient(1e-6), 3), round(coefficient(1 - math.log(2)), 6)
    (0.5, 0.306853)
    """
    m = gap + math.sqrt(2 * gap)
    for _ in range(60):
        step = (m - math.log1p(m) - gap) * (1 + m) / m
        m -= step
        if abs(step) <= 1e-13 * m:
            break
    return gap / (m * m) * (1 - 1e-9)


def of_ddfact(rows: Float, squares: Float, margin: float, x: Float, s: int, cutoff: float) -> Quadratic | None:
    """The quadratic bound that belongs to DDFact at x, with A = F Lambda F^T from there; None when the gap is closed.

    The proof of DDFact is log det F_S F_S^T <= Gamma_s(x) + log det A_S and log det A_S <= tr A_S - s, the latter being
    log l <= l - 1 for each eigenvalue l of A_S. For a set above the cutoff the sum of all l - 1 - log l is at most
    gap = (bound - cutoff), so each l - 1 - log l is, and with c = `coefficient`(gap)

        log det A_S <= tr A_S - s - c ||A_S - I||_F^2 = (1 + 2 c) tr A_S - (1 + c) s - c sum_{i, j in S} A_ij^2.

    Q = c A o A is positive semidefinite by the Schur product theorem.
    """
    value, A, mid = metric(rows, squares, x, s)
    value += margin / mid  # rounding, as in `maximise`
    diagonal = np.diag(A).copy()
    gap = value - s + float(np.sort(diagonal)[len(diagonal) - s :].sum()) - cutoff
    if not 0 < gap < math.inf:
        return None
    c = coefficient(gap)
    return Quadratic(value - (1 + c) * s, c * A * A, -(1 + 2 * c) * diagonal, c)


def of_linx(linx: Linx, cutoff: float) -> Quadratic | None:
    """The quadratic bound that belongs to linx at its point x; None when the gap is closed.

    With M = A(x)^-1/2 (A(y) - A(x)) A(x)^-1/2, linx is exactly its tangent plus 1/2 sum (log(1 + m) - m) over the
    eigenvalues m of M. For a set above the cutoff the sum of all m - log(1 + m) is at most twice the gap, so with
    c = `coefficient`(2 gap) linx is at most its tangent minus c / 2 ||M||_F^2 = c / 2 (y - x)^T H (y - x).
    """
    gap = linx.bound - cutoff
    if not 0 < gap < math.inf:
        return None
    c = coefficient(2 * gap)
    Q = 0.5 * c * linx.hessian
    Qx = Q @ linx.x
    constant = linx.value - float(linx.gradient @ linx.x) - float(linx.x @ Qx)
    return Quadratic(constant, Q, -linx.gradient - 2 * Qx, c)


def strengthen(quadratic: Quadratic, s: int, x: Float, cutoff: float, start: Float | None) -> Strengthened:
    """An upper bound on constant - (y^T Q y + linear.y) over binary y with sum y = s, by the best diagonal shift.

    Climbs with `climb` from `start` (in units of the scale) until the bound falls to the cutoff or that looks out of
    reach. Rounding is added to the bound (`margin_of`).
    """
    first = np.zeros(len(x)) if start is None else quadratic.scale * start
    need = quadratic.constant - cutoff
    low, y, gradient, delta = lower_bound(quadratic.Q, quadratic.linear, s, x, need, first, STEPS)
    return Strengthened(quadratic.constant - low, y, gradient, delta / quadratic.scale)


@njit(cache=True)
def lower_bound(
    Q: Float, linear: Float, s: int, x: Float, need: float, start: Float, steps: int
) -> tuple[float, Float, Float, Float]:
    """(bound, y, gradient, shift) for min {y^T Q y + linear.y : y binary, sum y = s}, given up once `need` is far."""
    delta, mu = lowest_shift(Q, start), 0.0
    y, best = x, -np.inf
    best_y, best_g, best_delta = x, np.zeros(len(x)), delta
    fixed = margin_of(Q, linear)
    reached = np.full(steps + 3, -np.inf)
    for it in range(steps):
        A = shifted(Q, delta)
        margin = fixed + margin_of(A, delta)
        accuracy = 1e-2 * max(abs(need - best) if it else abs(need), 1e-12)
        low, y, gradient, _ = minimise(A, linear + delta, s, y, need + margin, accuracy, 200)
        if low - margin > best:
            best, best_y, best_g, best_delta = low - margin, y, gradient, delta
        reached[it + 3] = best
        if best >= need or (it >= EARLY and 1.5 * (best - reached[it + 1]) < need - best):
            break
        moved, delta, mu = climb(Q, delta, mu, y)
        if not moved:
            break
    return best, best_y, best_g, best_delta

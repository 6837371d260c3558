"""Bounds of second order: what the tangent of a concave relaxation loses at binary points, put back."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit

from mmdp.checks import Float
from solvers.exact.log_det.concave_loss import chord
from solvers.exact.log_det.ddfact import largest_sum, metric
from solvers.exact.log_det.linx import Linx
from solvers.exact.rank1.diagonal_shift import climb, is_psd, margin_of, shifted
from solvers.exact.rank1.qp import minimise

STEPS = 30  # most Newton steps on the shift
EARLY = 2  # steps before the ascent may be given up
INSIDE = 0.05  # how far inside the cone the ascent starts, as a share of the mean diagonal entry
EPS = float(np.finfo(float).eps)


class Tangent(NamedTuple):
    """log det L_S <= constant + gradient.y - share h(q) at the indicator y of every set S, with a q above q(y) below.

    q(y) = y^T B y + linear.y + offset and h(q) = sqrt(q) - log(1 + sqrt(q)), which rises. So B may be replaced by
    anything that is no larger off the diagonal.
    """

    constant: float
    gradient: Float
    B: Float
    linear: Float
    offset: float
    share: float


class Strengthened(NamedTuple):
    """A bound by a concave quadratic.

    Attributes
    ----------
    upper : the bound.
    y, gradient : where the quadratic was linearised, and its gradient there.
    delta : the diagonal shift that B was given.
    least : a point at which, with that shift, a lower bound on q was taken.
    """

    upper: float
    y: Float
    gradient: Float
    delta: Float
    least: Float


def of_ddfact(rows: Float, squares: Float, margin: float, x: Float, s: int, cap: float) -> Tangent:
    """What DDFact loses at x, with A = F Lambda F^T from there.

    The proof of DDFact is log det F_S F_S^T <= Gamma_s(x) + log det A_S and log det A_S <= tr A_S - s, the latter being
    log a <= a - 1 for each eigenvalue a of A_S. What is lost is the sum of all a - 1 - log a, at least h(q) with
    q = ||A_S - I||_F^2 = sum_{i, j in S} A_ij^2 - 2 tr A_S + s (`loss`). Products A_ij^2 above `cap` are lowered to it:
    without y_i y_j >= 0, which the shift cannot express, they would make the bound worse.
    """
    value, A, mid = metric(rows, squares, x, s)
    diagonal = np.diag(A).copy()
    B = np.minimum(A * A, cap)
    np.fill_diagonal(B, diagonal * diagonal)
    return Tangent(value - s + margin / mid, diagonal, B, -2 * diagonal, float(s), 1.0)  # rounding as in `maximise`


def of_linx(linx: Linx) -> Tangent:
    """What linx loses at its point x.

    With M = A(x)^-1/2 (A(y) - A(x)) A(x)^-1/2, linx is its tangent minus 1/2 sum (m - log(1 + m)) over the eigenvalues
    m of M, and the squares of these add up to (y - x)^T H (y - x).
    """
    x, H = linx.x, linx.hessian
    Hx = H @ x
    constant = linx.value - float(linx.gradient @ x) + linx.rounding
    return Tangent(constant, linx.gradient, H, -2 * Hx, float(x @ Hx), 0.5)


def strengthen(
    tangent: Tangent, s: int, x: Float, cutoff: float, start: Float | None, *, patient: bool = False
) -> Strengthened | None:
    """An upper bound on log det L_S over the sets above the cutoff; None when the tangent alone leaves none.

    For these share h(q) is at most gap = (the tangent's bound) - cutoff (no better bound can take its place: the loss
    is counted from the tangent), hence q at most `furthest`(gap / share), and a chord of h makes the bound quadratic:
    first the chord from q = 0, with the best diagonal shift (`lower_bound`, from `start`), then, with that shift, the
    chord from the least q there is. Rounding is added (`margin_of`). `patient` takes every step on the shift.
    """
    gap = tangent.constant + largest_sum(tangent.gradient, s) - cutoff
    if not 0 < gap < math.inf:
        return None
    share, B = tangent.share, tangent.B
    a, b = chord(0.0, gap / share)
    first = np.zeros(len(x)) if start is None else start
    linear = tangent.linear - tangent.gradient / (share * b)
    need = (_constant(tangent, a, b) - cutoff) / (share * b)
    low, y, gradient, delta = lower_bound(B, linear, s, x, need, first, STEPS, STEPS if patient else EARLY)
    found = Strengthened(_constant(tangent, a, b) - share * b * low, y, -share * b * gradient, delta, y)
    return found if found.upper <= cutoff else _sharpened(tangent, s, cutoff, gap, found)


def _constant(tangent: Tangent, a: float, b: float) -> float:
    """What does not depend on y, rounded up."""
    parts = (tangent.constant, -tangent.share * a, -tangent.share * b * tangent.offset)
    return sum(parts) + 16 * EPS * sum(abs(part) for part in parts)


def _sharpened(tangent: Tangent, s: int, cutoff: float, gap: float, found: Strengthened) -> Strengthened:
    """The better of `found` and the bound by the chord from the least q, with the shift of `found`."""
    share, shift = tangent.share, found.delta
    A = shifted(tangent.B, shift)
    rounding = margin_of(tangent.B, tangent.linear) + margin_of(A, shift)
    low, at, *_ = minimise(A, tangent.linear + shift, s, found.y, math.inf, 1e-2, 60)
    least = low - rounding + tangent.offset
    if least <= 0:
        return found
    a, b = chord(least, gap / share)
    if b == 0.0:
        return found._replace(upper=cutoff, least=at)
    linear = tangent.linear - tangent.gradient / (share * b)
    rounding = margin_of(tangent.B, linear) + margin_of(A, shift)
    low, y, gradient, _ = minimise(A, linear + shift, s, found.y, math.inf, 1e-2 * gap / (share * b), 100)
    upper = _constant(tangent, a, b) - share * b * (low - rounding)
    better = Strengthened(upper, y, -share * b * gradient, shift, at)
    return better if upper < found.upper else found


@njit(cache=True)
def interior_shift(Q: Float, start: Float) -> Float:
    """`start` lowered by the same number everywhere until Q - Diag(shift) is proved definite, with room to spare.

    At the boundary of the cone the barrier of `climb` would start with no weight, and every step would be cut back.
    """
    n = len(Q)
    trace = 0.0
    for i in range(n):
        trace += abs(Q[i, i])
    lift = INSIDE * trace / n + 1e-300
    while not is_psd(shifted(Q, start - lift)):
        lift *= 3.0
    return start - lift


@njit(cache=True)
def lower_bound(
    Q: Float, linear: Float, s: int, x: Float, need: float, start: Float, steps: int, early: int
) -> tuple[float, Float, Float, Float]:
    """(bound, y, gradient, shift) for min {y^T Q y + linear.y : y binary, sum y = s}, given up once `need` is far."""
    delta, mu = interior_shift(Q, start), 0.0
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
        if best >= need or (it >= early and 1.5 * (best - reached[it + 1]) < need - best):
            break
        moved, delta, mu = climb(Q, delta, mu, y)
        if not moved:
            break
    return best, best_y, best_g, best_delta

"""Convex quadratic bounds on the energy of the pruned tokens (rank-1 implicit weights)."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp.bounds.capped_simplex import largest_sum, project_capped_simplex
from mmdp.bounds.convex_point import convex_point
from mmdp.bounds.relaxed_bound import RelaxedBound
from mmdp.bounds.semidefinite import best_shifts
from mmdp.checks import Float, as_budget, as_symmetric

EPS = float(np.finfo(float).eps)
LARGE = 1200  # tokens above which a semidefinite program takes too long


def qp_bound(G: Any, k: int, *, iterations: int = 500, tolerance: float = 1e-9) -> RelaxedBound:
    """A lower bound on min {y^T G y : y in {0, 1}^n, sum y = m}, m = n - k tokens pruned, made for fixing variables.

    For binary y and any delta, y^T G y = f(y) := y^T A y + delta.y with A = G - Diag(delta). With A positive
    semidefinite, f is convex and its minimum over 0 <= y <= 1, sum y = m bounds the optimum (quadratic convex
    reformulation :cite:p:`billionnet2007using`). The larger delta, the better, but only where the relaxed y is
    fractional: near a point x the bound rises by sum_i x_i (1 - x_i) d delta_i. So, with x the minimiser for the
    uniform delta = least eigenvalue of G, delta maximises w.delta for w_i = x_i (1 - x_i) + 0.2 k m / n^2 subject to
    A positive semidefinite (`best_shifts`). Above 1200 tokens the uniform delta stays. f is minimised by projected
    gradient steps of Barzilai-Borwein length with exact line search. The value is the linearisation at the best point
    x met,

        f(x) - g.x + (sum of the m smallest g_i) = -x^T A x + (sum of the m smallest g_i),    g = 2 A x + delta.

    *Proof.* y^T A y >= 2 x^T A y - x^T A x because A is positive semidefinite; add delta.y, and minimise g.y over the
    binary y of sum m. This holds for every x, so the bound is rigorous wherever the descent stops. QED

    *Rounding.* delta is lowered until A is positive semidefinite with a margin: by the least eigenvalue computed, if
    negative, and by 4 n eps ||B||, in units of the diagonal of G, where B is A scaled by that diagonal. The a-priori
    rounding errors of x^T A x and of g are subtracted. The bound is on the exact y^T G y of the given float64 matrix.

    Parameters
    ----------
    G : (n, n) Gram matrix. Any symmetric matrix gets a valid bound, and a linear term may stand on the diagonal,
        since y_i^2 = y_i: that is how to bound what remains after fixing some variables.
    k : tokens kept, 0 <= k <= n.
    iterations : most gradient steps.
    tolerance : stop when f(x) - bound <= tolerance * |f(x)|.

    Returns
    -------
    RelaxedBound : `value` the lower bound, `x` the relaxed y, `gradient` g, `shift` delta; G - Diag(shift) is
        positive semidefinite. Exact, up to rounding, at k = 0 and k = n.

    Notes
    -----
    Reduced costs: with g sorted upwards as g_(1) <= g_(2) <= ... and slack = (energy of a known set) - value, every
    better y has y_i = 1 where g_(m+1) - g_i > slack, and y_j = 0 where g_j - g_(m) > slack. Time O(n^3), about a
    second at n = 576.

    Examples
    --------
    >>> bound = qp_bound(np.diag([1.0, 2.0, 3.0]), 1)
    >>> round(bound.value, 6)  # prune the first two
    3.0
    """
    gram, m, trivial = _checked(G, k)
    if trivial is not None:
        return trivial
    n = len(gram)
    scale = _scale(gram)
    uniform = _safe(gram, np.full(n, float(np.linalg.eigvalsh(gram)[0])), scale)
    x = convex_point(gram, uniform, m, steps=iterations, tolerance=tolerance)
    first = _linearised(gram, uniform, x, m)
    if n > LARGE:
        return first
    weights = x * (1 - x) + 0.2 * m * (n - m) / n**2
    unit = scale.mean() ** 2
    gap = 1e-3 * float(weights @ scale**2) / unit
    delta = _safe(gram, unit * best_shifts(gram / unit, weights, gap=gap).u, scale)
    x = convex_point(gram, delta, m, x, steps=iterations, tolerance=tolerance)
    second = _linearised(gram, delta, x, m)
    return second if second.value >= first.value else first


def sdp_bound(G: Any, k: int, *, iterations: int = 500, tolerance: float = 1e-5) -> RelaxedBound:
    """The lower bound of `qp_bound` for the best delta there is: several times tighter, but with reduced costs near
    zero.

    max over delta of min over y of f(y) is the semidefinite program min {tr(G Y) : Y_ii = y_i, sum y = m, Y - y y^T
    positive semidefinite}; in s = 2 y - 1 it is max-cut with one more row. `best_shifts` solves it, delta and y are
    read off, and the value is certified as in `qp_bound`.

    Parameters
    ----------
    G, k : as in `qp_bound`.
    iterations : most gradient steps after the semidefinite program.
    tolerance : relative accuracy of both.

    Raises
    ------
    ValueError : more than 1200 tokens: O(n^3) a step, one to three seconds at n = 576.
    """
    gram, m, trivial = _checked(G, k)
    if trivial is not None:
        return trivial
    n = len(gram)
    if n > LARGE:
        raise ValueError(f"sdp_bound takes at most {LARGE} tokens, got {n}")
    scale = _scale(gram)
    unit = scale.mean() ** 2 / 4
    rows = gram.sum(axis=1)
    lifted = np.block([[gram, rows[:, None]], [rows[None, :], rows.sum()]]) / 4 / unit
    light = np.argsort(rows, kind="stable")[:m]
    energy = abs(float(gram[np.ix_(light, light)].sum()))  # some set's: the scale of the accuracy asked for
    shifts = best_shifts(lifted, np.ones(n + 1), link=2.0 * m - n, gap=max(tolerance * energy / unit, 1e-9))
    delta = _safe(gram, 4 * unit * shifts.u[:-1], scale)
    start = project_capped_simplex((1 + shifts.X[-1, :-1]) / 2, m)
    x = convex_point(gram, delta, m, start, steps=iterations, tolerance=tolerance)
    return _linearised(gram, delta, x, m)


def _checked(G: Any, k: int) -> tuple[Float, int, RelaxedBound | None]:
    gram = as_symmetric(G, "G")
    n = len(gram)
    m = n - as_budget(k, n)
    if 0 < m < n and gram.any():
        return gram, m, None
    return gram, m, _linearised(gram, np.zeros(n), np.full(n, m / max(n, 1)), m)


def _scale(gram: Float) -> Float:
    """sqrt(G_ii), floored for zero updates and for diagonals that a linear term has lowered."""
    size: Float = np.sqrt(np.maximum(np.abs(np.diag(gram)), 1e-6 * np.abs(gram).max()))
    return size


def _safe(gram: Float, delta: Float, scale: Float) -> Float:
    """delta, lowered until G - Diag(delta) is positive semidefinite beyond rounding."""
    eigenvalues = np.linalg.eigvalsh((gram - np.diag(delta)) / scale[:, None] / scale[None, :])
    safety = max(0.0, -float(eigenvalues[0])) + 4 * len(gram) * EPS * max(1.0, float(np.abs(eigenvalues).max()))
    return delta - safety * scale**2


def _linearised(gram: Float, delta: Float, x: Float, m: int) -> RelaxedBound:
    """The certificate of `qp_bound` at x, rounding subtracted."""
    A = gram - np.diag(delta)
    Ax = A @ x
    gradient = 2 * Ax + delta
    value = -float(x @ Ax) - largest_sum(-gradient, m)
    spread, shift = np.abs(A) @ x, np.abs(delta)
    n = len(A)
    each = 2 * (n + 4) * EPS * spread + 2 * EPS * (shift + np.abs(np.diag(A)))
    sums = (m + 2) * EPS * largest_sum(2 * spread + shift, m)
    margin = largest_sum(each, m) + sums + 2 * (n + 2) * EPS * float(x @ spread)
    return RelaxedBound(value - margin, x, gradient, delta)

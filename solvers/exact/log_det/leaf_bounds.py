"""The bounds of a node recomputed from its evidence, in numpy and apart from the search."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mmdp.checks import Float
from solvers.exact.log_det.concave_loss import chord
from solvers.exact.log_det.evidence import Evidence, from_units

EPS = float(np.finfo(float).eps)


class Proved(NamedTuple):
    """log det F_S F_S^T <= upper for all |S| = s above the cutoff, and <= upper - (largest - gradient.1_S).

    `largest` is the sum of the s largest entries of the gradient.
    """

    upper: float
    gradient: Float


class _Form(NamedTuple):
    """constant + gradient.y - share h(y^T B y + linear.y + offset) bounds log det; see `second_order.Tangent`."""

    constant: float
    gradient: Float
    B: Float
    linear: Float
    offset: float
    share: float
    rounding: float


def prove(rows: Float, norms: Float, s: int, goal: float, evidence: Evidence) -> Proved | None:
    """The best bound that the evidence gives; None where it gives none.

    Parameters
    ----------
    rows : (m, d) residual rows of the free tokens; 0 < s < m.
    norms : (m,) their squared norms before anything was chosen.
    goal : the cutoff less log det of the chosen tokens.
    """
    x = from_units(evidence.x)
    theta = evidence.theta
    form = _ddfact(rows, norms, s, x, evidence.cap) if theta is None else _linx(rows, norms, x, theta.astype(float))
    if form is None:
        return None
    first = Proved(form.constant + _largest(form.gradient, s) + form.rounding, form.gradient)
    if evidence.delta is None or not 0 < first.upper - goal < math.inf:
        return first
    return _second_order(form, s, first, goal, evidence)


def _ddfact(rows: Float, norms: Float, s: int, x: Float, cap: float) -> _Form | None:
    """The proof of `mmdp.bounds.ddfact_certificate` with the weights of x, and the loss of its second inequality."""
    m, d = rows.shape
    values, vectors = np.linalg.eigh(rows.T @ (x[:, None] * rows))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    if d < s:
        return None
    tails = np.cumsum(values[::-1])[::-1]
    mids = tails[:s] / np.arange(s, 0, -1)
    p = int(np.argmax(mids >= values[:s]))
    levels = np.where(np.arange(d) < p, values, mids[p])
    if not levels[-1] > 1e-150 * norms.max():
        return None
    along = rows @ vectors
    A = (along / levels) @ along.T
    gradient = np.diag(A).copy()
    logs = np.log(levels[:s])
    in_A = 8 * (m + d + s) * EPS * float(norms.max()) / float(levels[-1])
    rounding = s * in_A + 16 * s * d * EPS * (1 + float(np.abs(logs).max()) + float(gradient.max()))
    B = np.minimum(A * A, cap)
    np.fill_diagonal(B, gradient * gradient)
    return _Form(float(logs.sum()) - s, gradient, B, -2 * gradient, float(s), 1.0, rounding)


def _linx(rows: Float, norms: Float, x: Float, theta: Float) -> _Form | None:
    """1/2 log det A(x) - theta.x, its tangent, and what that loses; see `linx.evaluate` and `second_order.of_linx`."""
    m, d = rows.shape
    scale = np.exp(theta)
    R = scale[:, None] * (rows @ rows.T)
    A = (R * x) @ R.T + np.diag(1 - x)
    try:
        factor = np.linalg.cholesky(A)
    except np.linalg.LinAlgError:
        return None
    inverse = np.linalg.inv(A)
    across = R.T @ inverse
    along = across @ R
    gradient = 0.5 * (np.diag(along) - np.diag(inverse)) - theta
    value = float(np.log(np.diag(factor)).sum() - theta @ x)
    H = along * along - across * across - (across * across).T + inverse * inverse
    size = float(np.linalg.norm(A) * np.linalg.norm(inverse))
    in_kernel = float(np.linalg.norm(inverse) * np.linalg.norm(R) * scale.max() * m * norms.max())
    rounding = 8 * EPS * (m * (size + float(np.abs(gradient).sum() + np.abs(theta) @ x) + m) + (d + 1) * in_kernel)
    Hx = H @ x
    return _Form(value - float(gradient @ x), gradient, H, -2 * Hx, float(x @ Hx), 0.5, rounding)


def _second_order(form: _Form, s: int, first: Proved, goal: float, evidence: Evidence) -> Proved:
    if evidence.delta is None or evidence.least is None or evidence.y is None:
        return first
    delta, gap = evidence.delta.astype(float), first.upper - goal
    A = form.B - np.diag(delta)
    if not _is_psd(A):
        return first
    q = _tangent(A, form.linear + delta, s, from_units(evidence.least))[0] - _noise(form, A, delta) + form.offset
    proved = first
    y = from_units(evidence.y)
    for low in (0.0, max(q, 0.0)):
        a, b = chord(low, gap / form.share)
        if b == 0.0:
            return Proved(goal, form.gradient)
        weight = form.share * b
        value, slope = _tangent(weight * A, weight * (form.linear + delta) - form.gradient, s, y)
        parts = (form.constant, -form.share * a, -weight * form.offset)
        rounding = weight * _noise(form, A, delta) + 16 * EPS * sum(abs(part) for part in parts)
        rounding += 8 * len(A) * EPS * float(np.abs(form.gradient).sum())
        rounding += form.rounding * (1 + 2 * weight * s * max(float(np.sqrt(np.diag(form.B).max())), 1.0))
        upper = sum(parts) - value + rounding
        if upper < proved.upper:
            proved = Proved(upper, -slope)
    return proved


def _tangent(A: Float, c: Float, s: int, y: Float) -> tuple[float, Float]:
    """(lower bound on z^T A z + c.z over the capped simplex by the tangent at y, gradient there)."""
    product = A @ y
    gradient = 2 * product + c
    return float(np.sort(gradient)[:s].sum() - product @ y), gradient


def _noise(form: _Form, A: Float, delta: Float) -> float:
    """What rounding can do to a bound by A; 8 n eps times the sum of absolute entries."""
    terms = np.abs(form.B).sum() + np.abs(form.linear).sum() + np.abs(A).sum() + np.abs(delta).sum()
    return 8 * len(A) * EPS * float(terms)


def _is_psd(A: Float) -> bool:
    """Whether A is PROVED positive semidefinite: Cholesky of A - n eps tr(A) I runs through :cite:p:`rump2006verification`."""
    lift = len(A) * EPS * max(float(np.trace(A)), float(np.finfo(float).tiny))
    try:
        np.linalg.cholesky(A - lift * np.eye(len(A)))
    except np.linalg.LinAlgError:
        return False
    return True


def _largest(g: Float, s: int) -> float:
    return float(np.sort(g)[len(g) - s :].sum())

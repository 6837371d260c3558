"""The factorisation bound (DDFact) on log det L_S: a concave relaxation with a certificate at every point."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from mmdp.bounds.capped_simplex import largest_sum, project_capped_simplex
from mmdp.bounds.factor_rows import compact_factor, has_volume
from mmdp.bounds.relaxed_bound import RelaxedBound
from mmdp.checks import Float, as_budget, as_real

EPS = float(np.finfo(float).eps)


class _Dual(NamedTuple):
    """Lambda = Q diag(weights) Q^T, made at a point x, and what follows from it."""

    base: float  # minus the sum of the k smallest log weights
    gradient: Float  # f_i^T Lambda f_i
    margin: float  # rounding, added once to any bound made of base and gradient


def ddfact_bound(F: Any, k: int, *, x0: Any = None, iterations: int = 200, tolerance: float = 1e-4) -> RelaxedBound:
    """An upper bound on max {log det F_S F_S^T : |S| = k}, by maximising the concave Gamma_k over the capped simplex.

    With M(x) = sum_i x_i f_i f_i^T, eigenvalues l_1 >= l_2 >= ..., and the one integer 0 <= p < k for which mid =
    (sum_{t > p} l_t) / (k - p) satisfies l_p > mid >= l_{p+1},

        Gamma_k(x) = sum_{t <= p} log l_t + (k - p) log mid

    is concave and equals log det F_S F_S^T at the indicator of S, so that its maximum over 0 <= x <= 1, sum x = k
    bounds the optimum :cite:p:`li2024best`. The maximiser is sought by projected gradient steps of Barzilai-Borwein
    length with a non-monotone line search; the value returned is `ddfact_certificate` at the best point met, hence
    rigorous whenever the search stops.

    Parameters
    ----------
    F : (n, d) rows f_i, L = F F^T. For d > n a row-scaled eigenvector factor of width n takes its place.
    k : 0 <= k <= n.
    x0 : start, any n reals (it is projected); None means k / n everywhere.
    iterations : most gradient steps.
    tolerance : stop when bound - Gamma(x) <= tolerance, in nats.

    Returns
    -------
    RelaxedBound : `value` -inf when every k rows are singular by the measure of `ConditionalDPP` (least eigenvalue of
        their cosine matrix at most 1e-12), and log det F F^T itself, rounded up, at k = n.

    Raises
    ------
    ValueError : k outside 0 .. n, x0 of another length, non-finite input.

    Notes
    -----
    Reduced costs: with g the gradient sorted downwards and slack = value - (objective of a known set), every better
    set holds each i with g_i - g_(k+1) > slack and no j with g_(k) - g_j > slack. Time O(n d^2 + d^3) a step.

    Examples
    --------
    >>> bound = ddfact_bound(np.diag([2.0, 1.0, 0.5]), 2)
    >>> round(bound.value, 4)  # attained by the first two rows: log 4
    1.3863
    """
    rows = compact_factor(F)
    n = len(rows)
    k = as_budget(k, n)
    start = np.full(n, k / n) if x0 is None and n else as_real(np.zeros(0) if x0 is None else x0, "x0", (1,))
    if len(start) != n:
        raise ValueError(f"x0 must have one entry per row, got {len(start)} for {n} rows")
    x = project_capped_simplex(start.astype(np.float64), k)
    if k == 0:
        return RelaxedBound(0.0, x, np.zeros(n))
    if not has_volume(rows, k):
        return RelaxedBound(-math.inf, x, np.zeros(n))
    if k < n:
        x = _ascend(rows, k, x, iterations, tolerance)
    dual = _dual(rows, k, x, 0.0)
    if not math.isfinite(dual.base):  # rows so unlike in length that rounding ate the small eigenvalues of M(x)
        dual = _dual(rows, k, x, EPS)
    return RelaxedBound(dual.base - k + largest_sum(dual.gradient, k) + dual.margin, x, dual.gradient)


def ddfact_certificate(F: Any, k: int, x: Any) -> float:
    """An upper bound on max {log det F_S F_S^T : |S| = k} that anybody can check, valid at every x >= 0.

    In exact arithmetic it is Gamma_k(x) - g.x + (sum of the k largest g_i) with g the gradient of Gamma_k at x (see
    `ddfact_bound`).

    *Proof, free of the way x was found.* Let Lambda = Q diag(b) Q^T with orthogonal Q and any b > 0, and g_i = f_i^T
    Lambda f_i. Write F_S^T = U R with U^T U = I: then det(F_S Lambda F_S^T) = det(U^T Lambda U) det(F_S F_S^T), and
    U^T Lambda U has determinant at least the product of the k smallest b (interlacing). The other way round, log det
    A <= tr A - k for every positive semidefinite A of order k, here with tr A = sum_{i in S} g_i. Together log det
    F_S F_S^T <= -sum of the k smallest log b - k + sum of the k largest g. With b_t = 1 / max(l_t, mid) the first sum
    is Gamma_k(x), and g.x = k. QED

    *Rounding.* The proof needs neither the eigenvalues nor the eigenvectors of M(x) to be accurate, only (a) Q
    orthogonal and (b) g not too small; (c) lets the bound also hold for a cosine matrix computed in float64. Added
    are (a) 8 k d eps for the loss of orthogonality; (b) k times max_i of the a-priori error of g_i, 2 e_i (g_i sum
    b)^(1/2) + e_i^2 sum b with e_i = d eps ||f_i||; (c) k (k d + 8 n) eps max_i ||f_i||^2 max b, which pays for any
    perturbation of the cosine matrix of that relative size: replace f_i by (f_i, sqrt(delta) ||f_i|| e_i) and Lambda
    by Lambda + max b I in the proof. So the margin scales with the matrix, and grows as sets come near to singular.

    Parameters
    ----------
    F : (n, d) rows.
    k : 0 <= k <= n.
    x : (n,) reals >= 0; the bound is good near the maximiser of Gamma_k and holds everywhere.

    Returns
    -------
    float : inf where x carries fewer than k independent rows.

    Examples
    --------
    >>> ddfact_certificate(np.eye(3), 2, [1.0, 1.0, 0.0]) < 1e-12
    True
    """
    rows, k, point = _checked(F, k, x)
    if k == 0:
        return 0.0
    if k > rows.shape[1]:
        return -math.inf
    dual = _dual(rows, k, point, 0.0)
    return dual.base - k + largest_sum(dual.gradient, k) + dual.margin if math.isfinite(dual.base) else math.inf


def ddfact_value_gradient(F: Any, x: Any, k: int, *, floor: float = 1e-12) -> tuple[float, Float]:
    """(v, g) of a cut: log det F_S F_S^T <= v + g.(1_S - x) for every S with |S| = k.

    v = Gamma_k(x) and g its gradient, up to the rounding margin of `ddfact_certificate`, as long as no number
    max(l_t, mid) lies below floor * tr M(x) / k. Those below are raised to it: the cut stays valid by the same proof,
    and stays finite at points, binary ones above all, that carry fewer than k independent rows. At the indicator of a
    set S the value is log det F_S F_S^T.

    Parameters
    ----------
    F : (n, d) rows.
    x : (n,) reals >= 0.
    k : 1 <= k <= n.
    floor : relative, > 0.

    Examples
    --------
    >>> v, g = ddfact_value_gradient(np.diag([2.0, 1.0, 0.5]), [1.0, 1.0, 0.0], 2)
    >>> round(v, 4), g.round(2).tolist()
    (1.3863, [1.0, 1.0, 0.25])
    """
    if not floor > 0:
        raise ValueError(f"floor must be > 0, got {floor}")
    rows, k, point = _checked(F, k, x)
    if k == 0 or k > rows.shape[1]:
        return (-math.inf if k else 0.0), np.zeros(len(rows))
    dual = _dual(rows, k, point, floor)
    if not math.isfinite(dual.base):
        return math.inf, np.zeros(len(rows))
    return dual.base - k + float(dual.gradient @ point) + dual.margin, dual.gradient


def _checked(F: Any, k: int, x: Any) -> tuple[Float, int, Float]:
    rows = compact_factor(F)
    k = as_budget(k, len(rows))
    point = as_real(x, "x", (1,)).astype(np.float64)
    if len(point) != len(rows):
        raise ValueError(f"x must have one entry per row, got {len(point)} for {len(rows)} rows")
    if len(point) and point.min() < 0:
        raise ValueError(f"x must be >= 0, got {point.min()} at index {int(np.argmin(point))}")
    return rows, k, point


def _levels(values: Float, k: int) -> Float:
    """max(l_t, mid) for eigenvalues l sorted downwards; see `ddfact_bound`."""
    tails = np.cumsum(values[::-1])[::-1]
    mids = tails[:k] / np.arange(k, 0, -1)
    p = int(np.argmax(mids >= values[:k]))  # holds at the last one at least, where mid is the whole tail
    return np.where(np.arange(len(values)) < p, values, mids[p])


def _dual(rows: Float, k: int, x: Float, floor: float) -> _Dual:
    values, vectors = np.linalg.eigh(rows.T @ (x[:, None] * rows))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    levels = _levels(values, k)
    least = floor * float(values.sum()) / k
    levels = np.maximum(levels, least)
    if levels[-1] <= 1e-150 * float((rows**2).sum(axis=1).max()):  # fewer than k independent rows, and no floor
        return _Dual(-math.inf, np.zeros(len(rows)), 0.0)
    weights = 1.0 / levels
    logs = np.log(levels[:k])
    gradient = (rows @ vectors) ** 2 @ weights
    return _Dual(float(logs.sum()), gradient, _margin(rows, k, weights, gradient, logs))


def _margin(rows: Float, k: int, weights: Float, gradient: Float, logs: Float) -> float:
    """Rounding terms (a), (b), (c) of `ddfact_certificate`, and that of the two sums themselves."""
    n, d = rows.shape
    lengths = np.linalg.norm(rows, axis=1)
    error, total = d * EPS * lengths, float(weights.sum())
    in_gradient = 2 * error * np.sqrt(gradient) * math.sqrt(total) + error**2 * total
    in_kernel = (k * d + 8 * n) * EPS * lengths**2 * weights[-1]
    in_sums = 4 * k * EPS * (float(np.abs(logs).max()) + d * float(gradient.max()) + 1)
    return float(8 * k * d * EPS + k * (in_gradient + in_kernel).max() + in_sums)


def _ascend(rows: Float, k: int, x: Float, iterations: int, tolerance: float) -> Float:
    """The point of the smallest certificate on a projected Barzilai-Borwein path towards the maximiser of Gamma_k."""
    value, gradient = _gamma(rows, k, x)
    if not math.isfinite(value):
        x = np.full(len(rows), k / len(rows))
        value, gradient = _gamma(rows, k, x)
    best_x, best = x, value - k + largest_sum(gradient, k)
    recent = [value] * 5
    step = 1.0 / max(float(np.abs(gradient).max()), EPS)
    for iteration in range(iterations):
        direction = project_capped_simplex(x + step * gradient, k) - x
        slope = float(gradient @ direction)
        if best - value <= tolerance or slope <= 1e-12:
            break
        length = 1.0
        while True:
            there = x + length * direction
            new_value, new_gradient = _gamma(rows, k, there)
            if new_value >= min(recent) + 1e-4 * length * slope or length < 1e-6:
                break
            length /= 2
        if not math.isfinite(new_value):
            break
        moved, turned = there - x, gradient - new_gradient
        curvature = float(moved @ turned)
        step = float(moved @ moved) / curvature if curvature > 1e-16 else 2 * step
        step = min(max(step, 1e-8), 1e8)
        x, value, gradient = there, new_value, new_gradient
        recent[iteration % 5] = value
        bound = value - k + largest_sum(gradient, k)
        if bound < best:
            best_x, best = x, bound
    return best_x


def _gamma(rows: Float, k: int, x: Float) -> tuple[float, Float]:
    """Gamma_k(x) and its gradient, without the margin."""
    values, vectors = np.linalg.eigh(rows.T @ (x[:, None] * rows))
    levels = _levels(np.maximum(values[::-1], 0.0), k)
    if levels[-1] <= 0:
        return -math.inf, np.zeros(len(rows))
    return float(np.log(levels[:k]).sum()), (rows @ vectors[:, ::-1]) ** 2 @ (1.0 / levels)

"""The factorisation bound (DDFact) on log det, compiled: value, gradient, ascent and branching."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float, Int
from solvers.exact.branching import fractional_of, most_decisive
from solvers.exact.rank1.qp import minimise as qp

DECIDED = 0.03  # an ascent ends when bound - value is this share of value - target
NEAR = 0.97  # tokens at 0 take part once their gradient reaches this share of the s-th largest


@njit(cache=True)
def levels(values: Float, s: int) -> tuple[int, float]:
    """(p, mid) for eigenvalues sorted downwards: the first p < s stand alone, the tail counts as s - p times its mean.

    mid = (sum of the tail) / (s - p), with p the first index at which mid is at least the next eigenvalue.
    """
    tail = 0.0
    for value in values:
        tail += max(value, 0.0)
    for p in range(s):
        mid = tail / (s - p)
        if p >= len(values) or mid >= values[p] or p == s - 1:
            return p, mid
        tail -= values[p]
    return 0, 0.0


@njit(cache=True)
def evaluate(F: Float, squares: Float, x: Float, s: int) -> tuple[float, Float, Float, Float, float]:
    """Gamma_s and its gradient at x >= 0 for the rows f_i of F, `squares` their squared norms.

    With l_1 >= l_2 >= ... the eigenvalues of M(x) = sum_i x_i f_i f_i^T, Gamma_s = sum_{t <= p} log l_t + (s - p) log
    mid :cite:p:`li2024best` and g_i = f_i^T Lambda f_i, Lambda = I / mid + sum_{t <= p} (1 / l_t - 1 / mid) q_t
    q_t^T. The eigenvectors come from M(x) or, where fewer x_i are positive than F has columns, from the Gram matrix.

    Returns
    -------
    (value, gradient, top, Y, mid) : `top` the p eigenvalues, Y = F Q their (n, p) coordinates. Value -inf where x
        carries fewer than s independent rows.
    """
    n, d = F.shape
    support = np.flatnonzero(x > 0.0)
    m = len(support)
    gram = m < d
    scaled = np.empty((m, d))
    for a in range(m):
        root = np.sqrt(x[support[a]])
        for j in range(d):
            scaled[a, j] = root * F[support[a], j]
    if gram:
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
    else:
        values, vectors = np.linalg.eigh(scaled.T @ scaled)
    values = values[::-1].copy()
    p, mid = levels(values, s)
    top = values[:p].copy()
    if mid <= 1e-300:
        return -np.inf, np.zeros(n), top, np.zeros((n, p)), mid
    Q = np.ascontiguousarray(vectors[:, ::-1][:, :p])
    if gram:
        Q = scaled.T @ Q
        for t in range(p):
            Q[:, t] /= np.sqrt(top[t])
    Y = F @ Q
    value = (s - p) * np.log(mid)
    weight = np.empty(p)
    for t in range(p):
        value += np.log(top[t])
        weight[t] = 1.0 / top[t] - 1.0 / mid
    gradient = squares / mid
    for i in range(n):
        for t in range(p):
            gradient[i] += weight[t] * Y[i, t] * Y[i, t]
    return value, gradient, top, Y, mid


@njit(cache=True)
def largest_sum(g: Float, s: int) -> float:
    """The sum of the s largest entries."""
    ordered = np.sort(g)
    total = 0.0
    for i in range(len(g) - s, len(g)):
        total += ordered[i]
    return total


@njit(cache=True)
def curvature(F: Float, tokens: Int, top: Float, Y: Float, mid: float, s: int) -> Float:
    """B on some tokens, minus the Hessian of Gamma_s at the point of `evaluate`.

    B_ij = a_ij^2 + 2 a_ij b_ij + b_ii b_jj / (s - p), with a = Y diag(1 / l_t) Y^T from the p separate eigenvalues and
    b = (F F^T - Y Y^T) / mid from the tail, whose eigenvalues are taken as mid where they meet the others.
    """
    rows = np.ascontiguousarray(F[tokens])
    part = np.ascontiguousarray(Y[tokens])
    a = (part / top) @ part.T
    b = (rows @ rows.T - part @ part.T) / mid
    m, tail = len(tokens), s - len(top)
    B = np.empty((m, m))
    for i in range(m):
        for j in range(m):
            B[i, j] = a[i, j] * a[i, j] + 2.0 * a[i, j] * b[i, j] + b[i, i] * b[j, j] / tail
    return B


@njit(cache=True)
def maximise(
    F: Float, squares: Float, margin: float, s: int, x: Float, target: float, accuracy: float, iterations: int
) -> tuple[float, Float, Float, int]:
    """Ascend Gamma_s on the capped simplex from x; each point gives a bound, value - s + (sum of the s largest g_i).

    Newton steps: a quadratic program with `curvature` on the tokens that are positive or about to be, then a line
    search. Stops when the bound falls to `target`, when it is within `accuracy` of the value, or when the value shows
    that the target is out of reach. `margin` / mid is added to each bound for rounding.

    Returns
    -------
    (bound, x, gradient, evaluations) : the least bound on log det F_S F_S^T over |S| = s, and where it was found; -inf
        when no s rows are independent.
    """
    n = len(F)
    value, g, top, Y, mid = evaluate(F, squares, x, s)
    count = 1
    if value == -np.inf:
        x = np.full(n, s / n)
        value, g, top, Y, mid = evaluate(F, squares, x, s)
        if value == -np.inf:
            return -np.inf, x, g, 2
    bound = value - s + largest_sum(g, s) + margin / mid
    best, best_x, best_g = bound, x, g
    for _ in range(iterations):
        if best <= target or bound - value <= accuracy or best - value < DECIDED * (value - target) < np.inf:
            break
        active = np.flatnonzero((x > 0.0) | (g >= NEAR * np.sort(g)[n - s]))
        half = 0.5 * curvature(F, active, top, Y, mid, s)
        inner = x[active]
        y = qp(half, -g[active] - 2.0 * (half @ inner), s, inner, np.inf, 0.05 * (bound - value), 60)[1]
        direction = np.zeros(n)
        direction[active] = y - inner
        slope = (g * direction).sum()
        if slope <= 1e-14:
            break
        length = 1.0
        while True:
            there = x + length * direction
            new_value, new_g, top, Y, mid = evaluate(F, squares, there, s)
            count += 1
            if new_value >= value + 1e-4 * length * slope or length < 1e-3:
                break
            length *= 0.5
        if new_value == -np.inf:
            break
        x, value, g = there, new_value, new_g
        bound = value - s + largest_sum(g, s) + margin / mid
        if bound < best:
            best, best_x, best_g = bound, x, g
    return best, best_x, best_g, count


@njit(cache=True)
def branching_position(F: Float, squares: Float, x: Float, s: int) -> int:
    """The position of the token to branch on; see `most_decisive`."""
    fractional = fractional_of(x, 1e-4)
    if len(fractional) < 2:
        return int(np.argmin(np.abs(x - 0.5)))
    _, _, top, Y, mid = evaluate(F, squares, x, s)
    return most_decisive(curvature(F, fractional, top, Y, mid, s), fractional, x)


@njit(cache=True)
def metric(F: Float, squares: Float, x: Float, s: int) -> tuple[float, Float, float]:
    """(Gamma_s(x), A, mid) with A_ij = f_i^T Lambda f_j, whose diagonal is the gradient."""
    value, _, top, Y, mid = evaluate(F, squares, x, s)
    return value, (F @ F.T) / mid + (Y * (1.0 / top - 1.0 / mid)) @ Y.T, mid

"""The diagonal shift that turns y^T Q y into a tight convex function of binary y, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from mmdp.checks import Float
from solvers.exact.branching import fractional_of

EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)
SHRINK = 0.3  # of the barrier weight, after a full Newton step
INTERIOR = 1e-7  # distance from 0 and 1 beyond which a coordinate of y counts as fractional


@njit(cache=True)
def margin_of(A: Float, delta: Float) -> float:
    """8 n eps (sum_ij |A_ij| + sum_i |delta_i|): what rounding can do to a bound computed with the (n, n) matrix A.

    A bound is a handful of sums of at most n^2 products of entries of A or delta with numbers in [0, 1]; each sum has
    an error of at most n eps / 2 times the sum of the absolute terms, to first order.
    """
    return 8 * len(A) * EPS * (np.abs(A).sum() + np.abs(delta).sum())


@njit(cache=True)
def shifted(Q: Float, delta: Float) -> Float:
    """Q - Diag(delta)."""
    A = Q.copy()
    for i in range(len(A)):
        A[i, i] -= delta[i]
    return A


@njit(cache=True, fastmath={"reassoc", "contract"})
def is_psd(A: Float) -> bool:
    """Whether A is PROVED positive semidefinite: Cholesky of A - n eps tr(A) I runs through.

    A floating-point factorisation that succeeds proves the least eigenvalue at least -(n + 1) u tr(A), u = eps / 2, up
    to second order and in whatever order sums are taken :cite:p:`rump2006verification`. False says nothing. O(n^3).
    """
    n = len(A)
    trace = 0.0
    for i in range(n):
        trace += A[i, i]
    lift = n * EPS * max(trace, TINY)
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i):
            total = A[i, j]
            for t in range(j):
                total -= L[i, t] * L[j, t]
            L[i, j] = total / L[j, j]
        pivot = A[i, i] - lift
        for t in range(i):
            pivot -= L[i, t] * L[i, t]
        if not pivot > 0.0:
            return False
        L[i, i] = np.sqrt(pivot)
    return True


@njit(cache=True)
def lowest_shift(Q: Float, start: Float) -> Float:
    """A shift with Q - Diag(shift) proved semidefinite: `start`, less a uniform lift that grows by powers of 4.

    Cheap where Q - Diag(start) is semidefinite up to rounding.
    """
    n = len(Q)
    size = TINY
    for i in range(n):
        size = max(size, abs(start[i]))
    trace = 0.0
    for i in range(n):
        trace += Q[i, i] - start[i]
    lift = 2 * n * EPS * max(trace, size)
    while not is_psd(shifted(Q, start - lift)):
        lift *= 4.0
    return start - lift


@njit(cache=True)
def climb(Q: Float, delta: Float, mu: float, y: Float) -> tuple[bool, Float, float]:
    """(moved, delta, mu) after a Newton step towards the best shift for min {y^T Q y + c.y : y binary, sum y = s}.

    For binary y and every delta, y^T Q y = y^T (Q - Diag(delta)) y + delta.y. With Q - Diag(delta) semidefinite the
    right side is convex, so its minimum q(delta) over the capped simplex bounds the optimum; the largest q is the
    semidefinite bound, as in the QCR method :cite:p:`billionnet2007using`. q is concave, and its supergradient at
    delta is y - y o y, y the minimiser: only fractional coordinates pull. A step climbs
    q(delta) + mu log det(Q - Diag(delta)), whose gradient is w - mu diag(Z), w = y - y o y, Z = (Q - Diag(delta))^-1,
    and whose Hessian is minus

        mu Z o Z + 1/2 Diag(1 - 2 y) P Diag(1 - 2 y),

    P the inverse of the block of fractional coordinates, projected along sum y = s: how y follows delta. Steps are cut
    back until the shifted matrix is proved semidefinite; mu falls after a full step. O(n^3).

    Parameters
    ----------
    delta : with Q - Diag(delta) proved semidefinite.
    mu : the barrier weight; 0 at first, which takes it from y.
    y : the minimiser of the relaxation at delta.
    """
    n = len(y)
    weights = y - y * y
    if weights.sum() <= INTERIOR:
        return False, delta, mu
    A = shifted(Q, delta)
    Z = np.linalg.inv(A)
    trace = 0.0
    for i in range(n):
        trace += Z[i, i]
    if not 0.0 < trace < np.inf:
        return False, delta, mu
    if mu == 0.0:
        mu = SHRINK * weights.sum() / trace
    hessian = mu * Z * Z
    gradient = np.empty(n)
    for i in range(n):
        gradient[i] = weights[i] - mu * Z[i, i]
    fractional = fractional_of(y, INTERIOR)
    f = len(fractional)
    if f > 1:
        block = np.empty((f, f))
        for a in range(f):
            for b in range(f):
                block[a, b] = A[fractional[a], fractional[b]]
        P = np.linalg.inv(block)
        along = P.sum(axis=1)
        total = along.sum()
        for a in range(f):
            turn = 0.5 * (1.0 - 2.0 * y[fractional[a]])
            for b in range(f):
                follow = P[a, b] - along[a] * along[b] / total
                hessian[fractional[a], fractional[b]] += turn * (1.0 - 2.0 * y[fractional[b]]) * follow
    for i in range(n):
        hessian[i, i] *= 1.0 + 1e-12
    direction = np.linalg.solve(hessian, gradient)
    if not np.isfinite(direction).all():
        return False, delta, mu
    length = 1.0
    while not is_psd(shifted(Q, delta + length * direction)):
        length *= 0.5
        if length < 1e-3:
            return False, delta, mu
    if length == 1.0:
        mu *= SHRINK
    else:
        length *= 0.9  # off the boundary, where Z explodes
    return True, delta + length * direction, mu

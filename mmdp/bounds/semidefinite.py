"""A small interior-point method for semidefinite programs over diagonal shifts (the max-cut family)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, lapack

from mmdp.checks import Float


class Shifts(NamedTuple):
    """A strictly feasible dual point u, v and the primal matrix X that goes with it."""

    u: Float
    v: float
    X: Float


def best_shifts(C: Float, b: Float, *, link: float | None = None, gap: float, iterations: int = 60) -> Shifts:
    """max {b.u + t v : Z = C - Diag(u) - v E positive semidefinite}, by an interior-point method.

    The dual of min {tr(C X) : diag X = b, X_1N + ... + X_(N-1)N = t, X positive semidefinite}. E is zero but for 1/2
    at (i, N) and (N, i), i < N; with `link` None there is neither v nor its row. The symmetrised direction of
    Helmberg, Rendl, Vanderbei and Wolkowicz :cite:p:`helmberg1996interior`, dX = mu Z^-1 - X - Z^-1 dZ X, with
    Mehrotra's predictor and corrector: about ten Newton systems of order N, each O(N^3).

    Z stays positive definite throughout, so whatever ends the iteration (the gap, the count, or rounding), u and v
    are feasible up to the rounding of a Cholesky factor; optimality is approached, not proved. The caller certifies
    what it needs.

    Parameters
    ----------
    C : (N, N) symmetric, of order 1 in scale.
    b : (N,) positive.
    link : t, or None.
    gap : stop when tr(X Z), the duality gap of feasible points, is at most this.
    """
    N = len(C)
    u, v, X = np.full(N, min(0.0, 1.1 * float(np.linalg.eigvalsh(C)[0])) - 1.0), 0.0, np.diag(b)
    target = 0.0 if link is None else link
    for _ in range(iterations):
        Z = C + _slack(-u, -v)
        factor, failed = lapack.dpotrf(Z, lower=1)
        missing = 0.0 if link is None else abs(target - float(X[-1, :-1].sum()))
        if failed or (float((X * Z).sum()) <= gap and missing <= 1e-6 * N):
            break
        inverse, _ = lapack.dpotri(factor, lower=1)
        newton = _Newton(np.tril(inverse) + np.tril(inverse, -1).T, X, link is not None)
        if newton.failed:
            break
        mu = float((X * Z).sum()) / N
        dX, dZ, _, _ = newton.direction(b, target, -X)
        reached = float(((X + _longest(X, dX, 0.7) * dX) * (Z + _longest(Z, dZ, 0.7) * dZ)).sum()) / N
        mu *= min(1.0, max(1e-3, (reached / mu) ** 2))
        second = -blas.dgemm(1.0, newton.inverse, dZ @ dX)
        dX, dZ, du, dv = newton.direction(b, target, mu * newton.inverse - X + (second + second.T) / 2)
        primal, dual = (
            length if length == 1 else 0.95 * length for length in (_longest(X, dX, 0.9), _longest(Z, dZ, 0.9))
        )
        if max(primal, dual) < 1e-6:
            break
        X, u, v = X + primal * dX, u + dual * du, v + dual * dv
    return Shifts(u, v, X)


class _Newton:
    """The linear map (du, dv) -> constraints on dX at one pair (X, Z), factored once for predictor and corrector."""

    def __init__(self, inverse: Float, X: Float, linked: bool) -> None:
        self.inverse, self.X, self.linked = inverse, X, linked
        self.factor, failed = lapack.dpotrf(inverse * X, lower=1)
        self.failed = bool(failed)
        if linked and not self.failed:
            EX = np.vstack([np.broadcast_to(X[-1] / 2, (len(X) - 1, len(X))), X[:-1].sum(axis=0) / 2])
            turned = inverse @ EX
            self.turned = (turned + turned.T) / 2
            self.border = np.diag(self.turned).copy()
            self.solved = self._solve(self.border)
            self.corner = float(self.turned[-1, :-1].sum() - self.border @ self.solved)
            self.failed = not self.corner > 0  # positive but for rounding

    def direction(self, b: Float, target: float, base: Float) -> tuple[Float, Float, Float, float]:
        """dX = base + Z^-1 (Diag(du) + dv E) X, symmetrised, such that X + dX meets the constraints; and dZ, du, dv."""
        du, dv = self._solve(b - np.diag(base) - np.diag(self.X)), 0.0
        if self.linked:
            short = target - float((base + self.X)[-1, :-1].sum())
            dv = (short - float(self.border @ du)) / self.corner
            du = du - dv * self.solved
        dX = blas.dgemm(1.0, self.inverse, du[:, None] * self.X)
        dX = base + (dX + dX.T) / 2
        if self.linked:
            dX += dv * self.turned
        return dX, _slack(-du, -dv), du, dv

    def _solve(self, right: Float) -> Float:
        solution: Float = lapack.dpotrs(self.factor, right, lower=1)[0]
        return solution


def _slack(u: Float, v: float) -> Float:
    """Diag(u) + v E."""
    matrix = np.diag(u)
    matrix[-1, :-1] += v / 2
    matrix[:-1, -1] += v / 2
    return matrix


def _longest(point: Float, direction: Float, shrink: float) -> float:
    """A step length in (0, 1] that keeps point + length * direction positive definite, by backtracking."""
    length = 1.0
    while lapack.dpotrf(point + length * direction, lower=1)[1] and length > 1e-8:
        length *= shrink
    return length

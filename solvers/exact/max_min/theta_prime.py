"""Schrijver's theta' of the far graph by operator splitting, with certificates.

At a threshold t let Q be the close pairs (d_ij < t, i != j) and F the far ones. A set of k tokens pairwise in F gives
X = 1_S 1_S^T / k with

    X psd,   tr X = 1,   <J, X> >= k,   X_ij = 0 on Q,   X_ij >= 0 on F.                                        (P)

theta' is the largest <J, X> without the third condition :cite:p:`schrijver1979comparison`; theta' < k refutes t. The
iteration is Douglas-Rachford splitting between the cone (one eigendecomposition) and the rest of (P) (a shift mu of
the far entries, found by Newton's method, and nu of the diagonal). When (P) is infeasible the scaled difference U of
the two diverges along a separating matrix, and

    -U / mu - J  on Q and F, at least 0 on F, 0 on the diagonal

is the multiplier Z of a certificate alpha <= lambda_max(J + Z). The eigendecompositions are in float32: a
certificate is checked afterwards in float64 and is valid for any Z, however it was found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, eigh

from mmdp.checks import Bool, Float, Int
from solvers.exact.max_min.compiled import kernel

Single = npt.NDArray[np.float32]
RELAXATION = 1.9  # in (0, 2); plain splitting is 1
DUAL_GROWTH = 3.0  # of U from a graph to the neighbourhood of a vertex: takes the fewest iterations
DUAL_SHARE = 0.1  # size of the first U: about balances the two residuals


def largest_eigenvalue(matrix: Float) -> float:
    """The largest eigenvalue of a symmetric matrix."""
    top = len(matrix) - 1
    return float(eigh(matrix, eigvals_only=True, subset_by_index=(top, top), check_finite=False)[0])


def positive_part(matrix: Single, rank: int | None) -> tuple[Single, int]:
    """The psd part of a symmetric matrix and its rank; `rank` is a guess that says which eigenvectors to compute."""
    n = len(matrix)
    if rank is not None and n >= 64 and not 0.4 * n < rank < 0.6 * n:
        few_positive = rank < n / 2
        try:
            window = (0.0, np.inf) if few_positive else (-np.inf, 0.0)
            values, vectors = eigh(matrix, driver="evr", subset_by_value=window, check_finite=False)
            vectors *= np.sqrt(np.abs(values))
            part = vectors @ vectors.T
            return (part, len(values)) if few_positive else (matrix + part, n - len(values))
        except LinAlgError:  # clustered eigenvalues: the full decomposition does not mind
            pass
    values, vectors = np.linalg.eigh(matrix)
    positive = int((values > 0).sum())
    if 2 * positive <= n:
        vectors = vectors[:, n - positive :] * np.sqrt(values[n - positive :])
        return vectors @ vectors.T, positive
    vectors = vectors[:, : n - positive] * np.sqrt(-values[: n - positive])
    return matrix + vectors @ vectors.T, positive


@kernel
def _project(X: Single, Y: Single, U: Single, close: Bool, k: int, mu: float) -> tuple[float, float]:
    """Y <- the point of the linear conditions nearest to V = relaxed X + U, U <- V - Y; returns mu and nu."""
    n = len(X)
    ahead, back = np.float32(RELAXATION), np.float32(1.0 - RELAXATION)
    trace = 0.0
    for i in range(n):
        for j in range(n):
            U[i, j] += ahead * X[i, j] + back * Y[i, j]
        trace += U[i, i]
    nu = (1.0 - trace) / n
    for _ in range(40):  # Newton on the convex, piecewise linear mu -> sum over F of (V + mu)_+
        shift = np.float32(mu)
        total = 0.0
        positive = 0
        for i in range(n):
            row = np.float32(0)
            count = 0
            for j in range(n):
                z = U[i, j] + shift
                inside = (z > 0) and not close[i, j]
                row += z if inside else np.float32(0)
                count += inside
            z = U[i, i] + shift
            if z > 0:
                row -= z
                count -= 1
            total += row
            positive += count
        excess = total - (k - 1)
        if abs(excess) < 1e-5 * k:
            break
        mu = mu - excess / positive if positive else mu + max(1e-4, abs(mu))
    shift = np.float32(mu)
    for i in range(n):
        diagonal = U[i, i]
        for j in range(n):
            v = U[i, j]
            z = v + shift
            y = z if z > 0 and not close[i, j] else np.float32(0)
            Y[i, j] = y
            U[i, j] = v - y
        Y[i, i] = diagonal + np.float32(nu)
        U[i, i] = -np.float32(nu)
    return mu, nu


class ThetaPrime:
    """The iteration on one far graph, for cliques of size k >= 2.

    Attributes
    ----------
    close : (m, m) boolean, symmetric, False on the diagonal; neither empty nor full off the diagonal.
    k : the size asked for.
    level : running estimate of theta'; inf before the first iteration.
    iterations : so far.
    """

    def __init__(self, close: Bool, k: int) -> None:
        """Start at Hoffman's ratio bound, the best multiplier of the form -tau on Q."""
        n = len(close)
        self.close, self.k, self.level, self.iterations = close, k, float("inf"), 0
        self._mu, self._rank = 0.0, None
        adjacency = close.astype(np.float64)
        least = float(eigh(adjacency, eigvals_only=True, subset_by_index=(0, 0), check_finite=False)[0])
        dual = 1.0 - n / (adjacency.sum() / n - least) * adjacency
        far = 1.0 - adjacency - np.eye(n)
        self._Y = (far * ((k - 1) / far.sum()) + np.eye(n) / n).astype(np.float32)
        self._U = ((largest_eigenvalue(dual) * np.eye(n) - dual) * (DUAL_SHARE / n)).astype(np.float32)

    _rank: int | None

    def continued(self, close: Bool, k: int, subset: Int | None = None) -> ThetaPrime:
        """A warm start for a similar graph: other close pairs, another k, or only the vertices of `subset`."""
        other = ThetaPrime.__new__(ThetaPrime)
        other.close, other.k, other.level, other.iterations = close, k, float("inf"), 0
        keep = slice(None) if subset is None else np.ix_(subset, subset)
        other._Y, other._U = self._Y[keep].copy(), self._U[keep].copy()
        other._mu = self._mu
        if subset is not None:
            other._rescale(DUAL_GROWTH if k < self.k else 1.0)
        other._rank = None if self._rank is None else self._rank * len(close) // len(self.close)
        return other

    def _rescale(self, growth: float) -> None:
        """Give Y its trace and sum again, and U more weight."""
        trace = float(np.trace(self._Y))
        diagonal = np.diag(self._Y) / trace
        np.fill_diagonal(self._Y, 0.0)
        rest = float(self._Y.sum())
        if rest > 0 and trace > 0:
            self._Y *= (self.k - 1) / rest
            self._U *= growth / trace
            self._mu *= growth / trace
        np.fill_diagonal(self._Y, diagonal)

    def iterate(self, count: int) -> float:
        """`count` iterations; returns the new level. Time O(m^3) each."""
        nu = 0.0
        for _ in range(count):
            X, self._rank = positive_part(self._Y - self._U, self._rank)
            self._mu, nu = _project(np.ascontiguousarray(X), self._Y, self._U, self.close, self.k, self._mu)
        self.iterations += count
        self.level = 1.0 - nu / self._mu if self._mu > 0 else float("inf")
        return self.level

    def multiplier(self) -> Float:
        """The Z read off the present U; zero before mu is positive."""
        if self._mu <= 0:
            return np.zeros(self.close.shape)
        Z = self._U.astype(np.float64) / -self._mu - 1.0
        np.maximum(Z, 0.0, out=Z, where=~self.close)
        Z = (Z + Z.T) / 2
        np.fill_diagonal(Z, 0.0)
        return Z

    @property
    def weights(self) -> Float:
        """(m,) diagonal of the present X: how much each vertex counts in theta'."""
        return np.diag(self._Y).astype(np.float64)

"""A node of the branch and bound: some tokens chosen, some dropped, the rest relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from mmdp.checks import Bool, Float, Int
from solvers.exact.capped_simplex import project
from solvers.exact.log_det.tree_log import Trail

OVERHEAD = 800  # bytes of the Python objects around the arrays of a node
VANISHED = 0.5e-12  # residual share of a squared norm at which log det is -inf by definition, with room for rounding
EPS = float(np.finfo(float).eps)


@dataclass(slots=True)
class Node:
    """What is kept of an open node.

    Attributes
    ----------
    chosen, free : tokens in every set below, and tokens left to choose from.
    x : a point of the capped simplex over the free tokens.
    theta, delta : scaling of linx and diagonal shift over the free tokens, as starting points; None where not used.
    branch : position in `free` of the token to branch on.
    trail : where the steps that led here are written down, if they are.
    """

    chosen: Int
    free: Int
    x: Float
    theta: Float | None
    delta: Float | None
    branch: int
    trail: Trail | None

    @property
    def size(self) -> int:
        """Bytes held."""
        arrays = (self.chosen, self.free, self.x, self.theta, self.delta)
        return OVERHEAD + sum(array.nbytes for array in arrays if array is not None)


@dataclass(slots=True)
class State:
    """A node unfolded: log det of a set below is `base` plus log det of the Gram matrix of its residual rows.

    Attributes
    ----------
    rows : (m, d) rows of the free tokens off the span of the chosen ones.
    s : how many free tokens are still to be chosen.
    norms : (m,) their squared norms before anything was chosen.
    base : log det of the chosen kernel, rounded up.
    trail : where the steps that led here are written down, if they are.
    """

    chosen: Int
    free: Int
    rows: Float
    norms: Float
    base: float
    s: int
    x: Float
    theta: Float | None = None
    delta: Float | None = None
    trail: Trail | None = None

    def fixed(self, into: Bool, out: Bool) -> State | None:
        """With the tokens of `into` chosen and those of `out` dropped; None when that leaves no set."""
        stay = ~(into | out)
        rows, gained = absorb(self.rows, self.norms, into, stay)
        s = self.s - int(into.sum())
        left = int(stay.sum())
        if not 0 <= s <= left or gained == -np.inf:
            return None
        x = project(self.x[stay], s) if 0 < s < left else np.full(left, s / max(left, 1))
        chosen = np.concatenate((self.chosen, self.free[into]))
        theta, delta = (None if part is None else part[stay] for part in (self.theta, self.delta))
        return State(
            chosen, self.free[stay], rows, self.norms[stay], self.base + gained, s, x, theta, delta, self.trail
        )

    def vanished(self) -> Bool:
        """The free tokens (nearly) in the span of the chosen ones: log det counts sets with them as singular."""
        return (self.rows * self.rows).sum(axis=1) <= VANISHED * self.norms

    def child(self, position: int, choose: bool) -> State | None:
        """With the free token at `position` chosen, or dropped."""
        one = np.zeros(len(self.free), dtype=np.bool_)
        one[position] = True
        none = np.zeros(len(self.free), dtype=np.bool_)
        return self.fixed(one, none) if choose else self.fixed(none, one)


@njit(cache=True)
def reflect(rows: Float, pivot: Float) -> Float:
    """The rows without their component along `pivot`, in coordinates of its orthogonal complement: one column fewer.

    A Householder reflection takes the pivot to the first axis, which is dropped; nothing cancels.
    """
    n, d = rows.shape
    v = pivot.copy()
    norm = np.sqrt((v * v).sum())
    v[0] += norm if v[0] >= 0.0 else -norm
    scale = 2.0 / (v * v).sum()
    rest = np.empty((n, d - 1))
    for i in range(n):
        along = 0.0
        for j in range(d):
            along += rows[i, j] * v[j]
        along *= scale
        for j in range(1, d):
            rest[i, j - 1] = rows[i, j] - along * v[j]
    return rest


@njit(cache=True)
def absorb(rows: Float, norms: Float, into: Bool, stay: Bool) -> tuple[Float, float]:
    """(residual rows of the tokens in `stay`, log det gained) by choosing those of `into`; -inf when they are dependent.

    What is gained is rounded up: a reflection errs by some eps times the length of a row before anything was chosen.
    """
    gained = 0.0
    first = np.flatnonzero(into)
    count = len(first)
    work = np.concatenate((rows[first], rows[stay]))
    rounding = 8.0 * (len(rows) + rows.shape[1]) * EPS
    for t in range(count):
        pivot = work[0].copy()
        square = (pivot * pivot).sum()
        if square <= 1e-300 or work.shape[1] == 0:
            return work[count - t :], -np.inf
        gained += np.log(square) + rounding * np.sqrt(norms[first[t]] / square)
        work = reflect(work[1:], pivot)
    return work, gained


@njit(cache=True)
def margin_of(rows: Float, norms: Float, s: int) -> float:
    """Rounding of a DDFact bound times mid: 8 s (m + d + s) eps times the largest squared norm.

    Covers the residual rows and the kernel itself, each entry of which is only known to some eps ||f_i|| ||f_j||; the
    weights of Lambda are at most 1 / mid.
    """
    return 8.0 * s * (len(rows) + rows.shape[1] + s) * EPS * norms.max()

"""A node of the branch and bound: some tokens fixed as pruned or kept, the rest relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from mmdp.checks import Float, Int
from solvers.exact.branching import fractional_of, most_decisive
from solvers.exact.capped_simplex import project
from solvers.exact.rank1.qp import minimise

OVERHEAD = 800  # bytes of the Python objects around the arrays of a node


@dataclass(frozen=True, slots=True)
class Shift:
    """delta with G_FF - Diag(delta_F) proved positive semidefinite, F some tokens.

    Attributes
    ----------
    values : (n,) delta, 0 outside F.
    sized : |F|.
    margin : what rounding can add to a bound computed with it.
    """

    values: Float
    sized: int
    margin: float


@dataclass(slots=True)
class Node:
    """min constant + z^T G_FF z + linear.z over binary z with sum z = s, F the free tokens.

    Attributes
    ----------
    free, pruned : the free tokens, and those fixed as pruned; the rest is kept.
    linear, constant : what the fixed tokens add.
    s : how many free tokens are still to be pruned.
    x : a point of the capped simplex over the free tokens.
    shift : with G_FF - Diag(shift_F) positive semidefinite; shared between nodes.
    lower : a bound on the energy of every set below.
    """

    free: Int
    pruned: Int
    linear: Float
    constant: float
    s: int
    x: Float
    shift: Shift
    lower: float

    @classmethod
    def root(cls, n: int, m: int, shift: Shift) -> Node:
        """Nothing fixed."""
        return cls(np.arange(n), np.arange(0), np.zeros(n), 0.0, m, np.full(n, m / n), shift, 0.0)

    def child(self, G: Float, position: int, prune: bool) -> Node:
        """The node with the free token at `position` pruned, or kept."""
        free, linear, constant, s, x = fix(G, self.free, self.linear, self.constant, self.s, self.x, position, prune)
        pruned = np.append(self.pruned, self.free[position]) if prune else self.pruned
        return Node(free, pruned, linear, constant, s, x, self.shift, self.lower)

    @property
    def size(self) -> int:
        """Bytes held, the shared shift left out."""
        return OVERHEAD + self.free.nbytes + self.pruned.nbytes + self.linear.nbytes + self.x.nbytes


@njit(cache=True)
def fix(
    G: Float, free: Int, linear: Float, constant: float, s: int, x: Float, position: int, prune: bool
) -> tuple[Int, Float, float, int, Float]:
    """(free, linear, constant, s, x) of `Node.child`."""
    keep = np.ones(len(free), dtype=np.bool_)
    keep[position] = False
    rest, remaining = free[keep], linear[keep]
    if prune:
        row = G[free[position]]
        constant += linear[position] + row[free[position]]
        for b in range(len(rest)):
            remaining[b] += 2.0 * row[rest[b]]
        s -= 1
    start = x[keep]
    if 0 < s < len(rest):
        start = project(start, s)
    return rest, remaining, constant, s, start


@njit(cache=True)
def tighten(
    G: Float,
    free: Int,
    linear: Float,
    constant: float,
    s: int,
    x: Float,
    shift: Float,
    cutoff: float,
    accuracy: float,
    iterations: int,
) -> tuple[float, Int, Int, Float, float, int, Float]:
    """Bound a node, and fix what the bound decides, until nothing changes.

    With slack = cutoff - bound and g the gradient at the certified point, sorted upwards: a token with
    g_(s+1) - g_i > slack is pruned, one with g_j - g_(s) > slack is kept, in every set of energy below the cutoff.

    Parameters
    ----------
    shift : (n,) over all tokens. The rest is as in `Node` and `minimise`.

    Returns
    -------
    (lower, free, pruned, linear, constant, s, x) : `pruned` are the newly pruned tokens. A lower >= cutoff closes the
        node. No free token left means that the node is one set, of energy `constant`.
    """
    pruned = np.empty(0, dtype=free.dtype)
    while True:
        n = len(free)
        if s == 0 or s == n:
            if s == n:
                for a in range(n):
                    constant += linear[a]
                    for b in range(n):
                        constant += G[free[a], free[b]]
                pruned = np.concatenate((pruned, free))
            return constant, free[:0], pruned, linear[:0], constant, 0, x[:0]
        A = np.empty((n, n))
        c = np.empty(n)
        for a in range(n):
            row = G[free[a]]
            for b in range(n):
                A[a, b] = row[free[b]]
            A[a, a] -= shift[free[a]]
            c[a] = linear[a] + shift[free[a]]
        bound, x, g, _ = minimise(A, c, s, x, cutoff - constant, accuracy, iterations)
        slack = cutoff - constant - bound
        if slack <= 0.0:
            return constant + bound, free, pruned, linear, constant, s, x
        ordered = np.sort(g)
        last_in, first_out = ordered[s - 1], ordered[s]
        keep = np.ones(n, dtype=np.bool_)
        into = np.zeros(n, dtype=np.bool_)
        for a in range(n):
            if first_out - g[a] > slack:
                keep[a], into[a] = False, True
            elif g[a] - last_in > slack:
                keep[a] = False
        if keep.all():
            return constant + bound, free, pruned, linear, constant, s, x
        linear = linear.copy()
        for a in range(n):
            if into[a]:
                row = G[free[a]]
                constant += linear[a] + row[free[a]]
                for b in range(n):
                    linear[b] += 2.0 * row[free[b]]
                s -= 1
        pruned = np.concatenate((pruned, free[into]))
        free, linear, x = free[keep], linear[keep], x[keep]
        if 0 < s < len(free):
            x = project(x, s)


@njit(cache=True)
def branching_position(G: Float, free: Int, x: Float, shift: Float) -> int:
    """The position in `free` of the token to branch on; see `most_decisive`."""
    fractional = fractional_of(x, 1e-6)
    f = len(fractional)
    if f < 2:
        return int(np.argmin(np.abs(x - 0.5)))
    block = np.empty((f, f))
    for a in range(f):
        row = G[free[fractional[a]]]
        for b in range(f):
            block[a, b] = row[free[fractional[b]]]
        block[a, a] -= shift[free[fractional[a]]]
    return most_decisive(block, fractional, x)

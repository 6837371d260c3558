"""A node of the branch and bound: some coordinates of y fixed at 0 or 1, the rest relaxed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from mmdp.checks import Float, Int
from solvers.exact.branching import fractional_of, most_decisive
from solvers.exact.rank1.qp import linear_bound, minimise_within
from solvers.exact.rank1.quotas import exchanges, is_feasible, least_set, project_within

OVERHEAD = 800  # bytes of the Python objects around the arrays of a node


@dataclass(frozen=True, slots=True)
class Shift:
    """delta with Q_FF - Diag(delta_F) proved positive semidefinite, F some coordinates.

    Attributes
    ----------
    values : (n,) delta, 0 outside F.
    sized : |F|.
    margin : what rounding can add to a bound computed with it.
    record : its number in the log of the tree.
    """

    values: Float
    sized: int
    margin: float
    record: int = 0


@dataclass(slots=True)
class Node:
    """min constant + z^T Q_FF z + linear.z over binary z with sum z = s within the quotas, F the free coordinates.

    Attributes
    ----------
    free, ones : the free coordinates, and those fixed at 1; the rest is 0.
    linear, constant : what the fixed ones add.
    s : how many free coordinates are still to become 1.
    low, high : the quotas that are left, as in `quotas`.
    x : a point of the capped simplex over the free coordinates.
    shift : with Q_FF - Diag(shift_F) positive semidefinite; shared between nodes.
    lower : a bound on the energy of every set below.
    number : in order of creation; the root is 0.
    """

    free: Int
    ones: Int
    linear: Float
    constant: float
    s: int
    low: Int
    high: Int
    x: Float
    shift: Shift
    lower: float
    number: int = 0

    def child(self, Q: Float, labels: Int, position: int, one: bool, number: int) -> Node:
        """The node with the free coordinate at `position` fixed at 1, or at 0."""
        ones = np.append(self.ones, self.free[position]) if one else self.ones
        state = fix(
            Q, labels, self.free, self.linear, self.constant, self.s, self.low, self.high, self.x, position, one
        )
        free, linear, constant, s, low, high, x = state
        return Node(free, ones, linear, constant, s, low, high, x, self.shift, self.lower, number)

    @property
    def size(self) -> int:
        """Bytes held, the shared shift left out."""
        return OVERHEAD + self.free.nbytes + self.ones.nbytes + self.linear.nbytes + self.x.nbytes + 2 * self.low.nbytes


@njit(cache=True)
def fix(
    Q: Float,
    labels: Int,
    free: Int,
    linear: Float,
    constant: float,
    s: int,
    low: Int,
    high: Int,
    x: Float,
    position: int,
    one: bool,
) -> tuple[Int, Float, float, int, Int, Int, Float]:
    """(free, linear, constant, s, low, high, x) of `Node.child`."""
    keep = np.ones(len(free), dtype=np.bool_)
    keep[position] = False
    rest, remaining = free[keep], linear[keep]
    if one:
        row = Q[free[position]]
        constant += linear[position] + row[free[position]]
        for b in range(len(rest)):
            remaining[b] += 2.0 * row[rest[b]]
        s -= 1
        if len(low):
            low, high = low.copy(), high.copy()
            low[labels[free[position]]] = max(0, low[labels[free[position]]] - 1)
            high[labels[free[position]]] -= 1
    start = x[keep]
    groups = labels[rest] if len(low) else rest
    if 0 < s < len(rest) and is_feasible(s, groups, low, high):
        start = project_within(start, s, groups, low, high)
    return rest, remaining, constant, s, low, high, start


@njit(cache=True)
def tighten(
    Q: Float,
    labels: Int,
    free: Int,
    linear: Float,
    constant: float,
    s: int,
    low: Int,
    high: Int,
    x: Float,
    shift: Float,
    cutoff: float,
    accuracy: float,
    iterations: int,
    logged: bool,
) -> tuple[float, Int, Int, Float, float, int, Int, Int, Float, Float]:
    """Bound a node, and fix what the bound decides, until nothing changes.

    With slack = cutoff - bound, a coordinate whose other side costs the linearised bound more than the slack
    (`exchanges`) has the side of the least set in every set of energy below the cutoff.

    Parameters
    ----------
    labels, shift : (n,) over all coordinates. The rest is as in `Node` and `minimise_within`.
    logged : whether bounds are taken at multiples of 1 / 65535, which is how a log keeps points, one at a time.

    Returns
    -------
    (lower, free, ones, linear, constant, s, low, high, x, point) : `ones` are those newly fixed at 1. A lower >= cutoff
        closes the node. No free coordinate left means that the node is one set, of energy `constant`. When `logged`,
        `point` is where the bound was taken, empty where none was, and -inf stands for a lower still to be computed.
    """
    ones = np.empty(0, dtype=free.dtype)
    point = x[:0]
    while True:
        n = len(free)
        groups = labels[free] if len(low) else free
        if not is_feasible(s, groups, low, high):
            return np.inf, free, ones, linear, constant, s, low, high, x, point
        if s == 0 or s == n:
            if s == n:
                for a in range(n):
                    constant += linear[a]
                    for b in range(n):
                        constant += Q[free[a], free[b]]
                ones = np.concatenate((ones, free))
            return constant, free[:0], ones, linear[:0], constant, 0, low, high, x[:0], point
        if logged and len(point):
            return -np.inf, free, ones, linear, constant, s, low, high, x, point
        A = np.empty((n, n))
        c = np.empty(n)
        for a in range(n):
            row = Q[free[a]]
            for b in range(n):
                A[a, b] = row[free[b]]
            A[a, a] -= shift[free[a]]
            c[a] = linear[a] + shift[free[a]]
        bound, x, g, _ = minimise_within(A, c, s, x, groups, low, high, cutoff - constant, accuracy, iterations)
        if logged:
            point = np.round(65535.0 * x) / 65535.0
            bound, g = linear_bound(A, c, s, point, groups, low, high)
        slack = cutoff - constant - bound
        if slack <= 0.0:
            return constant + bound, free, ones, linear, constant, s, low, high, x, point
        chosen = least_set(g, s, groups, low, high)
        rise = exchanges(g, chosen, groups, low, high)
        keep = rise <= slack
        if keep.all():
            return constant + bound, free, ones, linear, constant, s, low, high, x, point
        linear = linear.copy()
        if len(low):
            low, high = low.copy(), high.copy()
        for a in range(n):
            if chosen[a] and not keep[a]:
                row = Q[free[a]]
                constant += linear[a] + row[free[a]]
                for b in range(n):
                    linear[b] += 2.0 * row[free[b]]
                s -= 1
                if len(low):
                    low[groups[a]] = max(0, low[groups[a]] - 1)
                    high[groups[a]] -= 1
        ones = np.concatenate((ones, free[chosen & ~keep]))
        free, linear, x = free[keep], linear[keep], x[keep]
        if 0 < s < len(free):
            groups = labels[free] if len(low) else free
            if is_feasible(s, groups, low, high):
                x = project_within(x, s, groups, low, high)


@njit(cache=True)
def branching_position(Q: Float, free: Int, x: Float, shift: Float) -> int:
    """The position in `free` of the coordinate to branch on; see `most_decisive`."""
    fractional = fractional_of(x, 1e-6)
    f = len(fractional)
    if f < 2:
        return int(np.argmin(np.abs(x - 0.5)))
    block = np.empty((f, f))
    for a in range(f):
        row = Q[free[fractional[a]]]
        for b in range(f):
            block[a, b] = row[free[fractional[b]]]
        block[a, a] -= shift[free[fractional[a]]]
    return most_decisive(block, fractional, x)

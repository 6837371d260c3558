"""Verifies the log of a branch and bound tree: every shift once, every bound anew, every leaf."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates import CertificateError
from mmdp.checks import Float, Int
from solvers.exact.rank1.quotas import exchanges, is_feasible, least_set

if TYPE_CHECKING:
    from solvers.exact.rank1.tree_log import Rank1Tree

EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)


def proved_energy(bqp: CardinalityBQP, tree: Rank1Tree) -> float:
    """No 0/1 vector has less energy, the constant left out; -inf where nothing is proved.

    A vector belongs to exactly one leaf, unless a step on the way fixed a coordinate against it: then its energy is at
    least `tree.lower`. A leaf ends with a bound of its path, with one vector, or with none.

    Raises
    ------
    CertificateError : the arrays do not make a tree, a shifted matrix is not semidefinite, or a bound does not allow
        what it fixed.
    """
    n = len(bqp.Q)
    children = _tree(tree, n)
    offsets = [
        _offsets(tree.shift_sizes, len(tree.shift_values)),
        _offsets(tree.step_sizes, len(tree.points)),
        _offsets(tree.step_fixed, len(tree.fixed)),
    ]
    fixed_margin = bqp.error + 8 * n * EPS * float(np.abs(bqp.Q).sum())
    margins = _shift_margins(bqp.Q, tree, offsets[0]) + fixed_margin
    order = np.argsort(tree.step_nodes, kind="stable")
    first_step = np.searchsorted(tree.step_nodes[order], np.arange(len(children) + 1))
    proved, node = replay(
        np.ascontiguousarray(bqp.Q),
        bqp.m,
        bqp.labels,
        bqp.low,
        bqp.high,
        tree.lower,
        fixed_margin,
        margins,
        offsets[0],
        tree.shift_coordinates,
        tree.shift_values,
        first_step,
        order,
        tree.step_shifts,
        offsets[1],
        tree.points,
        offsets[2],
        tree.fixed,
        children,
    )
    if node >= 0:
        raise CertificateError(f"a step or a branching at node {node} of the tree does not hold")
    return min(proved, tree.lower)


def _offsets(sizes: Int, total: int) -> Int:
    """Where each part of an array of `total` numbers begins."""
    offsets = np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(sizes)))
    if sizes.max(initial=0) > total or offsets[-1] != total:  # the first, so that the sum cannot overflow
        raise CertificateError(f"the parts of the tree must hold {total} numbers, got {offsets[-1]}")
    return offsets


def _tree(tree: Rank1Tree, n: int) -> Int:
    """(N, 3) coordinate, first child and depth per node, -1 for leaves; CertificateError unless it is one tree."""
    N = 1 + 2 * len(tree.branch_nodes)
    steps, lengths = len(tree.step_nodes), {len(tree.step_shifts), len(tree.step_sizes), len(tree.step_fixed)}
    branches = {len(tree.branch_coordinates), len(tree.branch_children)}
    whole = (
        lengths == {steps}
        and branches == {len(tree.branch_nodes)}
        and len(tree.shift_coordinates) == len(tree.shift_values)
        and tree.step_nodes.max(initial=0) < N
        and tree.step_shifts.max(initial=-1) < len(tree.shift_sizes)
        and max(tree.branch_coordinates.max(initial=-1), tree.shift_coordinates.max(initial=-1)) < n
        and np.abs(tree.fixed).max(initial=0) <= n
        and np.abs(tree.fixed).min(initial=1) >= 1
        and len(np.unique(tree.branch_nodes)) == len(tree.branch_nodes)
        and (tree.branch_children > tree.branch_nodes).all()
        and np.array_equal(np.sort(np.concatenate((tree.branch_children, tree.branch_children + 1))), np.arange(1, N))
    )
    if not whole:
        raise CertificateError("the arrays do not make a tree over the tokens of the problem")
    nodes = np.full((N, 3), -1)
    nodes[tree.branch_nodes, 0], nodes[tree.branch_nodes, 1] = tree.branch_coordinates, tree.branch_children
    nodes[0, 2] = 0
    for node in np.sort(tree.branch_nodes):  # parents have the smaller numbers
        child = nodes[node, 1]
        nodes[child : child + 2, 2] = nodes[node, 2] + 1
    if nodes[:, 2].max() > n:
        raise CertificateError(f"the tree must have at most {n} levels, got {nodes[:, 2].max()}")
    return nodes


def _shift_margins(Q: Float, tree: Rank1Tree, offsets: Int) -> Float:
    """What rounding can do to a bound under each shift; CertificateError unless each is proved semidefinite.

    As `margin_of` and `is_psd` do it, with LAPACK's Cholesky factorisation: :cite:p:`rump2006verification` covers
    any order of summation.
    """
    margins = np.empty(len(tree.shift_sizes))
    for number, size in enumerate(tree.shift_sizes):
        part = slice(offsets[number], offsets[number + 1])
        coordinates, delta = tree.shift_coordinates[part], tree.shift_values[part]
        A = Q[np.ix_(coordinates, coordinates)]
        A[np.diag_indices(size)] -= delta
        margins[number] = 8 * size * EPS * float(np.abs(A).sum() + np.abs(delta).sum())
        A[np.diag_indices(size)] -= size * EPS * max(float(np.trace(A)), TINY)
        try:
            np.linalg.cholesky(A)
        except np.linalg.LinAlgError:
            raise CertificateError(f"the matrix less shift {number} is not positive semidefinite") from None
    return margins


@njit(cache=True)
def replay(
    Q: Float,
    m: int,
    labels: Int,
    low: Int,
    high: Int,
    lower: float,
    fixed_margin: float,
    margins: Float,
    shift_first: Int,
    shift_coordinates: Int,
    shift_values: Float,
    node_first: Int,
    order: Int,
    step_shifts: Int,
    point_first: Int,
    points: npt.NDArray[np.uint16],
    fix_first: Int,
    fixed: Int,
    nodes: Int,
) -> tuple[float, int]:
    """(the least bound of a leaf, -1), depth first; or (-inf, a node where something does not hold).

    Row d of each array of states is the state after the steps of the node at depth d that is being worked on.
    """
    n, rows = len(Q), nodes[:, 2].max() + 2
    free = np.ones((rows, n), dtype=np.bool_)
    linear = np.zeros((rows, n))
    constant, best = np.zeros(rows), np.full(rows, -np.inf)
    s = np.full(rows, m)
    lows, highs = np.empty((rows, len(low)), dtype=np.int64), np.empty((rows, len(low)), dtype=np.int64)
    lows[0], highs[0] = low, high
    delta, loaded = np.full(n, np.nan), -1
    proved = np.inf
    stack = np.empty((2 * rows + 2, 3), dtype=np.int64)  # node, coordinate, side: row = its depth
    stack[0] = 0, -1, 0
    top = 1
    while top:
        top -= 1
        node, coordinate, side = stack[top]
        d = nodes[node, 2] + 1
        free[d], linear[d], constant[d], best[d], s[d] = (
            free[d - 1],
            linear[d - 1],
            constant[d - 1],
            best[d - 1],
            s[d - 1],
        )
        lows[d], highs[d] = lows[d - 1], highs[d - 1]
        if coordinate >= 0:
            if not free[d, coordinate]:
                return -np.inf, node
            free[d, coordinate] = False
            if side:
                constant[d] += linear[d, coordinate] + Q[coordinate, coordinate]
                linear[d] += 2.0 * Q[coordinate]
                s[d] -= 1
                if len(low):
                    lows[d, labels[coordinate]] = max(0, lows[d, labels[coordinate]] - 1)
                    highs[d, labels[coordinate]] -= 1
        for position in range(node_first[node], node_first[node + 1]):
            step = order[position]
            shift = step_shifts[step]
            if shift != loaded:
                delta[:] = np.nan
                for t in range(shift_first[shift], shift_first[shift + 1]):
                    delta[shift_coordinates[t]] = shift_values[t]
                loaded = shift
            F = np.flatnonzero(free[d])
            f = len(F)
            groups = labels[F] if len(low) else F
            if point_first[step + 1] - point_first[step] != f or not is_feasible(s[d], groups, lows[d], highs[d]):
                return -np.inf, node
            x = points[point_first[step] : point_first[step + 1]] / 65535.0
            used = np.flatnonzero(x)
            g = np.empty(f)
            quadratic = 0.0
            for a in range(f):
                row = Q[F[a]]
                product = -delta[F[a]] * x[a]
                for b in used:
                    product += row[F[b]] * x[b]
                quadratic += product * x[a]
                g[a] = 2.0 * product + linear[d, F[a]] + delta[F[a]]
            if not np.isfinite(g).all():  # a coordinate that the shift is not for
                return -np.inf, node
            chosen = least_set(g, s[d], groups, lows[d], highs[d])
            bound = constant[d] - quadratic - margins[shift]
            for a in range(f):
                if chosen[a]:
                    bound += g[a]
            best[d] = max(best[d], bound)
            if fix_first[step + 1] == fix_first[step]:
                continue
            rise = exchanges(g, chosen, groups, lows[d], highs[d])
            where = np.full(n, -1)
            where[F] = np.arange(f)
            for t in range(fix_first[step], fix_first[step + 1]):
                i = abs(fixed[t]) - 1
                a = where[i]
                if a < 0 or chosen[a] != (fixed[t] > 0) or not bound + rise[a] >= lower or not free[d, i]:
                    return -np.inf, node
                free[d, i] = False
                if fixed[t] > 0:
                    constant[d] += linear[d, i] + Q[i, i]
                    linear[d] += 2.0 * Q[i]
                    s[d] -= 1
                    if len(low):
                        lows[d, labels[i]] = max(0, lows[d, labels[i]] - 1)
                        highs[d, labels[i]] -= 1
        if nodes[node, 0] >= 0:
            stack[top] = nodes[node, 1], nodes[node, 0], 1
            stack[top + 1] = nodes[node, 1] + 1, nodes[node, 0], 0
            top += 2
            continue
        F = np.flatnonzero(free[d])
        if not is_feasible(s[d], labels[F] if len(low) else F, lows[d], highs[d]):
            continue
        end = best[d]
        if s[d] in (0, len(F)):
            energy = constant[d]
            if s[d]:
                for i in F:
                    energy += linear[d, i]
                    for j in F:
                        energy += Q[i, j]
            end = max(end, energy - fixed_margin)
        proved = min(proved, end)
    return proved, -1

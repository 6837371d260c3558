"""Local search by 1-swaps that keep the constraints satisfied, for any objective."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmdp import Problem
from mmdp.checks import Bool, Int
from solvers.answer import Request

MOST_VALUES = 5000  # evaluations of the objective


def improve_within(problem: Problem, subset: Int, request: Request) -> Int:
    """First-improvement swaps between sets that satisfy the constraints, as the one given does. Ascending."""
    best, values = problem.value(subset), 0
    improved = True
    while improved:
        improved = False
        for swapped in _allowed(problem, subset):
            if values == MOST_VALUES or request.left <= 0:
                break
            values += 1
            value = problem.value(swapped)
            if value > best:
                subset, best, improved = swapped, value, True
                break
    return np.sort(subset)


def _allowed(problem: Problem, subset: Int) -> Iterator[Int]:
    """The sets one swap away that satisfy the constraints."""
    outside = np.setdiff1d(np.arange(problem.n), subset)
    for position, entrant in np.argwhere(_permitted(problem, subset, outside)):
        swapped = subset.copy()
        swapped[position] = outside[entrant]
        yield swapped


def _permitted(problem: Problem, subset: Int, outside: Int) -> Bool:
    """(k, n - k) mask: may the second token take the place of the first?"""
    constraints = problem.constraints
    forbidden = np.zeros((problem.n, problem.n), dtype=np.int64)
    for i, j in constraints.forbidden_pairs:
        forbidden[i, j] = forbidden[j, i] = 1
    among = forbidden[np.ix_(subset, outside)]
    allowed: Bool = among.sum(axis=0)[None, :] == among  # the only forbidden partner, if any, is the one that leaves
    allowed &= ~np.isin(subset, constraints.keep)[:, None]
    if constraints.groups is None:
        return allowed
    labels, groups = np.unique(constraints.groups, return_inverse=True)
    count = np.bincount(groups[subset], minlength=len(labels))
    least = np.array([constraints.min_per_group.get(int(label), 0) for label in labels])
    most = np.array([constraints.max_per_group.get(int(label), problem.n) for label in labels])
    leaves, enters = groups[subset][:, None], groups[outside][None, :]
    may_leave, may_enter = (count - 1 >= least)[leaves], (count + 1 <= most)[enters]
    allowed &= (leaves == enters) | (may_leave & may_enter)
    return allowed

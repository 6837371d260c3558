"""Every subset: the oracle of the small instances, for any objective."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from mmdp import ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity, Problem, Status
from mmdp.checks import Bool, Float, Int
from mmdp.objectives.conditional_dpp import SINGULAR
from solvers.answer import Answer, Request

MOST_SUBSETS = 5_000_000
NUMBERS_AT_ONCE = 500_000
FEW = 1000  # subsets of an unknown objective between two looks at the clock


def run(problem: Problem, request: Request) -> Answer:
    """The best of all C(n, k) subsets that satisfy the constraints, ascending; ties to the lexicographically smallest.

    Whole chunks of subsets are valued at once for the objectives of this package; subsets within rounding of the best
    are compared by `problem.value`, and so is every subset of an objective of your own. At a time limit the best so
    far comes back without a bound, once there is a subset that satisfies the constraints. Time O(C(n, k)) values.

    Raises
    ------
    ValueError : more than 5,000,000 subsets.
    """
    count = math.comb(problem.n, problem.k)
    if count > MOST_SUBSETS:
        raise ValueError(
            f"brute force takes at most {MOST_SUBSETS:,} subsets, got C({problem.n}, {problem.k}) = {count:,}"
        )
    values, rounding, size = _valuation(problem)
    best: Int | None = None
    best_value = -math.inf
    examined = 0
    for chunk in _chunks(problem, size):
        allowed = chunk[_satisfy(chunk, problem.n, problem.constraints)] if problem.constraints else chunk
        for subset in _contenders(allowed, values(allowed), best_value, rounding):
            value = problem.value(subset)
            if best is None or value > best_value:
                best, best_value = subset, value
            if request.left <= 0:
                break
        if best is not None and request.left <= 0:
            break
        examined += len(chunk)
    stats = {"subsets": examined}
    if examined < count and best is not None:
        return Answer(best, status=Status.TIME_LIMIT, stats=stats)
    if best is None:
        return Answer((), bound=-math.inf, status=Status.INFEASIBLE, stats=stats)
    return Answer(best, bound=best_value, status=Status.OPTIMAL, stats=stats)


def _contenders(subsets: Int, values: Float, best_value: float, rounding: float) -> Int:
    """The rows that may beat the best value so far: those near the top, or the first top row of exact values."""
    if not len(subsets):
        return subsets
    top = max(float(values.max(initial=-math.inf)), best_value)
    if not rounding or not math.isfinite(top):
        first = int(values.argmax())
        return subsets[first : first + 1]
    return subsets[values >= top - rounding]


def _chunks(problem: Problem, size: int) -> Iterator[Int]:
    """All k-subsets as rows, lexicographically, `size` at a time."""
    subsets = itertools.combinations(range(problem.n), problem.k)
    while block := list(itertools.islice(subsets, size)):
        yield np.array(block, dtype=np.int64).reshape(len(block), problem.k)


def _satisfy(subsets: Int, n: int, constraints: Constraints) -> Bool:
    """Which rows obey the constraints."""
    inside = np.zeros((len(subsets), n), dtype=np.bool_)
    np.put_along_axis(inside, subsets, True, axis=1)
    good: Bool = np.asarray(inside[:, list(constraints.keep)].all(axis=1))
    for i, j in constraints.forbidden_pairs:
        good &= ~(inside[:, i] & inside[:, j])
    for label, least in constraints.min_per_group.items():
        good &= inside[:, constraints.members(label)].sum(axis=1) >= least
    for label, most in constraints.max_per_group.items():
        good &= inside[:, constraints.members(label)].sum(axis=1) <= most
    return good


def _valuation(problem: Problem) -> tuple[Callable[[Int], Float], float, int]:
    """Values of rows of subsets, how far they may be from `problem.value`, and how many rows to value at once."""
    many = max(1, NUMBERS_AT_ONCE // max(1, problem.n, problem.k**2))
    if type(problem) is MaxMinDiversity:  # a subclass may define its value anew
        return partial(_least_distances, problem.distances), 0.0, many
    if type(problem) is ConditionalDPP:
        return partial(_log_dets, problem.kernel), 1e-9, many
    if type(problem) is ImplicitWeight:
        return partial(_energies, problem.gram), 1e-12 * float(np.abs(problem.gram).sum()), many
    return lambda subsets: np.array([problem.value(subset) for subset in subsets], dtype=np.float64), 0.0, FEW


def _least_distances(distances: Float, subsets: Int) -> Float:
    least: Float = np.full(len(subsets), np.inf)
    for a, b in itertools.combinations(range(subsets.shape[1]), 2):
        least = np.minimum(least, distances[subsets[:, a], subsets[:, b]])
    return least


def _log_dets(kernel: Float, subsets: Int) -> Float:
    inside = kernel[subsets[:, :, None], subsets[:, None, :]]
    diagonal = np.diagonal(inside, axis1=1, axis2=2)
    positive: Bool = np.asarray((diagonal > 0).all(axis=1))
    scale = np.sqrt(np.where(positive[:, None], diagonal, 1.0))
    eigenvalues = np.linalg.eigvalsh(inside / scale[:, :, None] / scale[:, None, :])
    regular = positive & (eigenvalues > SINGULAR).all(axis=1)
    logs = np.log(np.where(regular[:, None], eigenvalues, 1.0)).sum(axis=1) + 2 * np.log(scale).sum(axis=1)
    return np.where(regular, logs, -np.inf)


def _energies(gram: Float, subsets: Int) -> Float:
    pruned = np.ones((len(subsets), len(gram)))
    np.put_along_axis(pruned, subsets, 0.0, axis=1)
    energies: Float = ((pruned @ gram) * pruned).sum(axis=1)
    return -np.maximum(energies, 0.0)

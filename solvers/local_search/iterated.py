"""Local search from a step: climb while it helps, then kick the best set, climb, keep what is no worse."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from mmdp import Problem
from mmdp.checks import Int
from solvers.answer import Request

SHARE, LEAST = 6, 3  # a kick replaces one member in six, at least three
MOST_KICKS = 128
GAIN = 1e-11  # least improvement that counts, relative to the value


def kick(subset: Int, pool: Int, rng: np.random.Generator) -> Int:
    """The subset with a few random members replaced by random tokens of the pool outside it."""
    outside = np.setdiff1d(pool, subset)
    count = min(max(LEAST, len(subset) // SHARE), len(subset), len(outside))
    changed = subset.copy()
    changed[rng.permutation(len(subset))[:count]] = rng.permutation(outside)[:count]
    return changed


def climb(problem: Problem, best_swap: Callable[[Int], Int], subset: Int, request: Request) -> Int:
    """To a set that its best swap does not improve."""
    current = problem.value(subset)
    while request.left > 0:
        swapped = best_swap(subset)
        value = problem.value(swapped)
        if not value > current + GAIN * abs(current):
            break
        subset, current = swapped, value
    return subset


def iterate(
    problem: Problem,
    climb: Callable[[Int, Request], Int],
    best: Int,
    pool: Int,
    turn: int,
    rng: np.random.Generator,
    request: Request,
) -> Int:
    """The best set after 2^turn (at most 128) kicks and climbs.

    A set of value -inf is given back: it has been climbed, and no swap helped.
    """
    value = problem.value(best)
    for _ in range(min(2**turn, MOST_KICKS)):
        if request.left <= 0 or value == -math.inf:
            break
        found = climb(kick(best, pool, rng), request)
        if problem.value(found) >= value:
            best, value = found, problem.value(found)
    return best

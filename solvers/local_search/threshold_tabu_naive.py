"""Min-conflicts tabu search at rising distance thresholds: what finds good sets for max-min diversity."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float, Int
from solvers.answer import Request

JUMP = 64  # distinct distances by which the threshold rises at first
BLOCKED = 1e9  # above any number of conflicts: a tabu token moves only when all are tabu
BLOCK = 256  # moves whose random numbers are drawn, and whose time is checked, at once


def raise_threshold(
    distances: Float, levels: Float, subset: Int, moves: int, rng: np.random.Generator, request: Request
) -> Int:
    """The best set found by asking for a least distance of one level after another, `moves` moves each.

    `levels` are the distinct distances, ascending. The jump doubles after a success and halves after a failure, until
    a single level fails.
    """
    if len(subset) < 2:
        return subset
    reached = int(np.searchsorted(levels, least_distance(distances, subset)))
    jump = JUMP
    while jump >= 1 and reached + 1 < len(levels) and request.left > 0:
        threshold = float(levels[min(reached + jump, len(levels) - 1)])
        found = separate(distances, subset, threshold, moves, rng, request)
        if found is None:
            jump //= 2
        else:
            subset, jump = found, 2 * jump
            reached = int(np.searchsorted(levels, least_distance(distances, subset)))
    return subset


def least_distance(distances: Float, subset: Int) -> float:
    """The smallest distance within a subset of at least two tokens."""
    return float(distances[np.ix_(subset, subset)][np.triu_indices(len(subset), 1)].min())


def separate(
    distances: Float, subset: Int, threshold: float, moves: int, rng: np.random.Generator, request: Request
) -> Int | None:
    """A set of the same size with all distances >= threshold, or None when none was found.

    A conflict is a pair in the set with d < threshold. Each move drops the token with most conflicts and adds the one
    that then has fewest, ties at random; a dropped token stays out for 7 to 16 moves, an added one stays in for 2 to
    11, fewer when few conflicts are left. One move costs O(n).
    """
    n = len(distances)
    close = (distances < threshold).astype(np.int32)
    np.fill_diagonal(close, 0)
    subset = subset.copy()
    inside = np.zeros(n, dtype=np.bool_)
    inside[subset] = True
    conflicts = close[subset].sum(axis=0, dtype=np.int32)
    total = int(conflicts[subset].sum()) // 2
    blocked_until = np.zeros(n, dtype=np.int64)
    for move in range(moves):
        if total == 0:
            break
        if move % BLOCK == 0:
            if request.left <= 0:
                return None
            tie_break = rng.random((BLOCK, n))
            tenures = rng.integers(0, 10, (BLOCK, 2)).tolist()
        noise, (stay_out, stay_in) = tie_break[move % BLOCK], tenures[move % BLOCK]
        penalty = np.where(blocked_until > move, BLOCKED, 0.0) - noise

        position = int(np.argmax(conflicts[subset] - penalty[subset]))
        dropped = int(subset[position])
        total -= int(conflicts[dropped])
        conflicts = conflicts - close[dropped]

        added = int(np.argmin(np.where(inside, np.inf, conflicts + penalty)))
        total += int(conflicts[added])
        conflicts = conflicts + close[added]

        subset[position] = added
        inside[dropped], inside[added] = False, True
        blocked_until[dropped] = move + 7 + stay_out
        blocked_until[added] = move + 2 + stay_in % (1 + min(10, total))
    return subset if total == 0 else None

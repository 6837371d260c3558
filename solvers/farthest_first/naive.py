"""Farthest-first traversal in plain numpy, as DivPrune states it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import GroundSet, MaxMinDiversity
from mmdp.checks import Bool, Float, Int, as_token
from solvers.answer import Answer, Request
from solvers.batching import Batch, Row


def farthest_first(X: Any, k: Any, *, valid: Any = None, start: Any = None) -> Int:
    """Keep k tokens that lie far apart in d_ij = 1 - cos(x_i, x_j).

    The first token is the most isolated one, argmax_i min_{j != i} d_ij, or `start`; then again and again the token
    farthest from those chosen, argmax_i min_{s in S} d_is :cite:p:`alvar2025divprune,gonzalez1985clustering`. Ties go
    to the lowest index. Rows of norm at most 1e-12 come last, in index order, and play no part before.

    Parameters
    ----------
    X : (n, d) tokens, or (B, n, d), any real dtype; arithmetic is in float64.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all.
    start : None, or the first token, int or (B,).

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Notes
    -----
    Guarantee, for any start and nonzero tokens: 1/4 of the best minimum of 1 - cos, because the chord sqrt(2 - 2 cos)
    is a metric with the same order, where the traversal reaches 1/2 :cite:p:`ravi1994heuristic`. Time O(n^2 d + n k),
    memory O(n^2), for each sample.

    Examples
    --------
    >>> farthest_first([[1, 0], [0, 1], [-1, 0], [1, 1]], 3).tolist()
    [2, 0, 1]
    """
    batch = Batch.of(k, valid, tokens={"X": X})
    starts = batch.positions(start, "start")

    def pick(row: Row) -> Int:
        ground = GroundSet(row.arrays["X"])
        return traverse(ground.distances, row.k, last=ground.zero_rows, start=starts[row.index])

    return batch.choose(pick)


def run(problem: MaxMinDiversity, request: Request, start: int | None = None) -> Answer:
    """The traversal on the distances of the problem, whatever its metric.

    Parameters
    ----------
    start : the first token; None means the most isolated one.
    """
    first = None if start is None else as_token(start, problem.n, "start")
    return Answer(traverse(problem.distances, problem.k, last=problem.ground.zero_rows, start=first))


def traverse(distances: Float, k: int, *, last: Bool, start: int | None = None) -> Int:
    """The first k tokens of the traversal of (n, n) distances; the tokens marked in `last` come after all others."""
    chosen = np.empty(k, dtype=np.int64)
    nearest = np.full(len(distances), np.inf)
    if start is None:
        score = np.where(last, -1.0, isolation(distances, ~last))
    else:
        score = np.where(np.arange(len(distances)) == start, 0.0, -np.inf)
    for t in range(k):
        j = int(np.argmax(score))
        chosen[t] = j
        nearest = np.minimum(nearest, distances[j])
        score = np.where(last, -1.0, nearest)
        score[chosen[: t + 1]] = -np.inf
    return chosen


def isolation(distances: Float, among: Bool) -> Float:
    """(n,) distance from every token to its nearest other token in the mask `among`; inf where there is none."""
    others = np.where(among[None, :], distances, np.inf)
    np.fill_diagonal(others, np.inf)  # never "the second smallest": a duplicate of i is at distance 0 from i as well
    nearest: Float = others.min(axis=1, initial=np.inf)
    return nearest

"""Farthest-first traversal, compiled: lazy and without a matrix where that pays, on the Gram matrix elsewhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import MaxMinDiversity
from mmdp.checks import Bool, Float, Int, as_token
from solvers.answer import Answer, Request
from solvers.batching import Array, Batch, Sample
from solvers.farthest_first.cpu_lazy import lazy_traverse
from solvers.farthest_first.cpu_matrix import (
    distance_traverse,
    farthest_nearest,
    isolated_in,
    matrix_traverse,
    snap,
)
from solvers.farthest_first.cpu_start import most_isolated
from solvers.lazy.choice import lazy_pays
from solvers.lazy.compiled import compile_times
from solvers.lazy.gram import cosines
from solvers.lazy.rows import directions, inverse_norms
from solvers.lazy.sketch import WIDEST, sketch

NARROW = 128  # columns below which rounding to bytes saves nothing
SHARE, OVERHEAD = 0.85, 192  # see `lazy_pays`
START, LOOP = 0.08, 0.18  # full products, as shares of n^2, beyond which the Gram matrix is the better bargain


def farthest_first(X: Any, k: Any, *, valid: Any = None, start: Any = None) -> Int:
    """Keep k tokens that lie far apart in d_ij = 1 - cos(x_i, x_j), the choice of `farthest_first.naive`.

    The most isolated token first, then again and again the token farthest from those chosen
    :cite:p:`alvar2025divprune,gonzalez1985clustering`; ties go to the lowest index. Distances are computed in float32
    (float64 for float64 tokens) from the tokens as they are and normalised after the product. Rows of norm at most
    1e-12 come last, in index order.

    Parameters
    ----------
    X : (n, d) tokens, or (B, n, d), any real dtype and strides.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.
    start : None, or the first token, int or (B,).

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Raises
    ------
    ValueError, TypeError : shapes or dtypes that do not fit, a negative budget, a value of a valid token that is not
        finite.

    Notes
    -----
    The same choice as `naive` where decision gaps exceed 1e-6; with smaller gaps each pick is within 1e-6 of the best.
    A token is compared with the chosen ones only when it is about to be chosen itself, on rows rounded to bytes first
    :cite:p:`minoux1978accelerated`; the most isolated token is found by bounds from neighbours
    :cite:p:`bay2003mining`. When that turns out to be more work than the Gram matrix, the traversal goes on with it. On
    the lazy path time is O(n k d) at worst, a few per cent of it on the tokens of photographs, and memory n d bytes
    and O(n + k) numbers; with the matrix O(n^2 d + n k) and O(n^2). The samples of a batch are shared out among
    ``numba.get_num_threads()`` threads. Guarantee as for `naive`.

    Examples
    --------
    >>> farthest_first([[1, 0], [0, 1], [-1, 0], [1, 1]], 3).tolist()
    [2, 0, 1]
    """
    batch = Batch.of(k, valid, tokens={"X": X}, look=False)
    starts = batch.given(start, "start")
    return batch.share(lambda sample: _choose(batch, sample, starts[sample.index]))


def run(problem: MaxMinDiversity, request: Request, start: int | None = None) -> Answer:
    """The traversal of the tokens of the problem in their own precision; on its distances where they are not cosines.

    Parameters
    ----------
    start : the first token; None means the most isolated one.
    """
    first = None if start is None else as_token(start, problem.n, "start")
    ground = problem.ground
    with compile_times() as seconds:
        if ground.features is not None and ground.metric != "euclidean":  # cosine and chord order pairs alike
            chosen = farthest_first(ground.features, problem.k, start=first)
        else:
            chosen = _on_distances(problem.distances, problem.k, first)
    return Answer(chosen, compile_seconds=sum(seconds))


def _choose(batch: Batch, sample: Sample, start: int | None) -> Int:
    """The picks of one sample."""
    n, d = sample.arrays["X"].shape
    lazy = NARROW <= d <= WIDEST and lazy_pays(sample.k, n, d, SHARE, OVERHEAD)
    X, inverse, *sketched = directions(batch, sample, sketch if lazy else inverse_norms)
    live = inverse > 0
    if start is not None and not live[start]:  # nothing is far from a token without direction
        order = np.concatenate([np.flatnonzero(live), np.flatnonzero(sample.valid & ~live)])
        return np.concatenate([[start], order[order != start]])[: sample.k]
    chosen = _traverse(X, live, inverse, min(sample.k, int(np.count_nonzero(live))), start, *sketched)
    if len(chosen) == sample.k:
        return chosen
    last = np.flatnonzero(sample.valid & ~live)[: sample.k - len(chosen)]
    return np.concatenate([chosen, last])


def _traverse(X: Array, live: Bool, inverse: Array, k: int, start: int | None, sketched: Any = None) -> Int:
    """The first k live tokens; lazily where there is a sketch, for as long as that pays."""
    if not k:
        return np.empty(0, dtype=np.int64)
    first, done = -1 if start is None else start, 0
    chosen = np.empty(k, dtype=np.int64)
    if sketched is not None:
        full = len(X) ** 2
        if first < 0:
            first = most_isolated(X, live, inverse, sketched, START * full)
        if first >= 0:
            chosen[0] = first
            done = lazy_traverse(X, live, inverse, sketched, chosen, LOOP * full)
    if done < k:
        similarity = cosines(X, live, inverse)
        snap(similarity)
        if not done:
            chosen[0] = isolated_in(similarity, live) if first < 0 else first
            done = 1
        matrix_traverse(similarity, live, chosen, done)
    return chosen


def _on_distances(distances: Float, k: int, start: int | None) -> Int:
    """The first k tokens by a matrix, of which k rows are read, and the rest only where `start` is None."""
    chosen = np.empty(k, dtype=np.int64)
    if k:
        distances = np.ascontiguousarray(distances)
        chosen[0] = farthest_nearest(distances) if start is None else start
        distance_traverse(distances, chosen)
    return chosen

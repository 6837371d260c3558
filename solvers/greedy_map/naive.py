"""Greedy MAP inference of a determinantal point process by an incremental Cholesky factor, in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ConditionalDPP
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Row

PIVOT = 1e-5  # share of its own variance below which a token is explained by the chosen ones; one rule in all dtypes


def greedy_map(X: Any, k: Any, *, relevance: Any = None, valid: Any = None) -> Int:
    """Keep k relevant and different tokens: greedily maximise log det L_S, L = diag(r) C diag(r), C_ij = cos(x_i, x_j).

    Each step takes the token with the largest conditional variance d2_i = L_ii - L_iS L_SS^-1 L_Si, whose logarithm
    is the gain, and updates all of them by one new row of the Cholesky factor
    :cite:p:`chen2018fast,zhang2025cdpruner`. A token counts only while d2_i > 1e-5 L_ii. When none is left the rank
    is exhausted, and the highest relevance fills the remaining places. Ties go to the lowest index. Rows of norm at
    most 1e-12 come last, in index order.

    Parameters
    ----------
    X : (n, d) tokens, or (B, n, d), any real dtype; arithmetic is in float64.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    relevance : (n,) or (B, n) numbers >= 0, taken as they are; None means all ones.
    valid : (n,) or (B, n) booleans, the real tokens; None means all.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Notes
    -----
    log det is submodular, but no gain is positive where r <= 1, so the 1 - 1/e of greedy does not apply to it. Time
    O(n^2 d + n k^2), memory O(n^2), for each sample.

    Examples
    --------
    >>> greedy_map([[1, 0], [1, 0], [0, 1]], 3, relevance=[0.9, 1.0, 0.5]).tolist()
    [1, 2, 0]
    """
    batch = Batch.of(k, valid, tokens={"X": X}, weights={"relevance": relevance})

    def pick(row: Row) -> Int:
        problem = ConditionalDPP.from_features(row.arrays["X"], row.k, row.arrays.get("relevance"))
        return cholesky_greedy(problem.kernel, row.k, last=problem.ground.zero_rows)[0]

    return batch.choose(pick)


def run(problem: ConditionalDPP, request: Request) -> Answer:
    """Greedy MAP on the kernel of the problem; stats tell the greedy picks (`rank`) from the `filled` places."""
    indices, rank = cholesky_greedy(problem.kernel, problem.k, last=problem.ground.zero_rows)
    return Answer(indices, stats={"rank": rank, "filled": problem.k - rank})


def cholesky_greedy(
    kernel: Float, k: int, *, last: Bool, first: Bool | None = None, pivot: float = PIVOT
) -> tuple[Int, int]:
    """The first k tokens for an (n, n) kernel L, and how many of them are greedy picks.

    Tokens in `last` come after all others; tokens in `first` come before all others for as long as they pass the pivot.
    """
    n = len(kernel)
    start = kernel.diagonal().copy()
    variance = start.copy()
    factor = np.empty((k, n))
    free = np.ones(n, dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < k:
        candidates = free & (variance > pivot * start) & (start > 0)
        if first is not None and (candidates & first).any():
            candidates &= first
        if not candidates.any():
            break
        j = int(np.argmax(np.where(candidates, variance, -np.inf)))
        t = len(chosen)
        # a product summed over rows rounds the same in every column, a BLAS product does not: equal tokens stay equal
        explained = (factor[:t, j, None] * factor[:t]).sum(axis=0)
        factor[t] = (kernel[j] - explained) / np.sqrt(variance[j])
        variance = variance - factor[t] ** 2
        free[j] = False
        chosen.append(j)
    return np.array(chosen + fill(start, free, k - len(chosen), last), dtype=np.int64), len(chosen)


def fill(diagonal: Float, free: Bool, count: int, last: Bool) -> list[int]:
    """The `count` free tokens of highest weight sqrt(L_ii), ties to the lowest index, those in `last` at the end."""
    weight = np.where(last, -1.0, np.maximum(diagonal, 0.0))  # the square root changes no order
    order: list[int] = np.argsort(-weight, kind="stable").tolist()
    return [i for i in order if free[i]][:count]

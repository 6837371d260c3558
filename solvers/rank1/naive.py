"""Greedy on the true gain of the rank-1 energy, in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Row


def rank1(K: Any, V: Any, k: Any, *, valid: Any = None) -> Int:
    """Keep k tokens so that little of the implicit weight sum_i k_i^T v_i is lost.

    Greedy on the energy of the pruned rest, E(S) = || sum_{i not in S} k_i^T v_i ||_F^2.
    With G_ij = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h), h the heads, keeping i as well lowers E by F(i | S) = G_ii + 2
    sum_{j not in S + i} G_ij; each step takes the largest such gain, of whatever sign
    :cite:p:`iwp2026,nemhauser1978analysis`. Ties go to the lowest index. Zero updates (G_ii = 0) come last, in index
    order.

    Parameters
    ----------
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype, never normalised; arithmetic is in float64.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Notes
    -----
    Guarantee where G >= 0 entrywise: the explained energy 1^T G 1 - E(S) reaches 1 - 1/e of its optimum, being
    monotone submodular; none otherwise. Time O(H n^2 (d + d_v) + n k), memory O(n^2), for each sample.

    Examples
    --------
    >>> rank1([[1.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]], 2).tolist()
    [2, 0]
    """
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, heads=True)

    def pick(row: Row) -> Int:
        gram = gram_of(row)
        return energy_greedy(gram, row.k, last=zero_updates(gram))

    return batch.choose(pick)


def run(problem: ImplicitWeight, request: Request) -> Answer:
    """The greedy on the Gram matrix of the problem, whatever its form."""
    return Answer(energy_greedy(problem.gram, problem.k, last=zero_updates(problem.gram)))


def gram_of(row: Row) -> Float:
    """(m, m) Gram matrix of the updates of one sample of a raw door."""
    return ImplicitWeight.from_keys_values(row.arrays["K"], row.arrays["V"], row.k).gram


def zero_updates(gram: Float) -> Bool:
    """Which tokens add nothing to the implicit weight."""
    return np.asarray(gram.diagonal() <= 0)


def energy_greedy(gram: Float, k: int, *, last: Bool) -> Int:
    """The first k tokens for an (n, n) Gram matrix; the tokens in `last` come after all others."""
    gain = 2 * gram.sum(axis=1) - gram.diagonal()  # F(i | {}) = G_ii + 2 sum_{j != i} G_ij
    free = np.ones(len(gram), dtype=np.bool_)
    chosen = np.empty(k, dtype=np.int64)
    for t in range(k):
        j = chosen[t] = best_token(gain, free, last)
        free[j] = False
        gain = gain - 2 * gram[j]
    return chosen


def best_token(score: Float, free: Bool, last: Bool) -> int:
    """The free token of highest score, ties to the lowest index; those in `last` only when no other is left."""
    candidates = free & ~last
    return int(np.argmax(np.where(candidates, score, -np.inf) if candidates.any() else free))

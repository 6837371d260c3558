"""Greedy on the true gain of the rank-1 energy, compiled: without a matrix for small budgets."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Sample
from solvers.lazy.compiled import compile_times
from solvers.rank1.cpu_energy import first_gains, lazy_energy, matrix_energy
from solvers.rank1.cpu_updates import gram_of_updates, updates
from solvers.rank1.mmr_cpu import zeros_last

SINGLE = 3.0  # how much longer a product takes that is not part of a large tile


def rank1(K: Any, V: Any, k: Any, *, valid: Any = None) -> Int:
    """Keep k tokens so that little of the implicit weight sum_i k_i^T v_i is lost, the choice of `rank1.naive`.

    Each step takes the largest gain F(i | S) = G_ii + 2 sum_{j not in S + i} G_ij, of whatever sign, with
    G_ij = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h), h the heads :cite:p:`iwp2026,nemhauser1978analysis`. Ties go to the
    lowest index. Entries of G are float32 (float64 for float64 keys or values, and where products do not fit float32),
    gains are float64. Zero updates (G_ii = 0) come last, in index order.

    Parameters
    ----------
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype and strides, never normalised.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.

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
    The first gains come from the (d, d_v) matrix sum_j k_j^T v_j. No entry of K and V negative means that gains only
    fall, and then the loop is lazy :cite:p:`minoux1978accelerated`; else each step computes one row of G. Where the
    whole of G is cheaper, that is used. Time O(H n (d d_v + k (d + d_v))) and memory O(H d d_v) without the matrix,
    O(H n^2 (d + d_v) + n k) and O(n^2) with it. The samples of a batch are shared out among
    ``numba.get_num_threads()`` threads. Guarantee as for `naive`.

    Examples
    --------
    >>> rank1([[1.0], [1.0], [2.0]], [[1.0], [1.0], [1.0]], 2).tolist()
    [2, 0]
    """
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, heads=True, look=False)
    return batch.share(lambda sample: _choose(batch, sample))


def run(problem: ImplicitWeight, request: Request) -> Answer:
    """The greedy on the Gram matrix of the problem, whatever its form, in float64."""
    live = problem.gram.diagonal() > 0
    chosen = np.empty(min(problem.k, int(live.sum())), dtype=np.int64)
    with compile_times() as seconds:
        matrix_energy(problem.gram, live, chosen)
    picks = zeros_last(chosen, live, np.ones(problem.n, dtype=np.bool_), problem.k)
    return Answer(picks, compile_seconds=sum(seconds))


def _choose(batch: Batch, sample: Sample) -> Int:
    """The picks of one sample."""
    K, V, energies = updates(batch, sample)
    live = energies > 0
    m, d, dv = int(live.sum()), K.shape[2], V.shape[2]
    chosen = np.empty(min(sample.k, m), dtype=np.int64)
    rows = SINGLE * m * (len(chosen) * (d + dv) + d * dv) + m * d * dv
    if rows < m * m * (d + dv) / 2:
        shrinking = not ((K[:, live] < 0).any() or (V[:, live] < 0).any())
        lazy_energy(K, V, first_gains(K, V, live, energies), shrinking, chosen)
    else:
        matrix_energy(gram_of_updates(K, V, live), live, chosen)
    return zeros_last(chosen, energies, sample.valid, sample.k)

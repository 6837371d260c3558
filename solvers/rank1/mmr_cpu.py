"""Maximal marginal relevance on rank-1 updates, compiled: lazy and without a matrix where that pays."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.batching import Array, Batch, Sample
from solvers.lazy.choice import lazy_pays
from solvers.lazy.compiled import compile_times
from solvers.rank1.cpu_updates import gram_of_updates, updates
from solvers.rank1.mmr_cpu_lazy import lazy_relevance, matrix_relevance
from solvers.rank1.mmr_naive import check_lam

SHARE, OVERHEAD = 0.72, 64  # see `lazy_pays`
EFFORT = 0.05  # tiles of entries, as a share of n^2, beyond which the Gram matrix is the better bargain


def mmr(K: Any, V: Any, k: Any, lam: float = 0.5, *, valid: Any = None) -> Int:
    """Keep k tokens whose updates dW_i = k_i^T v_i are large and unlike those already kept, as `mmr_naive` does.

    The first token is argmax_i mag_i; then argmax_i lam mag_i - (1 - lam) max_{j in S} dup_ij with mag_i = ||dW_i||_F
    and dup_ij = <dW_i, dW_j>_F = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h), h the heads
    :cite:p:`carbonell1998mmr,iwp2026`. Ties go to the lowest index. Scores are float32 (float64 for float64 keys or
    values, and where products do not fit float32). Zero updates come last, in index order. The magnitude scales like
    ||dW||, the duplication like its square: the scale of K and V matters.

    Parameters
    ----------
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype and strides, never normalised.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    lam : in [0, 1], the weight of the magnitude.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Raises
    ------
    ValueError, TypeError : shapes or dtypes that do not fit, a negative budget, `lam` out of range, a value of a valid
        token that is not finite.

    Notes
    -----
    A token is compared with the chosen ones only when it is about to be chosen itself
    :cite:p:`minoux1978accelerated`; when that turns out to be more work than the Gram matrix, that is used. Time
    O(H n k (d + d_v)) at worst and memory O(n) on the lazy path; O(H n^2 (d + d_v) + n k) and O(n^2) with the matrix.
    The samples of a batch are shared out among ``numba.get_num_threads()`` threads. No guarantee.

    Examples
    --------
    >>> mmr([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]], [[1.0], [0.9], [1.0]], 3).tolist()
    [0, 2, 1]
    """
    check_lam(lam)
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, heads=True, look=False)
    return batch.share(lambda sample: _choose(batch, sample, lam))


def run(problem: ImplicitWeight, request: Request, lam: float = 0.5) -> Answer:
    """The same rule with mag_i = sqrt(G_ii) and dup_ij = G_ij, G the Gram matrix of the problem, in float64.

    Parameters
    ----------
    lam : in [0, 1], the weight of the magnitude.
    """
    check_lam(lam)
    magnitude = np.sqrt(np.maximum(problem.gram.diagonal(), 0.0))
    chosen = np.empty(min(problem.k, int((magnitude > 0).sum())), dtype=np.int64)
    with compile_times() as seconds:
        matrix_relevance(problem.gram, magnitude, float(lam), chosen)
    return Answer(zeros_last(chosen, magnitude, magnitude >= 0, problem.k), compile_seconds=sum(seconds))


def _choose(batch: Batch, sample: Sample, lam: float) -> Int:
    """The picks of one sample."""
    K, V, energies = updates(batch, sample)
    magnitude = np.sqrt(energies)
    weight = K.dtype.type(lam)
    chosen = np.empty(min(sample.k, int(np.count_nonzero(magnitude))), dtype=np.int64)
    done, (heads, n, width) = 0, K.shape
    if len(chosen) and lazy_pays(len(chosen), n, heads * (width + V.shape[2]) // 2, SHARE, OVERHEAD):
        done = lazy_relevance(K, V, magnitude, weight, chosen, EFFORT * n * n)
    if done < len(chosen):
        matrix_relevance(gram_of_updates(K, V, magnitude > 0), magnitude, weight, chosen)
    return zeros_last(chosen, magnitude, sample.valid, sample.k)


def zeros_last(chosen: Int, size: Array, valid: Array, k: int) -> Int:
    """The chosen tokens, then the valid ones of size 0 in index order, up to k."""
    if len(chosen) == k:
        return chosen
    return np.concatenate([chosen, np.flatnonzero(valid & ~(size > 0))[: k - len(chosen)]])

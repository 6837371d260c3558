"""Greedy MAP of a determinantal point process, compiled: lazy and without a matrix where that pays."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ConditionalDPP
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Sample
from solvers.greedy_map.cpu_lazy import lazy_cholesky
from solvers.greedy_map.cpu_matrix import matrix_cholesky
from solvers.greedy_map.naive import PIVOT, fill
from solvers.lazy.choice import lazy_pays
from solvers.lazy.compiled import compile_times
from solvers.lazy.gram import cosines
from solvers.lazy.rows import directions

SHARE, OVERHEAD = 0.83, 256  # see `lazy_pays`
EFFORT = 0.03  # tiles of products, as a share of n^2, beyond which the Gram matrix is the better bargain


def greedy_map(X: Any, k: Any, *, relevance: Any = None, valid: Any = None) -> Int:
    """Keep k relevant and different tokens, the choice of `greedy_map.naive`.

    Greedily maximises log det L_S, L = diag(r) C diag(r), C_ij = cos(x_i, x_j), by one new row of the Cholesky factor
    a step :cite:p:`chen2018fast,zhang2025cdpruner`. A token counts while its conditional variance exceeds 1e-5 L_ii;
    then the highest relevance fills up. Ties go to the lowest index. Scores are float32 (float64 for float64 tokens),
    cosines are normalised after the product. Rows of norm at most 1e-12 come last, in index order.

    Parameters
    ----------
    X : (n, d) tokens, or (B, n, d), any real dtype and strides.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    relevance : (n,) or (B, n) numbers >= 0, taken as they are; None means all ones.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Raises
    ------
    ValueError, TypeError : shapes or dtypes that do not fit, a negative budget, a value of a valid token that is not
        finite, a negative relevance.

    Notes
    -----
    The same choice as `naive` where decision gaps exceed 1e-6, with one exception: when the kept tokens all but span
    the space, float32 rounding is amplified, and a token may pass the pivot rule where float64 would already fill up.
    A row of the factor is extended only when its token is about to be chosen :cite:p:`hemmi2022lazy`; when that turns
    out to be more work than the Gram matrix, that is used. Time O(n k (d + k)) at worst and memory O(n k) on the lazy
    path; O(n^2 d + n k^2) and O(n^2) with the matrix. The samples of a batch are shared out among
    ``numba.get_num_threads()`` threads. No guarantee, see `naive`.

    Examples
    --------
    >>> greedy_map([[1, 0], [1, 0], [0, 1]], 3, relevance=[0.9, 1.0, 0.5]).tolist()
    [1, 2, 0]
    """
    batch = Batch.of(k, valid, tokens={"X": X}, weights={"relevance": relevance}, look=False)
    return batch.share(lambda sample: _choose(batch, sample)[0])


def run(problem: ConditionalDPP, request: Request) -> Answer:
    """Greedy MAP on the tokens of the problem in their own precision, or on its kernel when it was given by that.

    `stats` tell the greedy picks (`rank`) from the `filled` places.
    """
    with compile_times() as seconds:
        if problem.ground.features is None:
            start = problem.kernel.diagonal().copy()
            chosen = np.empty(problem.k, dtype=np.int64)
            weight = np.where(start > 0, 1.0, 0.0)
            rank = matrix_cholesky(problem.kernel, start, weight, PIVOT * start, chosen)
            indices = _filled(
                chosen[:rank], start, np.ones(problem.n, dtype=np.bool_), problem.k, problem.ground.zero_rows
            )
        else:
            batch = Batch.of(
                problem.k,
                None,
                tokens={"X": problem.ground.features},
                weights={"relevance": problem.weights},
                look=False,
            )
            indices, rank = _choose(batch, batch.samples()[0])
    return Answer(indices, stats={"rank": rank, "filled": problem.k - rank}, compile_seconds=sum(seconds))


def _choose(batch: Batch, sample: Sample) -> tuple[Int, int]:
    """The picks of one sample, and how many of them are greedy ones."""
    X, inverse = directions(batch, sample)
    live = inverse > 0
    relevance = np.ones(len(X)) if "relevance" not in sample.arrays else sample.arrays["relevance"].astype(np.float64)
    relevance = np.where(live, relevance, 0)
    _, exponent = np.frexp(relevance.max(initial=0.0))
    scaled = np.ldexp(relevance, -exponent)  # exact, and the squares cannot overflow
    weight = np.square(scaled).astype(X.dtype)
    chosen = np.empty(min(sample.k, int(np.count_nonzero(live))), dtype=np.int64)
    rank, whole = 0, False
    if lazy_pays(len(chosen), len(X), X.shape[1], SHARE, OVERHEAD):
        rank, whole = lazy_cholesky(X, inverse, weight, chosen, EFFORT * len(X) ** 2)
    if not whole:
        one, pivot = np.ones(len(X), X.dtype), np.full(len(X), PIVOT, X.dtype)
        rank = matrix_cholesky(cosines(X, live, inverse), one, weight, pivot, chosen)
    return _filled(chosen[:rank], scaled, sample.valid, sample.k, ~live), rank


def _filled(picks: Int, weight: Float, valid: Bool, k: int, last: Bool) -> Int:
    """The picks, then the valid tokens of highest weight up to k."""
    if len(picks) == k:
        return picks
    free = valid.copy()
    free[picks] = False
    return np.concatenate([picks, np.array(fill(weight, free, k - len(picks), last), dtype=np.int64)])

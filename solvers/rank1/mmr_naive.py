"""Maximal marginal relevance on the magnitude and the duplication of rank-1 updates, in plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Row
from solvers.rank1.naive import best_token, gram_of, zero_updates


def mmr(K: Any, V: Any, k: Any, lam: float = 0.5, *, valid: Any = None) -> Int:
    """Keep k tokens whose updates dW_i = k_i^T v_i are large and unlike those already kept.

    The first token is argmax_i mag_i; then argmax_i lam mag_i - (1 - lam) max_{j in S} dup_ij with mag_i = ||dW_i||_F
    and dup_ij = <dW_i, dW_j>_F = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h), h the heads
    :cite:p:`carbonell1998mmr,iwp2026`. Ties go to the lowest index. Zero updates come last, in index order. The
    magnitude scales like ||dW||, the duplication like its square: the scale of K and V matters.

    Parameters
    ----------
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype, never normalised; arithmetic is in float64.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    lam : in [0, 1], the weight of the magnitude.
    valid : (n,) or (B, n) booleans, the real tokens; None means all.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Notes
    -----
    No guarantee: the rule maximises no function of the set. Time O(H n^2 (d + d_v) + n k), memory O(n^2), for each
    sample.

    Examples
    --------
    >>> mmr([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]], [[1.0], [0.9], [1.0]], 3).tolist()
    [0, 2, 1]
    """
    check_lam(lam)
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, heads=True)

    def pick(row: Row) -> Int:
        gram = gram_of(row)
        return marginal_relevance(gram, row.k, lam, last=zero_updates(gram))

    return batch.choose(pick)


def run(problem: ImplicitWeight, request: Request, lam: float = 0.5) -> Answer:
    """The same rule with mag_i = sqrt(G_ii) and dup_ij = G_ij, G the Gram matrix of the problem.

    Parameters
    ----------
    lam : in [0, 1], the weight of the magnitude.
    """
    check_lam(lam)
    return Answer(marginal_relevance(problem.gram, problem.k, lam, last=zero_updates(problem.gram)))


def check_lam(lam: float) -> None:
    """ValueError unless lam is in [0, 1]."""
    if not 0 <= lam <= 1:
        raise ValueError(f"lam must be in [0, 1], got {lam}")


def marginal_relevance(gram: Float, k: int, lam: float, *, last: Bool) -> Int:
    """The first k tokens for an (n, n) Gram matrix; the tokens in `last` come after all others."""
    magnitude = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    score = magnitude
    duplication = np.full(len(gram), -np.inf)
    free = np.ones(len(gram), dtype=np.bool_)
    chosen = np.empty(k, dtype=np.int64)
    for t in range(k):
        j = chosen[t] = best_token(score, free, last)
        free[j] = False
        duplication = np.maximum(duplication, gram[j])
        score = lam * magnitude - (1 - lam) * duplication
    return chosen

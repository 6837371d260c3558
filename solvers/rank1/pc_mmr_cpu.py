"""Progressive chunked MMR, the selection rule of IWP, compiled and lazy."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Bool, Int
from solvers.answer import Answer, Request
from solvers.batching import Batch, Sample
from solvers.lazy.rows import inverse_norms
from solvers.rank1 import pc_mmr_naive
from solvers.rank1.mmr_cpu import zeros_last
from solvers.rank1.pc_mmr_cpu_lazy import LOWEST, lazy_chunks
from solvers.rank1.pc_mmr_naive import check_options

MANY = 1 << 30  # more tokens than there are


def pc_mmr(
    P: Any,
    K: Any,
    V: Any,
    k: Any,
    *,
    chunk: int = 2,
    growth: int = 2,
    strength: float = 5.0,
    floor: float = 0.01,
    valid: Any = None,
) -> Int:
    """Keep k tokens of large magnitude, each chunk penalising what resembles it; the choice of `pc_mmr_naive`.

    While fewer than k tokens are kept: take the b largest P_i (b = `chunk`, then `growth` times as many in each round),
    then multiply P_i by max(floor, 1 - strength max_{j in chunk} R_ij) for the others, R_ij = mean_h (S_ij^h)^2,
    S_ij^h = cos(v_i^h, v_j^h) exp(-||k_i^h - k_j^h||^2 / (2 sqrt(d))), h the heads :cite:p:`iwp2026`. Products and key
    distances are float32 (float64 for float64 keys or values), magnitudes are kept as float64 logarithms. Ties go to
    the lowest index. Tokens without any value (||v_i|| <= 1e-12 in every head) come last, in index order; when every
    other P_i is 0 they all count as 1.

    Parameters
    ----------
    P : (n,) or (B, n) magnitudes >= 0; their scale does not matter.
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype and strides, never normalised.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    chunk, growth : whole numbers >= 1.
    strength : >= 0.
    floor : in (0, 1], the strongest penalty of one round.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Raises
    ------
    ValueError, TypeError : options, shapes or dtypes that do not fit, a negative budget, a value of a valid token that
        is not finite.

    Notes
    -----
    No guarantee. A token meets a chunk only when it is about to be chosen itself
    :cite:p:`minoux1978accelerated`. Time O(H n k (d + d_v)) at worst, memory O(n). The samples of a batch are shared
    out among ``numba.get_num_threads()`` threads.

    Examples
    --------
    >>> keys, values = [[0.0], [0.0], [9.0]], [[1.0], [1.0], [1.0]]
    >>> pc_mmr([1.0, 0.9, 0.5], keys, values, 3, chunk=1).tolist()
    [0, 2, 1]
    """
    check_options(chunk, growth, strength, floor)
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, weights={"P": P}, heads=True, look=False)
    options = min(int(chunk), MANY), min(int(growth), MANY), float(strength), float(floor)
    return batch.share(lambda sample: _choose(batch, sample, options))


def run(
    problem: ImplicitWeight,
    request: Request,
    chunk: int = 2,
    growth: int = 2,
    strength: float = 5.0,
    floor: float = 0.01,
) -> Answer:
    """The same rule with P_i = sqrt(G_ii) / max and R_ij = G_ij^2 / (G_ii G_jj), G the Gram matrix of the problem.

    A round is one product of that matrix already, so this is the naive solver.

    Parameters
    ----------
    chunk : size of the first chunk, >= 1.
    growth : factor from chunk to chunk, >= 1.
    strength : of the penalty, >= 0.
    floor : in (0, 1], the strongest penalty of one round.
    """
    return pc_mmr_naive.run(problem, request, chunk, growth, strength, floor)


def _choose(batch: Batch, sample: Sample, options: tuple[int, int, float, float]) -> Int:
    """The picks of one sample."""
    wide = any(sample.arrays[name].dtype.itemsize >= 8 for name in ("K", "V"))
    for dtype in (np.float64,) if wide else (np.float32, np.float64):
        K, V = (sample.floats(name, dtype) for name in ("K", "V"))
        K, V = (part if part.ndim == 3 else part[None] for part in (K, V))
        inverse, fine = zip(*(inverse_norms(value, sample.valid) for value in V), strict=True)
        if all(fine) and all(inverse_norms(key, sample.valid)[1] for key in K):
            break
        batch.refuse_bad_tokens()
    scales = np.stack(inverse)
    live: Bool = np.asarray((scales > 0).any(axis=0))
    with np.errstate(divide="ignore"):
        score = np.log(sample.arrays["P"].astype(np.float64), where=live, out=np.full(len(live), -np.inf))
    score[live] = np.maximum(score[live], LOWEST) if (score[live] > -np.inf).any() else 0.0
    chosen = np.empty(min(sample.k, int(live.sum())), dtype=np.int64)
    lazy_chunks(K, V, scales, score, *options, chosen)
    return zeros_last(chosen, live, sample.valid, sample.k)

"""Progressive chunked MMR, the selection rule of IWP, in plain numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.spatial.distance import cdist

from mmdp import ImplicitWeight
from mmdp.checks import Bool, Float, Int, as_heads
from mmdp.duplicates import first_copies
from mmdp.ground_set import ZERO_NORM
from solvers.answer import Answer, Request
from solvers.batching import Batch, Row
from solvers.rank1.naive import zero_updates

Redundancy = Callable[[Int], Float]  # chunk (c,) -> (n, c) redundancies in [0, 1]


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
    """Keep k tokens of large magnitude, chunk by chunk, each chunk penalising what resembles it.

    While fewer than k tokens are kept: take the b largest P_i (b = `chunk` at first, `growth` times as many in each
    round, never above what is missing), then multiply P_i by max(floor, 1 - strength max_{j in chunk} R_ij) for every
    token left :cite:p:`iwp2026`. The redundancy is R_ij = mean_h (S_ij^h)^2 with S_ij^h = cos(v_i^h, v_j^h)
    exp(-||k_i^h - k_j^h||^2 / (2 sqrt(d))), h the heads: the normalised inner product of the rank-1 updates under the
    softmax kernel. Ties go to the lowest index. Tokens without any value (||v_i|| <= 1e-12 in every head) come last,
    in index order; when every other P_i is 0 they all count as 1.

    Parameters
    ----------
    P : (n,) or (B, n) magnitudes >= 0; their scale does not matter.
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); any real dtype, never normalised; arithmetic is in float64.
    k : tokens to keep, int or (B,); a budget above the number of valid tokens keeps them all.
    chunk, growth : whole numbers >= 1.
    strength : >= 0; with 5 the floor is reached at R = 0.198.
    floor : in (0, 1], the strongest penalty of one round.
    valid : (n,) or (B, n) booleans, the real tokens; None means all.

    Returns
    -------
    int64 (k,) or (B, max k) indices in order of selection, filled up with -1. A sample is chosen from as if it were
    alone.

    Notes
    -----
    No guarantee. About log_growth(k / chunk) rounds; at most n k redundancies are computed. Time O(H n k (d + d_v)),
    memory O(n k).

    Examples
    --------
    >>> keys, values = [[0.0], [0.0], [9.0]], [[1.0], [1.0], [1.0]]
    >>> pc_mmr([1.0, 0.9, 0.5], keys, values, 3, chunk=1).tolist()
    [0, 2, 1]
    """
    check_options(chunk, growth, strength, floor)
    batch = Batch.of(k, valid, tokens={"K": K, "V": V}, weights={"P": P}, heads=True)

    def pick(row: Row) -> Int:
        keys, values = as_heads(row.arrays["K"], "K"), as_heads(row.arrays["V"], "V")
        last = (np.linalg.norm(values, axis=2) <= ZERO_NORM).all(axis=0)
        redundancy = softmax_redundancy(keys, values)
        return progressive_chunks(row.arrays["P"], redundancy, row.k, chunk, growth, strength, floor, last=last)[0]

    return batch.choose(pick)


def run(
    problem: ImplicitWeight,
    request: Request,
    chunk: int = 2,
    growth: int = 2,
    strength: float = 5.0,
    floor: float = 0.01,
) -> Answer:
    """The same rule with P_i = sqrt(G_ii) / max and R_ij = G_ij^2 / (G_ii G_jj), G the Gram matrix of the problem.

    Parameters
    ----------
    chunk : size of the first chunk, >= 1.
    growth : factor from chunk to chunk, >= 1.
    strength : of the penalty, >= 0.
    floor : in (0, 1], the strongest penalty of one round.
    """
    check_options(chunk, growth, strength, floor)
    gram, last = problem.gram, zero_updates(problem.gram)
    sizes = np.sqrt(np.maximum(gram.diagonal(), 0.0))
    divisor = np.where(last, 1.0, sizes)

    def redundancy(members: Int) -> Float:
        cosine: Float = gram[:, members] / divisor[:, None] / divisor[members]
        return np.minimum(cosine**2, 1.0)

    magnitude = sizes / max(float(sizes.max(initial=0.0)), np.finfo(float).tiny)
    indices, rounds = progressive_chunks(magnitude, redundancy, problem.k, chunk, growth, strength, floor, last=last)
    return Answer(indices, stats={"rounds": rounds})


def check_options(chunk: int, growth: int, strength: float, floor: float) -> None:
    """ValueError or TypeError for options out of range."""
    for name, number in (("chunk", chunk), ("growth", growth)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer):
            raise TypeError(f"{name} must be a whole number, got {number!r}")
        if number < 1:
            raise ValueError(f"{name} must be >= 1, got {number}")
    if not 0 <= strength < np.inf:
        raise ValueError(f"strength must be finite and >= 0, got {strength}")
    if not 0 < floor <= 1:
        raise ValueError(f"floor must be in (0, 1], got {floor}")


def softmax_redundancy(keys: Float, values: Float) -> Redundancy:
    """R_ij of (H, n, d) keys and (H, n, d_v) values, for the columns asked for."""
    norms = np.linalg.norm(values, axis=2, keepdims=True)
    units = np.where(norms > ZERO_NORM, values / np.maximum(norms, ZERO_NORM), 0.0)
    width = 2 * np.sqrt(keys.shape[2])
    first = first_copies(keys.swapaxes(0, 1), values.swapaxes(0, 1))

    def redundancy(members: Int) -> Float:
        total = np.zeros((keys.shape[1], len(members)))
        for key, unit in zip(keys, units, strict=True):
            similarity = (unit @ unit[members].T) * np.exp(-cdist(key, key[members], "sqeuclidean") / width)
            total += similarity**2
        return np.minimum(total / len(keys), 1.0)[first]

    return redundancy


def progressive_chunks(
    magnitude: Float,
    redundancy: Redundancy,
    k: int,
    chunk: int,
    growth: int,
    strength: float,
    floor: float,
    *,
    last: Bool,
) -> tuple[Int, int]:
    """The first k tokens and the number of rounds; the tokens in `last` come after all others."""
    with np.errstate(divide="ignore"):
        score = np.log(magnitude.astype(np.float64))  # products of many penalties would underflow
    if not (score[~last] > -np.inf).any():
        score = np.zeros(len(score))
    free = np.ones(len(score), dtype=np.bool_)
    chosen: list[int] = []
    chunk, rounds = int(chunk), 0
    while len(chosen) < k:
        order = np.lexsort((np.where(last, 0.0, -score), last, ~free))  # stable: ties to the lowest index
        members = order[: min(chunk, k - len(chosen))]
        chosen.extend(members.tolist())
        free[members] = False
        worst = redundancy(members).max(axis=1)
        score = score + np.log(np.maximum(floor, 1 - strength * worst))
        chunk *= int(growth)
        rounds += 1
    return np.array(chosen, dtype=np.int64), rounds

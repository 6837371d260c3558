"""Progressive chunked MMR on tensors, in plain torch: a handful of rounds, each one product, on any device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mmdp import ImplicitWeight
from mmdp.ground_set import ZERO_NORM
from solvers.answer import Answer, Request
from solvers.rank1.pc_mmr_naive import check_options
from solvers.tensor_gram import first_copies, products, rank1_gram, score_dtype
from solvers.tensor_operators import nothing_chosen, operator
from solvers.tensor_problems import keys_values_on, on_host
from solvers.tensors import frame, refuse_bad_budgets, refuse_bad_values, rows_to_keep, with_heads

LOWEST = -1e30  # stands for log 0, above the tokens without any value


def pc_mmr(
    P: Tensor,
    K: Tensor,
    V: Tensor,
    k: Any,
    *,
    chunk: int = 2,
    growth: int = 2,
    strength: float = 5.0,
    floor: float = 0.01,
    valid: Tensor | None = None,
    width: int | None = None,
    check: bool | None = None,
) -> Tensor:
    """Keep k tokens of large magnitude, each chunk penalising what resembles it; the choice of `pc_mmr_naive`.

    While fewer than k tokens are kept: take the b largest P_i (b = `chunk`, then `growth` times as many in each round),
    then multiply P_i by max(floor, 1 - strength max_{j in chunk} R_ij) for the others, R_ij = mean_h (S_ij^h)^2,
    S_ij^h = cos(v_i^h, v_j^h) exp(-||k_i^h - k_j^h||^2 / (2 sqrt(d))), h the heads :cite:p:`iwp2026`. Redundancies are
    float32 (float64 for float64 keys), key distances are summed from differences, magnitudes are kept as logarithms in
    float64 where the device has it. Ties go to the lowest index. Tokens without any value (||v_i|| <= 1e-12 in every
    head) come last, in index order; when every other P_i is 0 they all count as 1.

    Parameters
    ----------
    P : (n,) or (B, n) floats >= 0; their scale does not matter.
    K, V, k, valid, width, check : as in `rank1.gpu`. Unchecked, a token with a key or value that is not finite counts
        as one without any value, a magnitude below 0 or NaN as 0.
    chunk, growth : whole numbers >= 1.
    strength : >= 0.
    floor : in (0, 1], the strongest penalty of one round.

    Returns
    -------
    int64 (k,) or (B, width) indices on the device of `K` in order of selection, filled up with -1.

    Raises
    ------
    ValueError, TypeError : options, shapes, devices or dtypes that do not fit, and what `check` finds.

    Notes
    -----
    Never waits for the device but where said of `width` and `check`; one operator (``torch.ops.mmdp.pc_mmr``) to
    ``torch.compile``. No guarantee. About log_growth(k / chunk) rounds. Time O(H n k (d + d_v)) and one checksum of K
    and V, memory O(H n k), for each sample.

    Examples
    --------
    >>> keys, values = torch.tensor([[0.0], [0.0], [9.0]]), torch.ones(3, 1)
    >>> pc_mmr(torch.tensor([1.0, 0.9, 0.5]), keys, values, 3, chunk=1).tolist()
    [0, 2, 1]
    """
    check_options(chunk, growth, strength, floor)
    asked = frame(k, valid, width, check, tokens={"K": K, "V": V}, weights={"P": P}, heads=True)
    keys, values = with_heads(asked.tokens)
    options = (int(chunk), int(growth), float(strength), float(floor))
    magnitude = asked.weights["P"]
    return asked.finish(
        OPERATOR(magnitude, keys, values, *options, asked.valid, asked.budgets, asked.width, asked.check)
    )


def select(
    P: Tensor,
    K: Tensor,
    V: Tensor,
    chunk: int,
    growth: int,
    strength: float,
    floor: float,
    valid: Tensor | None,
    budgets: Tensor | None,
    width: int,
    check: bool,
) -> Tensor:
    """What the operator does: `pc_mmr`, on a batch with heads."""
    if check:
        refuse_bad_values("P", P, valid, weight=True)
        refuse_bad_values("K", K, valid)
        refuse_bad_values("V", V, valid)
        refuse_bad_budgets(budgets, width)
    if not K.shape[0] * K.shape[2] * width:
        return nothing_chosen(K, width)
    keys = K.to(score_dtype(K))
    norms = torch.linalg.vector_norm(V.to(keys.dtype), dim=3)
    live = (norms > ZERO_NORM).any(1) & (norms < torch.inf).all(1) & torch.isfinite(keys).all(3).all(1)
    if valid is not None:
        live = live & valid
    inverse = torch.where(live[:, None] & (norms > ZERO_NORM), 1 / norms, 0.0)
    first = first_copies(K, V, valid=valid)

    def worst(members: Tensor) -> Tensor:
        rows = members[:, None, :, None].expand(-1, K.shape[1], -1, -1)
        near = torch.gather(keys, 2, rows.expand(-1, -1, -1, K.shape[3]))
        distance = torch.cdist(keys, near, compute_mode="donot_use_mm_for_euclid_dist")
        cosine = products(V, torch.gather(V, 2, rows.expand(-1, -1, -1, V.shape[3])))
        cosine = cosine * (inverse[..., None] * inverse.gather(2, rows[..., 0])[:, :, None])
        similarity = cosine * torch.exp(distance.square() / (-2 * K.shape[3] ** 0.5))
        redundancy = similarity.square().mean(1).clamp(max=1.0)
        pairs = live[:, :, None] & live.gather(1, members)[:, None]
        return torch.where(pairs, redundancy, 0.0).amax(2).gather(1, first)

    return progressive_chunks(P, worst, live, valid, budgets, width, chunk, growth, strength, floor)


OPERATOR = operator(
    "pc_mmr(Tensor P, Tensor K, Tensor V, int chunk, int growth, float strength, float floor, "
    "Tensor? valid, Tensor? budgets, int width, bool check) -> Tensor",
    select,
)


def progressive_chunks(
    magnitude: Tensor,
    worst: Callable[[Tensor], Tensor],
    live: Tensor,
    valid: Tensor | None,
    budgets: Tensor | None,
    width: int,
    chunk: int,
    growth: int,
    strength: float,
    floor: float,
) -> Tensor:
    """(B, width) picks for (B, n) magnitudes; `worst` gives (B, n) largest redundancies to the (B, c) members."""
    samples, n = live.shape
    exact = torch.float32 if live.device.type == "mps" else torch.float64
    score = magnitude.to(exact).log()  # products of many penalties would underflow
    score = torch.where(live & (score > -torch.inf), score, LOWEST)
    score = torch.where((score > LOWEST).any(1, keepdim=True), score, 0.0)
    score = torch.where(live, score, 2 * LOWEST)
    if valid is not None:
        score = torch.where(valid, score, -torch.inf)
    chosen = torch.full((samples, width), -1, dtype=torch.int64, device=live.device)
    keep = rows_to_keep(width, budgets, valid, live)
    done, steps = 0, min(width, n)
    while done < steps:
        size = min(chunk, steps - done)
        members = torch.sort(-score, dim=1, stable=True).indices[:, :size]
        place = torch.arange(done, done + size, device=live.device)
        chosen[:, done : done + size] = torch.where(place < keep[:, None], members, -1)
        done += size
        if done < steps:
            penalty = (1 - strength * worst(members)).clamp(min=floor)
            score = (score + penalty.to(exact).log()).scatter(1, members, -torch.inf)
        chunk *= growth
    return chosen


def run(
    problem: ImplicitWeight,
    request: Request,
    chunk: int = 2,
    growth: int = 2,
    strength: float = 5.0,
    floor: float = 0.01,
    device: str | None = None,
) -> Answer:
    """The same rule with P_i = sqrt(G_ii) and R_ij = G_ij^2 / (G_ii G_jj), G_ij = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h).

    Parameters
    ----------
    chunk : size of the first chunk, >= 1.
    growth : factor from chunk to chunk, >= 1.
    strength : of the penalty, >= 0.
    floor : in (0, 1], the strongest penalty of one round.
    device : where to compute, "cuda", "cuda:1", "mps", "cpu", ...; None means an accelerator if there is one.
    """
    check_options(chunk, growth, strength, floor)
    gram, live = rank1_gram(*keys_values_on(problem, device), None)
    if not problem.k:
        return Answer((), stats={"device": str(gram.device)})
    size = torch.where(live, gram.diagonal(dim1=1, dim2=2), 1.0).sqrt()

    def worst(members: Tensor) -> Tensor:
        rows = gram.gather(1, members[:, :, None].expand(-1, -1, problem.n))
        cosine = rows / size[:, None] / size.gather(1, members)[:, :, None]
        return cosine.square().clamp(max=1.0).amax(1)

    magnitude = torch.where(live, size, 0.0)
    options = (int(chunk), int(growth), float(strength), float(floor))
    return on_host(progressive_chunks(magnitude, worst, live, None, None, problem.k, *options)[0])

"""Greedy loops on the Gram matrix of rank-1 updates in Triton: the whole loop in one launch, one program a sample."""

from typing import Any

import triton
import triton.language as tl
from torch import Tensor

from solvers import triton_support
from solvers.triton_gram import rank1_gram
from solvers.triton_pick import budget_of, pad, pick, real_tokens


def energy_greedy(K: Tensor, V: Tensor, valid: Tensor | None, budgets: Tensor | None, width: int) -> Tensor:
    """(B, width) picks by true gain for (B, H, n, .) keys and values. No wait for the device."""
    samples, _, n, _ = K.shape
    gram = rank1_gram(K, V)
    gain = triton_support.scratch((samples, n), K)
    valid = None if valid is None else valid.contiguous()
    block = min(triton_support.block_of(n), 512)
    with triton_support.on_device_of(K):
        rows, flags = triton.cdiv(n, 8), {"HAS_VALID": valid is not None, **triton_support.options(4)}
        _first_gain[(rows, samples)](gram, valid, gain, n, ROWS=8, BLOCK=block, **flags)
        return _choose(_gain_loop, gram, gain, valid, budgets, width)


def marginal_relevance(
    K: Tensor, V: Tensor, valid: Tensor | None, budgets: Tensor | None, width: int, lam: float
) -> Tensor:
    """(B, width) picks by MMR for (B, H, n, .) keys and values. No wait for the device."""
    gram = rank1_gram(K, V)
    with triton_support.on_device_of(K):
        return _choose(_mmr_loop, gram, lam, None if valid is None else valid.contiguous(), budgets, width)


def _choose(
    kernel: Any, gram: Tensor, given: Tensor | float, valid: Tensor | None, budgets: Tensor | None, width: int
) -> Tensor:
    samples, n, _ = gram.shape
    chosen = triton_support.answer(samples, width, gram)
    block = triton_support.block_of(n)
    kernel[(samples,)](
        gram,
        given,
        valid,
        budgets,
        chosen,
        n,
        width,
        BLOCK=block,
        HAS_VALID=valid is not None,
        HAS_BUDGETS=budgets is not None,
        **triton_support.options(triton_support.warps_of(block)),
    )
    return chosen


@triton.jit
def _squares(gram, i, n, real):
    """G_ii; 0 for padding and for tokens that count as zero updates (G_ii = 0 or not finite)."""
    square = tl.load(gram + i * (n + 1), mask=real, other=0.0)
    return tl.where((square > 0) & (square < float("inf")), square, 0.0)


@triton.jit
def _first_gain(gram, valid, gain, n, HAS_VALID: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """2 sum_j G_ij - G_ii over the live tokens."""
    sample = tl.program_id(1).to(tl.int64)
    gram += sample * n * n
    if HAS_VALID:
        valid += sample * n
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    square = _squares(gram, i, n, real_tokens(valid, i, n, HAS_VALID))
    total = tl.zeros([ROWS], tl.float32)
    for c in range(0, n, BLOCK):
        j = c + tl.arange(0, BLOCK)
        others = _squares(gram, j, n, real_tokens(valid, j, n, HAS_VALID))
        pairs = (square > 0)[:, None] & (others > 0)[None, :]
        total += tl.sum(tl.load(gram + i[:, None] * n + j[None, :], mask=pairs, other=0.0), axis=1)
    tl.store(gain + sample * n + i, 2 * total - square, mask=i < n)


@triton.jit(do_not_specialize=["width"])
def _gain_loop(
    gram,
    gain,
    valid,
    budgets,
    chosen,
    n,
    width,
    BLOCK: tl.constexpr,
    HAS_VALID: tl.constexpr,
    HAS_BUDGETS: tl.constexpr,
):
    """The gains stay in registers."""
    sample = tl.program_id(0).to(tl.int64)
    gram += sample * n * n
    chosen += sample * width
    if HAS_VALID:
        valid += sample * n
    i = tl.arange(0, BLOCK)
    real = real_tokens(valid, i, n, HAS_VALID)
    live = _squares(gram, i, n, real) > 0
    group = tl.where(live, 2, tl.where(real, 1, 0))  # 0: padding or chosen; 1: zero updates, so chosen last
    score = tl.load(gain + sample * n + i, mask=live, other=0.0)
    budget = budget_of(budgets, sample, width, real, HAS_BUDGETS)
    for t in range(budget):
        j, kind, _score = pick(score, group, i)
        tl.store(chosen + t, j.to(tl.int64))
        group = tl.where(i == j, 0, group)
        if kind == 2:
            score -= 2 * tl.load(gram + j * n + i, mask=live, other=0.0)
    pad(chosen, i, budget, width, BLOCK)


@triton.jit(do_not_specialize=["width", "lam"])
def _mmr_loop(
    gram,
    lam,
    valid,
    budgets,
    chosen,
    n,
    width,
    BLOCK: tl.constexpr,
    HAS_VALID: tl.constexpr,
    HAS_BUDGETS: tl.constexpr,
):
    """Magnitude and largest duplication stay in registers."""
    sample = tl.program_id(0).to(tl.int64)
    gram += sample * n * n
    chosen += sample * width
    if HAS_VALID:
        valid += sample * n
    i = tl.arange(0, BLOCK)
    real = real_tokens(valid, i, n, HAS_VALID)
    square = _squares(gram, i, n, real)
    live = square > 0
    group = tl.where(live, 2, tl.where(real, 1, 0))
    magnitude = tl.sqrt_rn(square)
    duplication = tl.full([BLOCK], -float("inf"), tl.float32)
    score = magnitude
    budget = budget_of(budgets, sample, width, real, HAS_BUDGETS)
    for t in range(budget):
        j, kind, _score = pick(score, group, i)
        tl.store(chosen + t, j.to(tl.int64))
        group = tl.where(i == j, 0, group)
        if kind == 2:
            duplication = tl.maximum(duplication, tl.load(gram + j * n + i, mask=live, other=0.0))
            score = tl.where(live, lam * magnitude - (1 - lam) * duplication, 0.0)
    pad(chosen, i, budget, width, BLOCK)

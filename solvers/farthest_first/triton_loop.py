"""Farthest-first traversal in Triton: isolation of every token in one launch, the whole loop in another."""

import triton
import triton.language as tl
from torch import Tensor

from solvers import triton_support
from solvers.triton_gram import gram as gram_of
from solvers.triton_pick import SNAP, budget_of, inverse_norm, inverse_norms, pad, pick, real_tokens


def traverse(X: Tensor, valid: Tensor | None, budgets: Tensor | None, start: Tensor | None, width: int) -> Tensor:
    """(B, width) picks for (B, n, d) features, by the same rule as the plain torch loop. No wait for the device."""
    samples, n, _ = X.shape
    gram = gram_of(X)
    isolation = triton_support.scratch((samples, n), X)
    chosen = triton_support.answer(samples, width, X)
    valid = None if valid is None else valid.contiguous()
    flags = {"HAS_VALID": valid is not None}
    block = triton_support.block_of(n)
    with triton_support.on_device_of(X):
        if start is None:
            rows = triton.cdiv(n, 8)
            columns = min(block, 512)
            _isolation[(rows, samples)](
                gram, valid, isolation, n, ROWS=8, BLOCK=columns, **flags, **triton_support.options(4)
            )
        _loop[(samples,)](
            gram,
            isolation,
            valid,
            budgets,
            start,
            chosen,
            n,
            width,
            BLOCK=block,
            HAS_BUDGETS=budgets is not None,
            HAS_START=start is not None,
            **flags,
            **triton_support.options(triton_support.warps_of(block)),
        )
    return chosen


@triton.jit
def _isolation(gram, valid, isolation, n, HAS_VALID: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Distance of every token from its nearest other live token; inf where there is none."""
    sample = tl.program_id(1).to(tl.int64)
    gram += sample * n * n
    if HAS_VALID:
        valid += sample * n
    i = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inverse_i = inverse_norms(gram, i, n, real_tokens(valid, i, n, HAS_VALID))
    nearest = tl.full([ROWS], float("inf"), tl.float32)
    for c in range(0, n, BLOCK):
        j = c + tl.arange(0, BLOCK)
        inverse_j = inverse_norms(gram, j, n, real_tokens(valid, j, n, HAS_VALID))
        pairs = (inverse_i > 0)[:, None] & (inverse_j > 0)[None, :] & (i[:, None] != j[None, :])
        product = tl.load(gram + i[:, None] * n + j[None, :], mask=pairs, other=0.0)
        distance = 1.0 - product * (inverse_i[:, None] * inverse_j[None, :])  # the same for (i, j) and (j, i)
        distance = tl.where(distance < SNAP, 0.0, distance)
        nearest = tl.minimum(nearest, tl.min(tl.where(pairs, distance, float("inf")), axis=1))
    tl.store(isolation + sample * n + i, nearest, mask=i < n)


@triton.jit(do_not_specialize=["width"])
def _loop(
    gram,
    isolation,
    valid,
    budgets,
    start,
    chosen,
    n,
    width,
    BLOCK: tl.constexpr,
    HAS_VALID: tl.constexpr,
    HAS_BUDGETS: tl.constexpr,
    HAS_START: tl.constexpr,
):
    """One program per image; the distance of every token to the chosen ones stays in registers."""
    sample = tl.program_id(0).to(tl.int64)
    gram += sample * n * n
    chosen += sample * width
    if HAS_VALID:
        valid += sample * n
    i = tl.arange(0, BLOCK)
    real = real_tokens(valid, i, n, HAS_VALID)
    inverse = inverse_norms(gram, i, n, real)
    live = inverse > 0
    group = tl.where(live, 2, tl.where(real, 1, 0))  # 0: padding or chosen; 1: no direction, so chosen last
    if HAS_START:
        score = tl.zeros([BLOCK], tl.float32)
        group += tl.where(real & (i == tl.load(start + sample)), 2, 0)
    else:
        score = tl.load(isolation + sample * n + i, mask=live, other=0.0)
    nearest = tl.full([BLOCK], float("inf"), tl.float32)
    budget = budget_of(budgets, sample, width, real, HAS_BUDGETS)
    for t in range(budget):
        j, _group, _score = pick(score, group, i)
        tl.store(chosen + t, j.to(tl.int64))
        row = tl.load(gram + j * n + i, mask=live, other=0.0)
        scale = inverse * inverse_norm(gram, j, n)
        distance = 1.0 - row * scale
        distance = tl.where((distance < SNAP) | (scale == 0), 0.0, distance)
        nearest = tl.minimum(nearest, distance)
        score = tl.where(live, nearest, 0.0)
        group = tl.where(i == j, 0, group)
    pad(chosen, i, budget, width, BLOCK)

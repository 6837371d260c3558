"""Greedy MAP in Triton: the whole loop in one launch, the rows of the Cholesky factor in a scratch buffer."""

import triton
import triton.language as tl
from torch import Tensor

from solvers import triton_support
from solvers.greedy_map import naive
from solvers.triton_gram import gram as gram_of
from solvers.triton_pick import budget_of, inverse_norm, inverse_norms, pad, pick, real_tokens

PIVOT = tl.constexpr(naive.PIVOT)


def cholesky_greedy(
    X: Tensor, relevance: Tensor | None, valid: Tensor | None, budgets: Tensor | None, width: int
) -> Tensor:
    """(B, width) picks for (B, n, d) features, by the same rule as the plain torch loop. No wait for the device."""
    samples, n, _ = X.shape
    gram = gram_of(X)
    steps = min(width, n)
    factor = triton_support.scratch((samples, steps, n), X)
    chosen = triton_support.answer(samples, width, X)
    block = triton_support.block_of(n)
    with triton_support.on_device_of(X):
        _loop[(samples,)](
            gram,
            None if relevance is None else relevance.contiguous(),
            None if valid is None else valid.contiguous(),
            budgets,
            factor,
            chosen,
            n,
            width,
            steps,
            BLOCK=block,
            ROWS=max(2, min(8, 16384 // block)),
            HAS_RELEVANCE=relevance is not None,
            HAS_VALID=valid is not None,
            HAS_BUDGETS=budgets is not None,
            **triton_support.options(triton_support.warps_of(block)),
        )
    return chosen


@triton.jit(do_not_specialize=["width", "steps"])
def _loop(
    gram,
    relevance,
    valid,
    budgets,
    factor,
    chosen,
    n,
    width,
    steps,
    BLOCK: tl.constexpr,
    ROWS: tl.constexpr,
    HAS_RELEVANCE: tl.constexpr,
    HAS_VALID: tl.constexpr,
    HAS_BUDGETS: tl.constexpr,
):
    """One program per image; what is left of each unit vector stays in registers, step t writes row t of the factor."""
    sample = tl.program_id(0).to(tl.int64)
    gram += sample * n * n
    factor += sample * steps * n
    chosen += sample * width
    if HAS_VALID:
        valid += sample * n
    if HAS_RELEVANCE:
        relevance += sample * n
    i = tl.arange(0, BLOCK)
    real = real_tokens(valid, i, n, HAS_VALID)
    inverse = inverse_norms(gram, i, n, real)
    live = inverse > 0
    weight = tl.where(live, 1.0, 0.0)
    if HAS_RELEVANCE:
        weight = tl.load(relevance + i, mask=live, other=0.0).to(tl.float32)
        live = live & (weight >= 0) & (weight < float("inf"))
        weight = tl.where(live, weight, 0.0)
    square = weight * weight
    rest = tl.full([BLOCK], 1.0, tl.float32)
    free = real
    budget = budget_of(budgets, sample, width, real, HAS_BUDGETS)
    for t in range(budget):
        candidate = (rest > PIVOT) & (square > 0)
        # 3: greedy; 2: fills up by weight once no greedy candidate is left; 1: no direction; 0: padding or chosen
        group = tl.where(free, tl.where(candidate, 3, tl.where(live, 2, 1)), 0)
        j, kind, pivot = pick(tl.where(candidate, square * rest, square), group, i)
        tl.store(chosen + t, j.to(tl.int64))
        free = free & (i != j)
        if kind == 3:
            if HAS_RELEVANCE:  # the rest of token j, back from its score
                weight_j = tl.load(relevance + j).to(tl.float32)
                pivot = pivot / (weight_j * weight_j)
            row = tl.load(gram + j * n + i, mask=live, other=0.0) * (inverse * inverse_norm(gram, j, n))
            for u in range(0, t, ROWS):
                for r in tl.static_range(ROWS):  # so many loads on their way at once
                    above = factor + (u + r) * n
                    entries = tl.load(above + i, mask=(i < n) & (u + r < t), other=0.0)
                    row -= entries * tl.load(above + j, mask=u + r < t, other=0.0)
            row = row / tl.sqrt_rn(pivot)
            tl.store(factor + t * n + i, row, mask=i < n)
            rest -= row * row
            tl.debug_barrier()  # the next step reads this row, entries of other threads among them
    pad(chosen, i, budget, width, BLOCK)

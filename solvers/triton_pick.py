"""What the Triton loops share: the choice of a token, budgets, padding and inverse norms."""

import triton
import triton.language as tl

from mmdp import ground_set

SNAP = tl.constexpr(ground_set.SNAP)
ZERO_SQUARE = tl.constexpr(ground_set.ZERO_NORM**2)


@triton.jit
def pick(score, group, i):
    """(index, group, score) of the token of the highest group, then the highest score, then the lowest index.

    One reduction over 64-bit keys: the group, the bits of the score in an order-preserving form, the reversed index.
    Scores are float32 and not NaN, groups 0 to 7, indices below 65536.
    """
    score = tl.where(score == 0, 0.0, score)  # -0 ties with 0
    bits = score.to(tl.int32, bitcast=True)
    ordered = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(tl.int64) + 0x80000000
    top = tl.max((group.to(tl.int64) << 48) | (ordered << 16) | (0xFFFF - i).to(tl.int64), axis=0)
    best = (((top >> 16) & 0xFFFFFFFF) - 0x80000000).to(tl.int32)
    best = tl.where(best < 0, best ^ 0x7FFFFFFF, best)
    return (0xFFFF - (top & 0xFFFF)).to(tl.int32), (top >> 48).to(tl.int32), best.to(tl.float32, bitcast=True)


@triton.jit
def real_tokens(valid, i, n, HAS_VALID: tl.constexpr):
    """Which of the tokens i are no padding; `valid` points to the row of the sample."""
    real = i < n
    if HAS_VALID:
        real = real & (tl.load(valid + i, mask=real, other=0) != 0)
    return real


@triton.jit
def budget_of(budgets, sample, width, real, HAS_BUDGETS: tl.constexpr):
    """How many tokens the sample keeps."""
    budget = tl.sum(real.to(tl.int32), axis=0)
    if HAS_BUDGETS:  # cut in 64 bits: 32 could wrap to anything
        budget = tl.minimum(budget, tl.maximum(tl.load(budgets + sample), 0)).to(tl.int32)
    return tl.minimum(budget, width)


@triton.jit
def pad(chosen, i, budget, width, BLOCK: tl.constexpr):
    """Write -1 behind the tokens to come."""
    for t in range(0, width, BLOCK):
        tl.store(chosen + t + i, tl.full([BLOCK], -1, tl.int64), mask=(t + i >= budget) & (t + i < width))


@triton.jit
def inverse_norms(gram, i, n, real):
    """1 / ||x_i|| from the diagonal of the (n, n) Gram matrix; 0 for padding and tokens without a (finite) norm."""
    square = tl.load(gram + i * (n + 1), mask=real, other=0.0)
    live = (square > ZERO_SQUARE) & (square < float("inf"))
    return tl.where(live, 1.0 / tl.sqrt_rn(tl.where(live, square, 1.0)), 0.0)


@triton.jit
def inverse_norm(gram, j, n):
    """The same for one token that is no padding."""
    square = tl.load(gram + j * (n + 1))
    live = (square > ZERO_SQUARE) & (square < float("inf"))
    return tl.where(live, 1.0 / tl.sqrt_rn(tl.where(live, square, 1.0)), 0.0)

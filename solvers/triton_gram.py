"""Gram matrices in Triton: raw features in, tensor cores with float32 accumulation, float32 out, one launch a batch.

Every entry is the same sequence of operations wherever it stands, so bitwise equal rows have bitwise equal products; a
library product promises no such thing.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from solvers import triton_support


def gram(X: Tensor) -> Tensor:
    """(B, n, n) inner products of the rows of (B, n, d) features, any strides."""
    samples, n, d = X.shape
    out = triton_support.scratch((samples, n, n), X)
    tile, depth, warps = _tiling(n, X.dtype)
    grid = (triton.cdiv(n, tile), triton.cdiv(n, tile), samples)
    with triton_support.on_device_of(X):
        _gram[grid](X, out, n, d, *X.stride(), TILE=tile, DEPTH=depth, **triton_support.options(warps))
    return out


def rank1_gram(K: Tensor, V: Tensor) -> Tensor:
    """(B, n, n) sums over h of (k_i^h . k_j^h)(v_i^h . v_j^h) for (B, H, n, d) keys and (B, H, n, d_v) values."""
    samples, heads, n, d = K.shape
    out = triton_support.scratch((samples, n, n), K)
    tile, depth, warps = (32, 16, 4) if K.dtype == torch.float32 else _tiling(min(n, 1024), K.dtype)
    grid = (triton.cdiv(n, tile), triton.cdiv(n, tile), samples)
    options = {"TILE": tile, "DEPTH": depth, **triton_support.options(warps)}
    with triton_support.on_device_of(K):
        _rank1_gram[grid](K, V, out, n, heads, d, V.shape[3], *K.stride(), *V.stride(), **options)
    return out


def _tiling(n: int, dtype: torch.dtype) -> tuple[int, int, int]:
    """(TILE, DEPTH, warps): small tiles keep all multiprocessors busy when there are few tokens.

    Larger or deeper ones spill registers: float32 products run outside the tensor cores, operands in registers.
    """
    if n <= 128:
        return 32, 32, 4
    if dtype == torch.float32:
        return 64, 32, 8
    return (64, 64, 8) if n <= 1024 else (128, 64, 8)


@triton.jit
def _tile_product(x, i, j, n, d, x_n, x_d, TILE: tl.constexpr, DEPTH: tl.constexpr):
    product = tl.zeros((TILE, TILE), dtype=tl.float32)
    for c in range(0, d, DEPTH):
        inside = c + tl.arange(0, DEPTH)
        rows = x + i[:, None].to(tl.int64) * x_n + inside[None, :] * x_d
        columns = x + j[None, :].to(tl.int64) * x_n + inside[:, None] * x_d
        left = tl.load(rows, mask=(i < n)[:, None] & (inside < d)[None, :], other=0.0)
        right = tl.load(columns, mask=(j < n)[None, :] & (inside < d)[:, None], other=0.0)
        product = tl.dot(left, right, product, input_precision="ieee")  # never TF32
    return product


@triton.jit
def _store_both(out, product, row, column, i, j, n):
    """The tile and, off the diagonal, its mirror image."""
    inside = (i < n)[:, None] & (j < n)[None, :]
    tl.store(out + i[:, None] * n + j[None, :], product, mask=inside)
    if row < column:
        tl.store(out + j[None, :] * n + i[:, None], product, mask=inside)


@triton.jit
def _gram(x, out, n, d, x_b, x_n, x_d, TILE: tl.constexpr, DEPTH: tl.constexpr):
    row, column = tl.program_id(0), tl.program_id(1)
    if row > column:  # the matrix is symmetric
        return
    sample = tl.program_id(2).to(tl.int64)
    i = row * TILE + tl.arange(0, TILE)
    j = column * TILE + tl.arange(0, TILE)
    product = _tile_product(x + sample * x_b, i, j, n, d, x_n, x_d, TILE, DEPTH)
    _store_both(out + sample * n * n, product, row, column, i, j, n)


@triton.jit
def _rank1_gram(
    keys,
    values,
    out,
    n,
    heads,
    d,
    d_v,
    k_b,
    k_h,
    k_n,
    k_d,
    v_b,
    v_h,
    v_n,
    v_d,
    TILE: tl.constexpr,
    DEPTH: tl.constexpr,
):
    row, column = tl.program_id(0), tl.program_id(1)
    if row > column:
        return
    sample = tl.program_id(2).to(tl.int64)
    i = row * TILE + tl.arange(0, TILE)
    j = column * TILE + tl.arange(0, TILE)
    total = tl.zeros((TILE, TILE), dtype=tl.float32)
    for h in range(heads):
        key = keys + sample * k_b + h * k_h
        value = values + sample * v_b + h * v_h
        product = _tile_product(key, i, j, n, d, k_n, k_d, TILE, DEPTH)
        total += product * _tile_product(value, i, j, n, d_v, v_n, v_d, TILE, DEPTH)
    _store_both(out + sample * n * n, total, row, column, i, j, n)

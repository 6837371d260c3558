"""Gram matrices on tensors, exact to the rounding of float32 (float64 for float64 input), whatever the device."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdp.ground_set import SNAP, ZERO_NORM

MIX = (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9)  # odd, without pattern
AT_ONCE = 1 << 24  # words of a checksum widened at once


def score_dtype(x: Tensor) -> torch.dtype:
    """float64 for float64 features, float32 for all others."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def products(a: Tensor, b: Tensor) -> Tensor:
    """(..., m, n) inner products of the rows of (..., m, d) and (..., n, d).

    16-bit values are exact in every mode of a matrix unit. Where the user has allowed float32 products to be rounded
    (TF32, bfloat16), float32 values go through float64, and ``torch.autocast`` does not reach in here: a rounded
    similarity selects other tokens.
    """
    if torch.is_autocast_enabled(a.device.type):
        with torch.autocast(a.device.type, enabled=False):
            return products(a, b)
    dtype = score_dtype(a)
    if a.dtype == torch.float32 and _may_round(a.device):
        return (a.double() @ b.double().mT).to(dtype)
    return a.to(dtype) @ b.to(dtype).mT


def _may_round(device: torch.device) -> bool:
    backend = {"cuda": torch.backends.cuda, "cpu": torch.backends.mkldnn}.get(device.type)
    if backend is None:
        return False
    try:
        precision: str = backend.matmul.fp32_precision
    except AttributeError:  # torch < 2.9
        return torch.get_float32_matmul_precision() != "highest"
    return precision not in ("none", "ieee")


def symmetric(matrix: Tensor) -> Tensor:
    """Two tokens that are each other's nearest tie exactly, which a library product would not see to."""
    return (matrix + matrix.mT) / 2


def first_copies(*tokens: Tensor, valid: Tensor | None = None) -> Tensor:
    """(B, n) lowest index of a valid token with bitwise the same rows in all tensors; i itself when it comes first.

    The tensors are (B, n, d) or (B, H, n, d). Rows are compared by 64-bit checksums of their bits, which unlike a
    matrix product do not depend on where a row stands.
    """
    marks = sum(_checksum(part, seed) for seed, part in enumerate(tokens))
    assert isinstance(marks, Tensor)  # at least one tensor
    n = marks.shape[1]
    index = torch.arange(n, dtype=torch.int32, device=marks.device)
    same = marks[:, :, None] == marks[:, None, :]
    if valid is not None:
        same &= valid[:, :, None] & valid[:, None, :]
    first = torch.where(same, index, n).amin(2) if n else index.expand_as(marks)
    return torch.minimum(first, index).long()  # padding is no copy of anything, nor has it any


def _checksum(tokens: Tensor, seed: int) -> Tensor:
    """(B, n) sums of the 16-bit words of each row times random odd numbers, modulo 2^64."""
    rows = tokens[:, None] if tokens.ndim == 3 else tokens
    words = rows.contiguous().view(torch.int16)  # longer words would often share many zero bits
    samples, heads, n, width = words.shape
    place = torch.arange(heads * width, device=rows.device) + (1 + seed) * 2**32
    weight = place * _signed(MIX[0])
    weight = (weight ^ (weight >> 29)) * _signed(MIX[1])
    weight = ((weight ^ (weight >> 32)) | 1).view(heads, 1, width)
    step = max(1, AT_ONCE // max(1, samples * heads * n))
    parts = [(words[..., c : c + step] * weight[..., c : c + step]).sum((1, 3)) for c in range(0, width, step)]
    return torch.stack(parts).sum(0)


def _signed(word: int) -> int:
    return word - 2**64 if word >= 2**63 else word


def copy_equal_tokens(matrix: Tensor, first: Tensor) -> Tensor:
    """(B, n, n) with the entries of every token taken from the first of its copies."""
    sample = torch.arange(len(matrix), device=matrix.device)[:, None, None]
    return matrix[sample, first[:, :, None], first[:, None, :]]


def cosines(X: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines, which tokens have a direction, and the first copies of (B, n, d) features.

    The (B, n, n) cosines are normalised after the product, 1 on the diagonal and 0 wherever a token is padding, has
    norm <= 1e-12, or a squared norm that is not finite: such tokens are not `live`.
    """
    gram = symmetric(products(X, X))
    square = gram.diagonal(dim1=1, dim2=2)
    live = (square > ZERO_NORM**2) & (square < torch.inf)
    if valid is not None:
        live = live & valid
    inverse = torch.where(live, square, 1.0).rsqrt()
    pairs = live[:, :, None] & live[:, None, :]
    first = first_copies(X, valid=valid)
    cosine = copy_equal_tokens(torch.where(pairs, gram * (inverse[:, :, None] * inverse[:, None, :]), 0.0), first)
    itself = torch.eye(X.shape[1], dtype=torch.bool, device=X.device)
    copies = (first[:, :, None] == first[:, None, :]) | itself
    return torch.where(copies & pairs, 1.0, cosine), live, first


def distances(cosine: Tensor, live: Tensor) -> Tensor:
    """(B, n, n) 1 - cos, 0 below 1e-6 and wherever a token is not live."""
    distance = 1.0 - cosine
    far = (distance >= SNAP) & live[:, :, None] & live[:, None, :]
    return torch.where(far, distance, 0.0)


def rank1_gram(K: Tensor, V: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
    """G_ij = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h) of (B, H, n, d) keys and values, and which updates are not zero.

    Zero at padding and at tokens whose G_ii is not finite, which count as zero updates.
    """
    gram = products(K[:, 0], K[:, 0]) * products(V[:, 0], V[:, 0])
    for h in range(1, K.shape[1]):
        gram = gram + products(K[:, h], K[:, h]) * products(V[:, h], V[:, h])
    gram = symmetric(gram)
    square = gram.diagonal(dim1=1, dim2=2)
    live = (square > 0) & (square < torch.inf)
    if valid is not None:
        live = live & valid
    gram = torch.where(live[:, :, None] & live[:, None, :], gram, 0.0)
    return copy_equal_tokens(gram, first_copies(K, V, valid=valid)), live

"""Gram matrices of the rank-1 updates dW_i = phi(k_i)^T v_i, for every kernel and form of `ImplicitWeight`."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from scipy.special import logsumexp

from mmdp.checks import Float, as_real
from mmdp.duplicates import copy_equal_tokens, first_copies

Kernel = Literal["linear", "softmax"]
Form = Literal["truncation", "squared", "query_weighted"]


def check_parts(keys: Float, values: Float, query: Any, kernel: Kernel, form: Form) -> Float | None:
    """Raise on shapes or names that do not fit; return the queries as (H, m, d), or None."""
    if kernel not in get_args(Kernel):
        raise ValueError(f"kernel must be one of {', '.join(get_args(Kernel))}, got {kernel!r}")
    if form not in get_args(Form):
        raise ValueError(f"form must be one of {', '.join(get_args(Form))}, got {form!r}")
    if keys.shape[:2] != values.shape[:2]:
        raise ValueError(f"K and V must agree in heads and tokens, got shapes {keys.shape} and {values.shape}")
    if min(keys.shape[0], keys.shape[2], values.shape[2]) < 1:
        raise ValueError(f"K and V need at least one head and one column, got shapes {keys.shape} and {values.shape}")
    if query is None:
        if form == "query_weighted":
            raise ValueError("form 'query_weighted' needs query, got None")
        return None
    queries = as_real(query, "query", (1, 2, 3)).astype(np.float64)
    if queries.ndim == 1:
        queries = queries[None]
    if queries.ndim == 2:
        queries = np.broadcast_to(queries, (len(keys), *queries.shape))
    if queries.shape[0] != len(keys) or queries.shape[2] != keys.shape[2] or queries.shape[1] < 1:
        raise ValueError(
            f"query must be (d,), (m, d) or (H, m, d) with H = {len(keys)}, d = {keys.shape[2]}, "
            f"got shape {np.shape(query)}"
        )
    if form != "query_weighted" and queries.shape[1] != 1:
        raise ValueError(f"form {form!r} takes one query per head, got {queries.shape[1]}")
    return queries


def rank1_gram(keys: Float, values: Float, queries: Float | None, *, kernel: Kernel, form: Form) -> tuple[Float, float]:
    """(G / exp(log_scale), log_scale); log_scale is 0 for the linear kernel and log max_i G_ii for softmax.

    Everything is computed as sign and logarithm, so a softmax kernel never overflows.
    Time O(H n^2 (d + d_v)), memory
    O(n^2).
    """
    heads, n = keys.shape[:2]
    attention = None
    if form == "query_weighted":
        assert queries is not None  # check_parts saw to it
        attention = _attention(keys, queries, kernel)
        diagonal = _log((attention**2).sum(axis=1)) + 2 * _log(np.linalg.norm(values, axis=2))
    else:
        sizes = _log_sizes(keys, values, queries, kernel)
        diagonal = 2 * sizes
    block = logsumexp(diagonal, axis=0) if n else np.zeros(0)  # heads are orthogonal blocks of the output: they add
    log_scale = float(block.max()) if kernel == "softmax" and n and np.isfinite(block.max()) else 0.0

    gram = np.zeros((n, n))
    for h in range(heads):
        if attention is not None:
            gram += (attention[h].T @ attention[h]) * (values[h] @ values[h].T) * np.exp(-log_scale)
            continue
        logs, signs = _log_cosines(keys[h], values[h], kernel)
        if form == "truncation":
            size = sizes[h] - log_scale / 2
            gram += signs * np.exp(logs + size[:, None] + size[None, :])
        else:
            size = (block - log_scale - np.log(heads)) / 2
            gram += np.exp(2 * logs + size[:, None] + size[None, :])
    first = first_copies(keys.swapaxes(0, 1), values.swapaxes(0, 1))
    return copy_equal_tokens((gram + gram.T) / 2, first), log_scale


def _log(x: Float) -> Float:
    with np.errstate(divide="ignore"):
        return np.log(x)


def _log_sizes(keys: Float, values: Float, queries: Float | None, kernel: Kernel) -> Float:
    """(H, n) log ||dW_i||, or with queries log (|kappa(q, k_i)| ||v_i||)."""
    norms = _log(np.linalg.norm(values, axis=2))
    root = np.sqrt(keys.shape[2])
    if queries is None:
        squares: Float = (keys**2).sum(axis=2)
        return norms + (squares / root if kernel == "softmax" else _log(squares)) / 2
    dots = np.einsum("hnd,hd->hn", keys, queries[:, 0])
    return norms + (dots / root if kernel == "softmax" else _log(np.abs(dots)))


def _log_cosines(keys: Float, values: Float, kernel: Kernel) -> tuple[Float, Float]:
    """log |S_ij| and sign S_ij, S_ij = kappa(k_i, k_j) (v_i . v_j) / (||dW_i|| ||dW_j||); a zero update has S = 0."""
    v = _units(values)
    value_cos = v @ v.T
    zero = ~v.any(axis=1)
    if kernel == "softmax":
        squares = (keys**2).sum(axis=1)
        log_key = -np.maximum(squares[:, None] + squares[None, :] - 2 * (keys @ keys.T), 0) / (
            2 * np.sqrt(keys.shape[1])
        )
        signs = np.sign(value_cos)
    else:
        u = _units(keys)
        key_cos = u @ u.T
        zero |= ~u.any(axis=1)
        log_key, signs = _log(np.abs(key_cos)), np.sign(key_cos) * np.sign(value_cos)
    logs = log_key + _log(np.abs(value_cos))
    np.fill_diagonal(logs, np.where(zero, -np.inf, 0.0))  # exactly 1, free of rounding
    np.fill_diagonal(signs, 1.0)
    return logs, signs


def _units(x: Float) -> Float:
    norms = np.linalg.norm(x, axis=1, keepdims=True)
    units: Float = x / np.where(norms > 0, norms, 1.0)
    return units


def _attention(keys: Float, queries: Float, kernel: Kernel) -> Float:
    """(H, m, n) softmax weights, or plain products for the linear kernel."""
    scores: Float = np.einsum("hmd,hnd->hmn", queries, keys)
    if kernel == "softmax" and keys.shape[1]:
        scores = scores / np.sqrt(keys.shape[2])
        scores = np.exp(scores - logsumexp(scores, axis=2, keepdims=True))
    return scores

"""Recipes shared by the instances: unit rows, relevance, and the keys and values of one attention head."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp.checks import Float

HEAD_WIDTH = 64


def whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """A whole number in least .. most."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < least or (most is not None and value > most):
        allowed = f">= {least}" if most is None else f"between {least} and {most}"
        raise ValueError(f"{name} must be {allowed}, got {value}")
    return int(value)


def unit_rows(X: Float) -> Float:
    """(n, d) rows x_i / ||x_i||; zero rows stay zero."""
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    units: Float = X / np.where(norms > 0, norms, 1.0)
    return units


def relevance_to_query(X: Float, seed: int) -> Float:
    """(n,) relevance in [0.05, 1]: a query near the mean token, its products with the tokens, stretched to that range.

    q = mean row + 0.1 g / ||g|| with g standard normal, s = X q, r = 0.05 + 0.95 (s - min s) / (max s - min s).
    Equal products give r = 1.
    """
    g = np.random.default_rng(seed + 7).standard_normal(X.shape[1])
    s = X @ (X.mean(axis=0) + 0.1 * g / np.linalg.norm(g))
    spread = s.max() - s.min()
    r: Float = 0.05 + 0.95 * (s - s.min()) / spread if spread > 0 else np.ones(len(X))
    return r


def keys_values(X: Float, seed: int, *, uneven: bool = False) -> tuple[Float, Float]:
    """(1, n, 64) keys K = X W_k and values V = X W_v of one head, W_k and W_v standard normal.

    `uneven` first scales row i by exp(0.5 N(0, 1)), so that tokens of equal norm differ in size. K and V share one
    factor that gives the Gram matrix (K K^T) o (V V^T) the trace n.
    """
    rng = np.random.default_rng(seed + 11)
    rows = X * np.exp(0.5 * rng.standard_normal((len(X), 1))) if uneven else X
    keys: Float = rows @ rng.standard_normal((X.shape[1], HEAD_WIDTH))
    values: Float = rows @ rng.standard_normal((X.shape[1], HEAD_WIDTH))
    trace = float(((keys**2).sum(axis=1) * (values**2).sum(axis=1)).sum())
    scale = (len(X) / trace) ** 0.25 if trace > 0 else 1.0
    return scale * keys[None], scale * values[None]

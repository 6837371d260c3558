"""Tokens of realistic width for the greedy benchmarks: photographs through a random network, and three harder kinds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
EQUAL = "equal"
KINDS = {
    "photo": "patches of a photograph through a fixed random network",
    "iid": "independent Gaussian tokens",
    "clustered": "clusters of twelve tokens in random order",
    "duplicates": "photo tokens, half of them copies of others",
    EQUAL: "orthogonal tokens, all at the same distance",
}
PATCH, HIDDEN, NETWORK = 14, 1024, 12345


@dataclass(frozen=True, eq=False)
class Sample:
    """One sample in float32: tokens, their relevance in (0, 1], and keys and values for the rank-1 updates."""

    X: Floats  # (n, d)
    relevance: Floats  # (n,)
    K: Floats  # (n, d)
    V: Floats  # (n, d)


@lru_cache(maxsize=8)
def sample(kind: str, n: int, d: int, seed: int = 0) -> Sample:
    """n tokens of width d; the same numbers for the same arguments.

    Raises
    ------
    ValueError : an unknown kind, more orthogonal tokens than columns, or for photographs an n other than 576 (24 x 24
        patches), 2880 (a picture and its four quarters at twice the size) or 6272 (32 frames of 14 x 14 patches with a
        slow pan).
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == EQUAL and n > d:
        raise ValueError(f"there are at most {d} orthogonal tokens of width {d}, got n = {n}")
    rng = np.random.default_rng([seed, n, d])
    if kind == "iid":
        X, V = rng.normal(size=(n, d)), rng.normal(size=(n, d))
    elif kind == "clustered":
        X, V = clustered(n, d, rng), clustered(n, d, rng)
    elif kind == EQUAL:
        X, V = (np.linalg.qr(rng.normal(size=(d, n)))[0].T for _ in range(2))
    else:
        X, V = photo_tokens(n, d, seed, NETWORK), photo_tokens(n, d, seed, NETWORK + 1)
    relevance = rng.random(n) if kind == "iid" else np.convolve(rng.normal(size=n), np.ones(9) / 9, "same")
    relevance = (relevance - relevance.min() + 1e-6) / (relevance.max() - relevance.min() + 1e-6)
    if kind == "duplicates":
        source = np.where(rng.random(n) < 0.5, rng.integers(0, n, n), np.arange(n))
        X, V, relevance = X[source], V[source], relevance[source]
    scale = np.sqrt(d)
    return Sample(*(part.astype(np.float32) for part in (X, relevance, X / (scale * X.std()), V / (scale * V.std()))))


def clustered(n: int, d: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Clusters of about twelve tokens, none beside its own kind: no token has a near neighbour on the raster."""
    centres = rng.normal(size=(max(1, n // 12), d))
    return centres[rng.integers(0, len(centres), n)] + 0.3 * rng.normal(size=(n, d))


def photo_tokens(n: int, d: int, seed: int, network: int) -> npt.NDArray[np.float64]:
    """(n, d) tokens as a projector makes them: neighbours resemble each other, a few tokens have a high norm."""
    from mmdp.instances.pictures import PHOTOS, photo

    name = tuple(PHOTOS)[seed % len(PHOTOS)]
    if n == 576:
        views = [photo(name)]
    elif n == 2880:
        large = photo(name, 672)
        views = [photo(name), *(large[a : a + 336, b : b + 336] for a in (0, 336) for b in (0, 336))]
    elif n == 6272:
        picture = photo(name)
        views = [picture[2 * f : 2 * f + 196, 4 * f : 4 * f + 196] for f in range(32)]
    else:
        raise ValueError(f"photo tokens come in 576, 2880 or 6272, got n = {n}")
    return np.concatenate([projected(view, d, network, 100 * seed + i) for i, view in enumerate(views)])


def projected(view: npt.NDArray[np.uint8], d: int, network: int, seed: int) -> npt.NDArray[np.float64]:
    """Patches of 14 x 14 pixels through two random layers with tanh, plus positions, a common direction and noise."""
    g = len(view) // PATCH
    patches = (view / 255).reshape(g, PATCH, g, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(g * g, -1)
    patches = patches - patches.mean(axis=0)
    net = np.random.default_rng(network)
    first, bias = net.normal(size=(patches.shape[1], HIDDEN)) / np.sqrt(patches.shape[1]), net.normal(size=HIDDEN)
    second, common = net.normal(size=(HIDDEN, d)) / np.sqrt(HIDDEN), net.normal(size=d)
    row, column = np.divmod(np.arange(g * g), g)
    waves = [np.cos(2 * np.pi * f * a / g + shift) for f in (0.5, 1, 2) for a in (row, column) for shift in (0, 1.5)]
    tokens = np.tanh(6 * patches @ first + 0.3 * bias) @ second
    tokens += 0.15 * np.stack(waves, axis=1) @ net.normal(size=(len(waves), d)) + 0.3 * tokens.std() * common
    own = np.random.default_rng([network, seed])
    tokens += 0.15 * tokens.std() * own.normal(size=tokens.shape)
    tokens[own.choice(g * g, max(1, g * g // 100), replace=False)] *= 4
    return tokens

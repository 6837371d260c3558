"""The points (D_A, D_P, n_v) at which a divergence is measured."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lmm_integration.operation_flops import AttnPrune, effective_depths


class Point(NamedTuple):
    """A depth policy: attention depth, MLP depth, visual tokens that enter."""

    attention: int
    mlp: int
    tokens: int


def canonical(point: Point, layers: int, attn_prune: AttnPrune) -> Point:
    """The point that names a function of the text: MLPs that nothing reads are not counted as run.

    >>> canonical(Point(3, 8, 20), layers=8, attn_prune="qkv"), canonical(Point(8, 8, 20), layers=8, attn_prune="qkv")
    (Point(attention=3, mlp=2, tokens=20), Point(attention=8, mlp=7, tokens=20))
    """
    if point.attention == layers:
        return Point(layers, min(point.mlp, layers - 1), point.tokens)
    return Point(*effective_depths(point.attention, point.mlp, layers, attn_prune), point.tokens)


def depth_grid(layers: int, points: int = 9) -> list[int]:
    """`points` depths from 0 to `layers`, evenly spaced.

    >>> depth_grid(32), depth_grid(3)
    ([0, 4, 8, 12, 16, 20, 24, 28, 32], [0, 1, 2, 3])
    """
    if points < 2:
        raise ValueError(f"a grid of depths needs both ends, 2 points or more, got {points}")
    return sorted({round(x) for x in np.linspace(0, layers, points)})


def token_grid(n: int, points: int = 8, least: int | None = None) -> list[int]:
    """`points` token counts up to n in equal ratios; the least is n / 32, rounded up, where it is not given.

    >>> token_grid(576), token_grid(16, points=3)
    ([18, 30, 48, 79, 130, 214, 351, 576], [1, 4, 16])
    """
    if points < 1:
        raise ValueError(f"a grid of token counts needs 1 point or more, got {points}")
    first = -(-n // 32) if least is None else least
    if not 1 <= first <= n:
        raise ValueError(f"the least number of tokens must be in [1, {n}], got {first}")
    return sorted({round(x) for x in np.geomspace(first, n, points)} | {n})


def axis_points(
    layers: int, n: int, attention: Sequence[int], mlp: Sequence[int], tokens: Sequence[int]
) -> list[Point]:
    """The points of the three curves, in each of which one parameter leaves its full value."""
    return [
        *(Point(depth, layers, n) for depth in attention),
        *(Point(layers, depth, n) for depth in mlp),
        *(Point(layers, layers, count) for count in tokens),
    ]


def every_point(layers: int, tokens: Sequence[int], attn_prune: AttnPrune) -> list[Point]:
    """All functions: L (L + 1) / 2 + 1 pairs of depths under "qkv", L (L + 1) under "q", for each count."""
    depths = range(layers + 1)
    found = (canonical(Point(a, p, n), layers, attn_prune) for a, p, n in itertools.product(depths, depths, tokens))
    return sorted(set(found))

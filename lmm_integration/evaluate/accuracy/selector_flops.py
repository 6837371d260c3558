"""What choosing costs by arithmetic: the operations of each method's selector, as its paper states the algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lmm_integration.budget import tokens_to_keep
from lmm_integration.evaluate.accuracy.drawn import RandomDraws
from lmm_integration.pruners.average_pool import AveragePool
from lmm_integration.pruners.cdpruner import CDPruner
from lmm_integration.pruners.cls_attention import ClsAttention
from lmm_integration.pruners.divprune import DivPrune
from lmm_integration.pruners.fastv import FastV
from lmm_integration.pruners.feature_resize import FeatureResize
from lmm_integration.pruners.input_resize import InputResize
from lmm_integration.pruners.iwp import IWP
from lmm_integration.pruners.random import RandomPruner
from lmm_integration.pruners.trimtokenator import TrimTokenator
from lmm_integration.pruners.uniform_grid import UniformGrid


@dataclass(frozen=True)
class Choosing:
    """k of n tokens of width d; a prompt of `prompt` tokens, `words` of them in the question; query width a, key or
    value width b of the decoder.
    """

    n: int
    k: int
    d: int
    a: int
    b: int
    prompt: int
    words: int


def _gram(c: Choosing) -> int:
    return 2 * c.n * c.n * c.d


# Two operations for every multiplication; comparisons of a pick count one per token. Reading what a method needs beside
# the tokens (relevance, attention of the tower, a second encoding) is counted apart, where it runs.
FORMULAS: dict[type, Callable[[Any, Choosing], int | None]] = {
    RandomDraws: lambda p, c: 0,
    RandomPruner: lambda p, c: 0,
    UniformGrid: lambda p, c: 0,
    InputResize: lambda p, c: 0,
    ClsAttention: lambda p, c: c.n,
    AveragePool: lambda p, c: c.n * c.d,
    FeatureResize: lambda p, c: 2 * c.k * c.n * c.d,
    # a Gram matrix, which l1 has none of, then k picks of the largest among n least distances
    DivPrune: lambda p, c: _gram(c) + 2 * c.k * c.n if p.solver == "greedy" and p.distance != "l1" else None,
    # a Gram matrix, its rows and columns weighted, and k steps of an incremental Cholesky factor of up to k columns
    CDPruner: lambda p, c: _gram(c) + 2 * c.n * c.n + c.n * c.k * c.k if p.solver == "greedy" else None,
    # distances to every word, then k products of the survivors with the last pick
    TrimTokenator: lambda p, c: 2 * c.n * c.words * c.d
    + 2 * c.k * max(c.k, tokens_to_keep(p.survivors, c.n)) * c.d,
    # keys of the prompt and one query of the layer before, and one row of attention
    FastV: lambda p, c: 2 * c.prompt * c.d * c.b + 2 * c.d * c.a + 2 * c.prompt * c.a,
    # keys, values and queries of the layer, then k rows of similarity of keys and of values
    IWP: lambda p, c: 4 * c.n * c.d * c.b + 2 * c.words * c.d * c.a + 4 * c.k * c.n * c.b
    if p.solver == "pcmmr" and p.heads == "mean" and p.square
    else None,
}  # fmt: skip


def selector_flops(pruner: Any, choosing: Choosing) -> int | None:
    """Operations of one choice; None for a pruner without a formula, 0 where it keeps every token.

    >>> selector_flops(DivPrune(), Choosing(n=256, k=28, d=128, a=128, b=128, prompt=280, words=10))
    16791552
    """
    if choosing.k >= choosing.n:
        return 0
    formula = FORMULAS.get(type(pruner))
    return None if formula is None else formula(pruner, choosing)

"""DivPrune: keep the tokens that lie farthest from each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
from torch import Tensor

from lmm_integration.pruners.backends import choose
from lmm_integration.pruners.layer_method import check_inner_order, check_layer
from lmm_integration.pruners.method import Method
from lmm_integration.pruners.solving import check_solver, solved
from lmm_integration.sequence import PositionPolicy
from lmm_integration.tokens import Choice, VisualTokens
from mmdp import MaxMinDiversity
from mmdp.checks import to_numpy

Distance = Literal["cosine", "centred", "l1", "l2"]


@dataclass(frozen=True, kw_only=True)
class DivPrune(Method):
    r"""Max-min diversity of the projected tokens, in front of layer 0 :cite:p:`alvar2025divprune`.

    max over S with |S| = k of min_{i != j in S} d(v_i, v_j), d = 1 - cos, by farthest-first traversal from the most
    isolated token. It needs no text and no attention. The traversal keeps 1/4 of the best minimum for d = 1 - cos and
    1/2 for l1 and l2, which are metrics :cite:p:`ravi1994heuristic`.

    Parameters
    ----------
    distance : `"cosine"`; `"centred"`, cosine after the mean of the unit is taken away; `"l1"` or `"l2"`, on the raw
        tokens.
    solver : `"greedy"`; or `"local_search"`, `"exact"` or any other method of `solvers.solve` for max-min diversity.
    time_limit : seconds per unit, for solvers other than the greedy; None as in `solvers.solve`.
    layer : 0, on the projected tokens, in front of the language model; or the decoder layer, counted from 0, in front of
        which the choice is made on hidden states (the paper tries 1, 2 and 3, and all are worse), inside `prune` alone.
    order, position_policy : see `Method`. The tables of the paper were made with `order="selection"`. Solvers without a
        pick order hand over raster order. At inner layers `"raster"` alone; position_policy None is `"repack"` at
        layer 0 and `"keep"` at others.

    Examples
    --------
    >>> import torch
    >>> from lmm_integration.tokens import VisualTokens
    >>> tokens = VisualTokens([torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]])])
    >>> DivPrune(order="selection").select(tokens, [3])[0].tolist()
    [2, 0, 1]
    """

    title: ClassVar[str] = "DivPrune"
    source: ClassVar[str] = "alvar2025divprune"
    does: ClassVar[str] = "max-min diversity of the tokens"

    distance: Distance = "cosine"
    solver: str = "greedy"
    time_limit: float | None = None
    layer: int = 0
    position_policy: PositionPolicy | None = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.position_policy is None:
            object.__setattr__(self, "position_policy", "keep" if self.layer else "repack")
        super().__post_init__()
        self._one_of("distance", get_args(Distance))
        check_solver(self.solver, self.time_limit)
        if self.layer != 0:
            check_layer(self.layer)
            check_inner_order("DivPrune", self.order)

    def layers(self, depth: int) -> tuple[int, ...]:
        """No layer, or the one."""
        return (self.layer,) if self.layer else ()

    def kept(self, n: int, budget: int, depth: int) -> tuple[int, ...]:
        """The budget itself, from an inner layer on."""
        return tuple(min(budget, n) for _ in self.layers(depth))

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit the k_i most diverse tokens."""
        if self.solver == "greedy" and self.distance in ("cosine", "centred"):
            features = [_centred(unit) for unit in tokens.features] if self.distance == "centred" else tokens.features
            return self._in_order(choose("farthest_first", features, k))
        return self._in_order(solved(self.problems(tokens, k), self.solver, self.time_limit))

    def problems(self, tokens: VisualTokens, k: list[int]) -> list[MaxMinDiversity]:
        """Per unit the optimisation problem, to solve, bound or check a selection with."""
        return [self._problem(unit, m) for unit, m in zip(tokens.features, k, strict=True)]

    def _problem(self, unit: Tensor, k: int) -> MaxMinDiversity:
        if self.distance == "l1":
            return MaxMinDiversity.from_distances(_manhattan(to_numpy(unit).astype(np.float64)), k)
        features = to_numpy(_centred(unit) if self.distance == "centred" else unit)
        return MaxMinDiversity.from_features(features, k, "euclidean" if self.distance == "l2" else "cosine")


def _centred(unit: Tensor) -> Tensor:
    return unit.float() - unit.float().mean(0)


def _manhattan(x: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(x, x, "cityblock")

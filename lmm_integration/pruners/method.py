"""The frame of the published methods: common options, and what a method declares about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from torch import Tensor

from lmm_integration.sequence import PositionPolicy
from lmm_integration.tokens import Choice, VisualTokens
from lmm_integration.units import BudgetScope

Order = Literal["raster", "selection"]


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A published way to choose visual tokens in front of the language model.

    Class attributes, from which the method tables are made
    ---------------------------------------------------------
    title, source : name and bib key.
    does : one line.
    requires : what it reads beside the features: "relevance" to the question, "vision_attention", "text".
    budget_kind : what "64 tokens" means; `"input"`: 64 enter the language model.
    merges : it hands over new tokens, made of old ones.
    positional : it goes by the place of a token, or by chance, so that the order of the tokens matters.
    budget_scope : what gets a budget where nobody says; "sample" divides one over all pictures of a question.

    Parameters
    ----------
    order : `"raster"`, or `"selection"`, the order in which the tokens were picked.
    position_policy : `"repack"`: the shorter prompt is numbered anew, as in the published codes; `"keep"`: every token
        keeps its position, which grounding needs.
    """

    title: ClassVar[str]
    source: ClassVar[str] = ""
    does: ClassVar[str]
    requires: ClassVar[frozenset[str]] = frozenset()
    budget_kind: ClassVar[str] = "input"
    merges: ClassVar[bool] = False
    positional: ClassVar[bool] = False
    budget_scope: ClassVar[BudgetScope] = "image"

    order: Order = "raster"
    position_policy: PositionPolicy = "repack"

    def __post_init__(self) -> None:
        self._one_of("order", get_args(Order))
        self._one_of("position_policy", get_args(PositionPolicy))

    def _one_of(self, name: str, allowed: Sequence[object]) -> None:
        if (value := getattr(self, name)) not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")

    @abstractmethod
    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit, k_i of its tokens."""

    def _in_order(self, picks: Sequence[Tensor]) -> list[Choice]:
        """Picks, which come in pick order, as `order` wants them."""
        return [chosen.sort().values if self.order == "raster" else chosen for chosen in picks]

"""FastV: keep what the last token of the prompt attends to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from lmm_integration.budget import BudgetKind, kept_from_layer
from lmm_integration.pruners.layer_method import LayerMethod
from lmm_integration.tokens import VisualTokens


@dataclass(frozen=True, kw_only=True)
class FastV(LayerMethod):
    r"""Top k by the attention of the last token, in front of decoder layer K :cite:p:`chen2024fastv`.

    score_i = mean over heads of A^{K-1}[last, i], softmax over the whole prompt. The row is computed from one query and
    the keys of layer K - 1, whatever kernel runs, and the tokens are chosen once, when the prompt is read. What is kept
    keeps its position, unless `position_policy` says otherwise.

    Parameters
    ----------
    layer : K; None is the published 2 (of 32 layers) at the depth of the model.
    budget : what `keep` counts. `"layer_mean"`: the mean number of visual tokens over all layers, as the tables of the
        field count (64 of 576 is 30 tokens after layer 2); `"final"`: the tokens after layer K, as in FastV's own ratio:
        its R = 50 % is `FastV(budget="final")` with `keep=0.5`.
    order, position_policy : see `LayerMethod`.

    Examples
    --------
    >>> FastV().kept(576, 64, depth=32), FastV(budget="final").kept(576, 64, depth=32)
    ((30,), (64,))
    """

    title: ClassVar[str] = "FastV"
    source: ClassVar[str] = "chen2024fastv"
    does: ClassVar[str] = "top k by the attention of the last token"
    requires: ClassVar[frozenset[str]] = frozenset({"attention"})
    budget_kind: ClassVar[BudgetKind] = "layer_mean"
    published: ClassVar[tuple[int, int]] = (2, 32)

    budget: Literal["layer_mean", "final"] = "layer_mean"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("budget", ("layer_mean", "final"))

    def kept(self, n: int, budget: int, depth: int) -> tuple[int, ...]:
        """What a budget of the kind `self.budget` leaves of n tokens."""
        return (kept_from_layer(budget, n, self.budget, layer=self.layers(depth)[0], layers=depth),)

    def select(self, tokens: VisualTokens, k: list[int]) -> Sequence[Tensor]:  # type: ignore[override]
        """Per unit the k_i highest, ties to the lowest index."""
        rows = self._read(tokens, "attention")
        picks = [row.cpu().argsort(descending=True, stable=True)[:m] for row, m in zip(rows, k, strict=True)]
        return [chosen.sort().values for chosen in picks]

"""What a pruner inside the language model is given, and what it has to say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from lmm_integration.operation_pruner import refuse_operations
from lmm_integration.tokens import VisualTokens

READS = frozenset({"attention", "keys_values"})


@dataclass(frozen=True)
class LayerTokens(VisualTokens):
    """Visual tokens in front of a decoder layer l; `features` are their hidden states there.

    Attributes
    ----------
    layer : l, counted from 0.
    attention : per unit (n_i,) float32, what the last token of the prompt pays to each token in layer l - 1, mean over
        heads of the row after softmax over the whole prompt; None when no one asked for it.
    keys, keys_unrotated, values : per unit (H_kv, n_i, d_h) of layer l, keys with and without rotary positions; None
        likewise.
    query, query_rotated : per unit (H, d_h) float32 of layer l, mean over the tokens that `pruner.query` names, without
        and with rotary positions; None likewise.
    """

    layer: int = 0
    attention: Sequence[Tensor] | None = None
    keys: Sequence[Tensor] | None = None
    keys_unrotated: Sequence[Tensor] | None = None
    values: Sequence[Tensor] | None = None
    query: Sequence[Tensor] | None = None
    query_rotated: Sequence[Tensor] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("attention", "keys", "keys_unrotated", "values", "query", "query_rotated"):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.features):
                raise ValueError(
                    f"{name} must have one entry per unit, got {len(values)} for {len(self.features)} units"
                )


@runtime_checkable
class LayerPruner(Protocol):
    """Anything that drops visual tokens in front of decoder layers.

    Optional class attributes: `position_policy` ("keep", the default, or "repack"), `requires` (frozenset of "attention",
    "keys_values"; default empty) and, with "keys_values", `query`: "text" (default: the tokens behind the last image of
    the row, or all its text when there are none), "last" (the last token of the prompt) or "image" (the visual tokens of
    the unit).
    """

    def layers(self, depth: int) -> tuple[int, ...]:
        """The layers, ascending in [1, depth), in front of which tokens go; none for a pruner of the input."""
        ...

    def kept(self, n: int, budget: int, depth: int) -> tuple[int, ...]:
        """For each of these layers, how many of the n tokens of a unit stay from there on."""
        ...

    def select(self, tokens: LayerTokens, k: list[int]) -> Sequence[Tensor]:
        """Per unit k_i distinct int64 indices into its tokens; they stay in the order they have."""
        ...


def inner_layers(pruner: Any, depth: int) -> tuple[int, ...]:
    """The layers that `pruner` acts at in a decoder of `depth` layers; none when it prunes the input.

    Raises
    ------
    ValueError : layers that are not ascending in [1, depth), or a requirement that no layer can meet.
    """
    ask = getattr(pruner, "layers", None)
    layers: tuple[int, ...] = tuple(ask(depth)) if callable(ask) else ()
    if not layers:
        return ()
    name = type(pruner).__name__
    if list(layers) != sorted(set(layers)) or layers[0] < 1 or layers[-1] >= depth:
        raise ValueError(f"{name} must prune at ascending layers in [1, {depth - 1}] of this model, got {list(layers)}")
    if unknown := frozenset(getattr(pruner, "requires", frozenset())) - READS:
        raise ValueError(f"{name} requires {sorted(unknown)}; inside the model there are {sorted(READS)}")
    return layers


def refuse_inner(pruner: Any, model: Any) -> None:
    """TypeError for a pruner that works inside the language model, where only the input can be pruned."""
    refuse_operations(pruner)
    layers = inner_layers(pruner, model.config.get_text_config().num_hidden_layers)
    if layers:
        where = f"decoder layer {layers[0]}" if len(layers) == 1 else f"decoder layers {', '.join(map(str, layers))}"
        raise TypeError(
            f"{type(pruner).__name__} drops tokens inside the model, in front of {where}: use `with prune(...)`, "
            "prune_inputs shortens the input alone"
        )

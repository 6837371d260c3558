"""What a pruner of operations has to say: how deep visual tokens take part in attention, and in the MLPs."""

from __future__ import annotations

import numbers
from typing import Any, Protocol, get_args, runtime_checkable

from lmm_integration.operation_flops import AttnPrune, effective_depths
from lmm_integration.tokens import InputPruner


@runtime_checkable
class OperationPruner(Protocol):
    """Anything that lets visual tokens skip the attention and the MLPs of deeper layers, works inside `prune` alone.

    Attributes
    ----------
    reducer : the pruner of the input that chooses which visual tokens enter; `keep` is its budget.
    attn_prune : "qkv": nothing reads or moves visual tokens from the attention depth on, they leave the sequence and
        the cache of these layers. "q": they no longer ask, but the text still reads their keys and values.
    """

    reducer: InputPruner
    attn_prune: AttnPrune

    def depths(self, layers: int) -> tuple[int, int]:
        """(D_A, D_P) in a decoder of `layers`: attention in layers 0 .. D_A - 1, the MLP in layers 0 .. D_P - 1."""
        ...


def prunes_operations(pruner: Any) -> bool:
    """Whether it says how deep visual tokens go."""
    return callable(getattr(pruner, "depths", None))


def reducer_of(pruner: Any) -> Any:
    """Who chooses tokens: a pruner of operations leaves that to another one."""
    return pruner.reducer if prunes_operations(pruner) else pruner


def checked_depths(pruner: OperationPruner, layers: int) -> tuple[int, int]:
    """The effective depths of a pruner in a decoder of `layers`.

    Raises
    ------
    ValueError, TypeError : depths that are not whole numbers in [0, layers], an unknown reading of pruned attention.
    """
    name = type(pruner).__name__
    if pruner.attn_prune not in get_args(AttnPrune):
        raise ValueError(f"attn_prune must be one of {', '.join(get_args(AttnPrune))}, got {pruner.attn_prune!r}")
    attention, mlp = pruner.depths(layers)
    for what, depth in (("attention", attention), ("MLP", mlp)):
        if isinstance(depth, bool) or not isinstance(depth, numbers.Integral):
            raise TypeError(f"the {what} depth of {name} must be a whole number, got {depth!r}")
        if not 0 <= depth <= layers:
            raise ValueError(f"the {what} depth of {name} must be in [0, {layers}] in this model, got {depth}")
    return effective_depths(int(attention), int(mlp), layers, pruner.attn_prune)


def refuse_operations(pruner: Any) -> None:
    """TypeError where only the input can be pruned."""
    if prunes_operations(pruner):
        raise TypeError(
            f"{type(pruner).__name__} skips operations inside the model: use `with prune(...)`, prune_inputs shortens "
            "the input alone"
        )

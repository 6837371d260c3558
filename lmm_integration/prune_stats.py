"""What a pruned call did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_integration.budget import Spent, spent
from lmm_integration.decoder.stages import Stages
from lmm_integration.operation_flops import OperationStats
from lmm_integration.pre_llm import Pruned


@dataclass(frozen=True)
class PruneStats:
    """What the last pruned call did.

    Attributes
    ----------
    tokens : per image (n, kept), in the order of the placeholders.
    seconds : what the selection took, without the vision tower.
    prompt : columns of the prompt, before and after; the same for pruning inside the model.
    layer_tokens : columns of the prompt in every decoder layer, padding included; what `prefill_flops` takes.
    spent : per image, its tokens as the three kinds of budget count them; newlines included.
    stages : per image, (layer, kept) of every stage, layer 0 for pruning in front of the decoder; what `layer_counts`
        takes.
    operations : what every layer computed, where visual tokens skip operations; None elsewhere.
    """

    tokens: tuple[tuple[int, int], ...]
    seconds: float
    prompt: tuple[int, int]
    layer_tokens: tuple[int, ...]
    spent: tuple[Spent, ...]
    stages: tuple[tuple[tuple[int, int], ...], ...]
    operations: OperationStats | None = None

    @classmethod
    def of_input(cls, pruned: Pruned, columns: int, depth: int) -> PruneStats:
        """For a prompt of `columns` shortened in front of a decoder of `depth` layers."""
        width = pruned.ids.shape[1]
        return cls(
            tokens=tuple(pruned.tokens),
            seconds=pruned.seconds,
            prompt=(columns, width),
            layer_tokens=(width,) * depth,
            spent=tuple(spent(n, [(0, kept)], depth) for n, kept in pruned.tokens),
            stages=tuple(((0, kept),) for _, kept in pruned.tokens),
        )

    @classmethod
    def of_stages(cls, stages: Stages, depth: int) -> PruneStats:
        """For tokens dropped inside it."""
        sizes = [len(image) for image in stages.scene.features]
        left = [tuple((layer, len(kept[i])) for layer, kept in stages.kept.items()) for i in range(len(sizes))]
        width = columns = stages.scene.ids.shape[1]
        lengths = []
        for layer in range(depth):
            columns = stages.columns.get(layer, columns)
            lengths.append(columns)
        return cls(
            tokens=tuple((n, here[-1][1]) for n, here in zip(sizes, left, strict=True)),
            seconds=stages.seconds,
            prompt=(width, width),
            layer_tokens=tuple(lengths),
            spent=tuple(spent(n, here, depth) for n, here in zip(sizes, left, strict=True)),
            stages=tuple(left),
        )

"""Operations and memory of an answer: the decoder by formula, what stands in front of it counted once as it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from lmm_integration.adapters import adapter_for
from lmm_integration.budget import layer_counts
from lmm_integration.evaluate.bench import Bench
from lmm_integration.evaluate.selector_flops import Choosing, selector_flops
from lmm_integration.flops import DecoderShape, kv_bytes, prefill_flops
from lmm_integration.operation_flops import depth_costs
from lmm_integration.operation_pruner import checked_depths, prunes_operations
from lmm_integration.pre_llm import run
from lmm_integration.tokens import Choice, VisualTokens

Stages = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Reader:
    """A pruner that asks for what another one reads, and chooses for nothing."""

    requires: frozenset[str]
    relevance: Any
    layer: int

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """The first ones."""
        return [torch.arange(m) for m in k]


class Work:
    """Counts for one bench. Tower and readings are counted at the first batch that needs them, and remembered.

    Operations are those of matrix products, two for every multiplication. The tower counts once per picture, however
    many questions share it.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.adapter = bench, adapter_for(bench.model)
        self._crop: float | None = None
        self._readings: dict[tuple[str, int | float], int] = {}
        try:
            self.shape: DecoderShape | None = DecoderShape.of(bench.model)
        except (AttributeError, TypeError, ValueError):  # no gated MLPs, or layers that differ
            self.shape = None

    def decoder(
        self, pruner: Any, text: int, sizes: Sequence[int], stages: Sequence[Stages]
    ) -> tuple[int | None, int | None]:
        """Prefill, and bytes of the cache, for `text` tokens and pictures of these sizes pruned in these stages."""
        if self.shape is None:
            return None, None
        depth = self.shape.layers
        counts = [layer_counts(n, left, depth) for n, left in zip(sizes, stages, strict=True)]
        layers = [text + sum(here[layer] for here in counts) for layer in range(depth)]
        if not prunes_operations(pruner):
            return prefill_flops(self.shape, layers), kv_bytes(self.shape, layers)
        attention, mlp = checked_depths(pruner, depth)
        entering = sum(left[0][1] for left in stages)
        cost = depth_costs(self.shape, text, entering, pruner.attn_prune)
        return cost.fixed + attention * cost.attention + mlp * cost.mlp, kv_bytes(self.shape, layers)

    def vision(self, inputs: Mapping[str, Any], output: Any) -> list[int]:
        """Tower and projector, per picture: a crop of any picture counts as one of the first batch."""
        features = [picture.reshape(-1, picture.shape[-1]) for picture in output.pooler_output]
        crops = self.adapter.crops(self.bench.model, inputs, features)
        if self._crop is None:
            self._crop = self._tower(inputs) / sum(crops)
        return [round(self._crop * crop) for crop in crops]

    def reading(
        self, label: str, keep: int | float, vision: Any, inputs: Mapping[str, Any], text: Sequence[str]
    ) -> int:
        """What a pruner of the input reads beside the tokens, per question: text tower, a row of attention, the picture
        encoded again.
        """
        pruner = reducer_of(self.bench.pruners[label])
        needs = frozenset(getattr(pruner, "requires", ())) & {"relevance", "vision_attention", "reencode"}
        if not needs:
            return 0
        if (label, keep) not in self._readings:
            reads = Reader(needs, getattr(pruner, "relevance", None), getattr(pruner, "layer", -2))
            who = pruner if "reencode" in needs else reads
            options = {"text": text, "processor": self.bench.processor, "budget_scope": "image", "adapter": vision}
            total = counted(lambda: run(self.bench.model, inputs, who, keep, **options))
            tower = self._tower(inputs) if vision.fresh else 0
            self._readings[label, keep] = round((total - tower) / len(text))
        return self._readings[label, keep]

    def selector(
        self, pruner: Any, text: int, question: str, sizes: Sequence[int], stages: Sequence[Stages]
    ) -> int | None:
        """The choices for the pictures of a question; None where the method has no formula."""
        if self.shape is None:
            return None
        words = len(self.bench.processor.tokenizer(question, add_special_tokens=False)["input_ids"])
        total = 0
        for n, left in zip(sizes, stages, strict=True):
            shape = self.shape
            choosing = Choosing(n, left[0][1], shape.width, shape.query_width, shape.kv_width, text + sum(sizes), words)
            flops = selector_flops(reducer_of(pruner), choosing)
            if flops is None:
                return None
            total += flops
        return total

    def _tower(self, inputs: Mapping[str, Any]) -> int:
        return counted(lambda: self.adapter.encode(self.bench.model, inputs))


def reducer_of(pruner: Any) -> Any:
    """Who chooses tokens: a pruner of operations leaves that to another one."""
    return pruner.reducer if prunes_operations(pruner) else pruner


def counted(call: Callable[[], Any]) -> int:
    """Operations of the matrix products in a call, attention taken as plain ones."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())

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
from lmm_integration.evaluate.accuracy.batches import Sample, with_pictures
from lmm_integration.evaluate.accuracy.bench import Bench
from lmm_integration.evaluate.accuracy.selector_flops import Choosing, selector_flops
from lmm_integration.flops import DecoderShape, kv_bytes, prefill_flops
from lmm_integration.operation_flops import depth_costs
from lmm_integration.operation_pruner import checked_depths, prunes_operations, reducer_of
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
    """Counts for one bench; what is counted on a sample is counted once and remembered.

    Operations are those of matrix products, two for every multiplication. The tower counts once per picture, however
    many questions share it.
    """

    def __init__(self, bench: Bench) -> None:
        self.bench, self.adapter = bench, adapter_for(bench.model)
        self._towers: dict[Sample, tuple[int, int]] = {}
        self._readings: dict[tuple[str, int | float | None, Sample], int] = {}
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

    def vision(self, inputs: Mapping[str, Any], output: Any, sample: Sample) -> list[int]:
        """Tower and projector, per picture: a crop of any picture counts as one of the sample."""
        flops, crops = self._tower(sample)
        return [round(flops / crops * own) for own in self._crops(inputs, output)]

    def reading(self, label: str, keep: int | float, sample: Sample) -> int:
        """What a pruner of the input reads beside the tokens, mean per question: text tower, a row of attention, the
        picture encoded again.
        """
        pruner = reducer_of(self.bench.pruners[label])
        needs = frozenset(getattr(pruner, "requires", ())) & {"relevance", "vision_attention", "reencode"}
        if not needs:
            return 0
        again = "reencode" in needs  # at a size that the budget says
        place = label, keep if again else None, sample
        if place not in self._readings:
            reads = Reader(needs, getattr(pruner, "relevance", None), getattr(pruner, "layer", -2))
            inputs, text = self._inputs(sample), [question.question for question in sample.batch]
            options = {"text": text, "processor": self.bench.processor, "budget_scope": "image", "adapter": None}
            total, _ = counted(lambda: run(self.bench.model, inputs, pruner if again else reads, keep, **options))
            self._readings[place] = round((total - self._tower(sample)[0]) / len(text))
        return self._readings[place]

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

    def _tower(self, sample: Sample) -> tuple[int, int]:
        """Operations, and crops, of all pictures of the sample."""
        if sample not in self._towers:
            inputs = self._inputs(sample)
            flops, output = counted(lambda: self.adapter.encode(self.bench.model, inputs))
            self._towers[sample] = flops, sum(self._crops(inputs, output))
        return self._towers[sample]

    def _crops(self, inputs: Mapping[str, Any], output: Any) -> list[int]:
        features = [picture.reshape(-1, picture.shape[-1]) for picture in output.pooler_output]
        return self.adapter.crops(self.bench.model, inputs, features)

    def _inputs(self, sample: Sample) -> dict[str, Any]:
        return dict(with_pictures(self.bench.processor, self.bench.model, sample.batch))


def counted(call: Callable[[], Any]) -> tuple[int, Any]:
    """Operations of the matrix products in a call, attention taken as plain ones; and what it gives."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        given = call()
    return int(counter.get_total_flops()), given

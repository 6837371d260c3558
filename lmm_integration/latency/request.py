"""One request, taken apart while it runs on the road that users take."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import adapter_for
from lmm_integration.context import prune
from lmm_integration.handover import for_generate, hand_over
from lmm_integration.latency.clock import Clock, Watch
from lmm_integration.latency.workload import Workload
from lmm_integration.scene import has_pixels

PARTS = ("vision", "relevance", "selection", "prefill", "decode", "other")


@dataclass(frozen=True)
class Timed:
    """What one call of `generate` took, in milliseconds.

    Attributes
    ----------
    parts : by the names of `PARTS`; they add up to `whole`.
        `vision`: tower and projector. `relevance`: text tower and projections, where the method reads it. `selection`:
        the method's `select`, its waits for the device counted. `prefill`: the first forward call of the model, without
        a selection inside it; the one row of attention that FastV reads belongs to it. `decode`: everything behind it,
        one forward call for every token but the first. `other`: the prompt made shorter, and `generate`'s preparations.
    tokens : from the start of the request to the scores of token 1, 2, ..., N. Greedy decoding to N tokens goes through
        every shorter output, so that entry n - 1 is the latency of an output of n tokens.
    whole : from start to end.
    columns : of the prompt in every decoder layer, read off the cache after the prefill.
    kv_bytes : of keys and values after the prefill, all rows, read off the cache.
    visual : tokens of the first row's picture, before and after.
    peak_bytes, held_bytes : the most that was allocated during the prefill alone, and what was when it began, weights
        included in both; None on the CPU.
    """

    parts: dict[str, float]
    tokens: list[float]
    whole: float
    columns: list[int]
    kv_bytes: int
    visual: tuple[int, int]
    peak_bytes: int | None
    held_bytes: int | None


class Prefill:
    """Hooks around the first forward call of a model, with a look at cache and memory; they go when it is over."""

    def __init__(self, model: Any, watch: Watch) -> None:
        self.watch, self.clock = watch, watch.clock
        self.start: Any = None
        self.end: Any = None
        self.columns: list[int] = []
        self.kv_bytes = 0
        self.peak_bytes: int | None = None
        self.held_bytes: int | None = None
        self._hooks = [model.register_forward_pre_hook(self._before), model.register_forward_hook(self._after)]

    def remove(self) -> None:
        """Off, which a compiled forward call needs."""
        for hook in self._hooks:
            hook.remove()

    def _before(self, module: Any, args: tuple[Any, ...]) -> None:
        if self.clock.cuda:
            torch.cuda.reset_peak_memory_stats()
            self.held_bytes = torch.cuda.memory_allocated()
        self.watch.nested = True
        self.start = self.clock.mark()

    def _after(self, module: Any, args: tuple[Any, ...], out: Any) -> None:
        self.end = self.clock.mark()
        self.watch.nested = False
        if self.clock.cuda:
            self.peak_bytes = torch.cuda.max_memory_allocated()
        cache = out.past_key_values
        self.columns = [int(cache.get_seq_length(layer)) for layer in range(len(cache.layers))]
        self.kv_bytes = sum(x.numel() * x.element_size() for layer in cache.layers for x in (layer.keys, layer.values))
        self.remove()


class TokenMarks:
    """A logits processor that changes nothing, and marks the moment of every new token's scores."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.marks: list[Any] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores."""
        self.marks.append(self.clock.mark())
        return scores


@torch.no_grad()
def timed_request(
    model: Any,
    inputs: Mapping[str, Any],
    pruner: Any,
    keep: int | float | None,
    new_tokens: int,
    clock: Clock,
    workload: Workload,
    **options: Any,
) -> Timed:
    """Answer once, greedily, with exactly `new_tokens` tokens: the end-of-sequence token is not allowed before.

    Marks are set by hooks on the first forward call, by a logits processor at every token, and around the adapter's
    `encode`, the relevance provider and the method's `select`; the road itself is
    `with prune(...): model.generate(...)`. Unpruned (`pruner` None) the pictures are encoded first and handed over, as
    `generate` itself does it. `options` go to `generate`.

    Raises
    ------
    ValueError : what `prune` raises.
    RuntimeError : the model gave another number of tokens.
    """
    watch, marks = Watch(clock), TokenMarks(clock)
    adapter = copy.copy(adapter_for(model))
    adapter.__dict__["encode"] = watch.watched("vision", adapter.encode)
    options |= {"max_new_tokens": new_tokens, "min_new_tokens": new_tokens, "do_sample": False, "num_beams": 1}
    options["logits_processor"] = [marks]
    if model.generation_config.pad_token_id is None:
        options["pad_token_id"] = 0
    prefill = Prefill(model, watch)
    try:
        clock.wait()
        start = clock.mark()
        if pruner is None:
            model.generate(**_encoded(model, inputs, adapter), **options)
        else:
            road = {"text": workload.text, "processor": workload.processor, "adapter": adapter}
            with prune(model, _watched(pruner, watch), keep, **road) as pruning:
                model.generate(**inputs, **options)
        end = clock.mark()
        clock.wait()
    finally:
        prefill.remove()
    if len(marks.marks) != new_tokens:
        raise RuntimeError(f"{type(model).__name__} was to give {new_tokens} tokens and gave {len(marks.marks)}")
    whole = clock.milliseconds(start, end)
    parts = {name: watch.total(name) for name in ("vision", "relevance", "selection")}
    parts["prefill"] = clock.milliseconds(prefill.start, prefill.end) - watch.total("selection", nested=True)
    parts["decode"] = clock.milliseconds(prefill.end, end)
    parts["other"] = whole - sum(parts.values())
    placeholders = inputs["input_ids"].new_tensor(adapter.placeholders(model))
    visual = int(torch.isin(inputs["input_ids"][0], placeholders).sum())
    return Timed(
        parts=parts,
        tokens=[clock.milliseconds(start, mark) for mark in marks.marks],
        whole=whole,
        columns=prefill.columns,
        kv_bytes=prefill.kv_bytes,
        visual=(visual, visual if pruner is None else pruning.stats.tokens[0][1]),
        peak_bytes=prefill.peak_bytes,
        held_bytes=prefill.held_bytes,
    )


def _encoded(model: Any, inputs: Mapping[str, Any], adapter: Any) -> dict[str, Any]:
    """The inputs with encoded pictures in place of pixels, nothing dropped."""
    shown = [modality for modality in adapter.modalities if has_pixels(inputs, modality)]
    encoded = {modality: adapter.encode(model, inputs, modality) for modality in shown}
    consumed = adapter.vision_inputs(model)
    rest = {name: value for name, value in inputs.items() if name not in consumed}
    if (positions := adapter.positions(model, inputs)) is not None:
        rest["position_ids"] = positions
    placeholders = {modality: adapter.placeholder(model, modality) for modality in shown}
    return for_generate(hand_over(model, rest, encoded, placeholders), inputs["input_ids"])


def _watched(pruner: Any, watch: Watch) -> Any:
    """A copy of the pruner whose `select` and relevance are spans."""
    seen = copy.copy(pruner)
    seen.__dict__["select"] = watch.watched("selection", pruner.select)
    if getattr(pruner, "relevance", None) is not None:
        seen.__dict__["relevance"] = _WatchedRelevance(pruner.relevance, watch)
    if getattr(pruner, "reducer", None) is not None:  # DOP leaves the selection to another method
        seen.__dict__["reducer"] = _watched(pruner.reducer, watch)
    return seen


class _WatchedRelevance:
    """A provider of relevance whose calls are spans; in everything else it is the provider."""

    def __init__(self, provider: Any, watch: Watch) -> None:
        self._provider = provider
        self._call = watch.watched("relevance", provider.__call__)

    def __call__(self, *given: Any) -> Any:
        """As the provider."""
        return self._call(*given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._provider, name)

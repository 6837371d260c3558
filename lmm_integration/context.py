"""`with prune(model, DivPrune(), keep=64): model.generate(**inputs)`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter, adapter_for
from lmm_integration.budget import check_keep
from lmm_integration.conversation import Conversations
from lmm_integration.decoder.stages import Stages
from lmm_integration.generation import caller_prompt, generation_lengths, setting
from lmm_integration.handover import for_generate
from lmm_integration.in_llm import LayerPruning
from lmm_integration.layer_tokens import LayerPruner, inner_layers
from lmm_integration.operation_pruner import OperationPruner, prunes_operations
from lmm_integration.operations import OperationPruning
from lmm_integration.pre_llm import Pruned, requirements, run
from lmm_integration.prune_stats import PruneStats
from lmm_integration.scene import has_pixels
from lmm_integration.tokens import InputPruner
from lmm_integration.units import BudgetScope, scope_of
from lmm_integration.versions import SINCE

MISSING = object()


class prune:  # noqa: N801 (used like a function, as contextlib's own)
    """Prune the images of every `generate` and every forward call of a model, inside a `with` block.

    In front of the language model the call is what `prune_inputs` makes of it. Behind it the caller sees his own
    prompt: `generate` gives `sequences` that begin with it, a forward call gives logits for all its places, where a
    place that was dropped answers as the last one before it that stayed. Hidden states, attentions and caches are those
    of the shorter prompt. Calls without pictures pass untouched. A conversation goes on inside the block: `generate` on
    the cache with the whole conversation so far, or forward calls with new tokens; pictures come in the first turn.

    A method that works inside the model (`FastV`, `IWP`, `DivPrune(layer=2)`) drops the tokens in front of a decoder
    layer: layers before it see the whole prompt, hidden states and the cache are shorter from there on, and every token
    keeps its position.

    A method of operations (`DOP`) has its input pruner choose `keep` tokens, which then skip the attention and the MLPs
    of deeper layers; `stats.operations` says what every layer computed.

    Parameters
    ----------
    model, keep, text, processor, budget_scope, adapter : as for `prune_inputs`.
    pruner : a pruner of the input, one of inner layers, or one of operations.
    strict : raise at the end of the block when nothing was pruned in it.

    Attributes
    ----------
    stats : PruneStats of the last pruned call, None before.
    last_indices : per image, the kept tokens of the last pruned call, None before.
    calls : how many calls were pruned.

    Raises
    ------
    ValueError, TypeError : at once, what is wrong with the model, the method or the budget; in a call, what
        `prune_inputs` raises, and every mode that would run wrong: a cache from before, `return_dict=False`; inside the
        model also prefill in chunks, gradient checkpointing, and decoders that do not attend to the whole prompt.
    RuntimeError : nothing was pruned in the block; the model is in another block already.
    """

    def __init__(
        self,
        model: Any,
        pruner: InputPruner | LayerPruner | OperationPruner,
        keep: int | float = 64,
        *,
        text: str | Sequence[str] | None = None,
        processor: Any = None,
        budget_scope: BudgetScope | None = None,
        adapter: Adapter | None = None,
        strict: bool = True,
    ) -> None:
        check_keep(keep)
        self.adapter = adapter or adapter_for(model)
        self.adapter.check(model)
        self.depth = model.config.get_text_config().num_hidden_layers
        self._inner: LayerPruning | None = None
        self._operations: OperationPruning | None = None
        self._reducer = cast(InputPruner, pruner)
        if prunes_operations(pruner):
            self._operations = OperationPruning(model, cast(OperationPruner, pruner), self.adapter)
            self._reducer = cast(OperationPruner, pruner).reducer
        scope = scope_of(self._reducer, budget_scope)
        if inner_layers(pruner, self.depth):
            self._inner = LayerPruning(model, cast(LayerPruner, pruner), keep, scope, self.adapter)
        else:
            requirements(self._reducer)
        self.model, self.pruner, self.keep = model, pruner, keep
        self.text, self.processor, self.budget_scope, self.strict = text, processor, scope, strict
        self.stats: PruneStats | None = None
        self.last_indices: list[Tensor] | None = None
        self.calls = 0
        self._undo = ExitStack()
        self._inside = False
        self._restore: tuple[Pruned, Any] | None = None
        self._prompt: tuple[Tensor, Tensor, dict[str, Any]] | None = None
        self._conversations = Conversations(model, self.adapter)

    def apply(self) -> prune:
        """Start pruning, for harnesses that cannot use a `with` block; `remove` ends it."""
        if getattr(self.model.generate, "pruned_by", None) is not None:
            raise RuntimeError("the model is being pruned already; leave that block first")
        generate = self.model.generate

        @functools.wraps(generate)
        def pruned_generate(*args: Any, **kwargs: Any) -> Any:
            return self._generate(generate, args, kwargs)

        pruned_generate.pruned_by = self  # type: ignore[attr-defined]
        before = self.model.__dict__.get("generate", MISSING)  # other tools put things on the instance too
        self.model.__dict__["generate"] = pruned_generate
        self._undo.callback(self._put_back, before)
        self._undo.callback(self.model.register_forward_pre_hook(self._before_forward, with_kwargs=True).remove)
        self._undo.callback(self.model.register_forward_hook(self._after_forward, with_kwargs=True).remove)
        for hooks in (self._inner, self._operations):
            if hooks is not None:
                hooks.install(self._undo)
        return self

    def _put_back(self, before: Any) -> None:
        if before is MISSING:
            del self.model.__dict__["generate"]
        else:
            self.model.__dict__["generate"] = before

    def remove(self) -> None:
        """Leave the model as it was found."""
        self._undo.close()

    def __enter__(self) -> prune:
        return self.apply()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()
        if kind is None and self.strict and not self.calls:
            raise RuntimeError("nothing was pruned: the model was not called with an image inside the block")

    def _prune(self, inputs: dict[str, Any]) -> Pruned:
        pruned = self._shortened(inputs)
        self.stats = PruneStats.of_input(pruned, inputs["input_ids"].shape[1], self.depth)
        if self._operations is not None:
            self.stats = self._operations.start(pruned, self.stats)
        self.last_indices = pruned.indices
        self.calls += 1
        return pruned

    def _shortened(self, inputs: dict[str, Any]) -> Pruned:
        if self._operations is not None and self._operations.blind:
            return self._operations.blinded(inputs)
        return run(
            self.model,
            inputs,
            self._reducer,
            self.keep,
            text=self.text,
            processor=self.processor,
            budget_scope=self.budget_scope,
            adapter=self.adapter,
        )

    def _note(self, stages: Stages | None) -> None:
        """What happened inside the model."""
        if stages is None:
            return
        self.stats, self.last_indices = PruneStats.of_stages(stages, self.depth), stages.kept[max(stages.kept)]
        self.calls += 1

    def _generate(self, generate: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        bound = inspect.signature(generate).bind(*args, **kwargs)
        given = {**{k: v for k, v in bound.arguments.items() if k not in ("kwargs", "inputs")}, **bound.kwargs}
        given.pop("inputs", None)
        if (ids := bound.arguments.get("inputs")) is not None:
            given["input_ids"] = ids
        ids = given.get("input_ids")
        if self._conversations.go_on(given, first_layers_whole=self._inner is not None):
            new, width = self._conversations.next_generate(given)
            out = self._run(generate, new)
            return out if width is None else caller_prompt(out, ids, width)
        if not has_pixels(given):
            fresh = self._conversations.opens(given)
            out = self._run(functools.partial(generate, *args), kwargs)
            if fresh:
                self._remember(out, ids, ids, given)
            return out
        if self._inner is not None:
            return self._generate_inside(self._inner, generate, given)
        hooked = self._operations is not None and self._operations.hooked
        if hooked:
            self._check_one_prefill(given)
        with torch.no_grad():
            pruned = self._prune(given)
        if "inputs_embeds" in pruned.inputs and setting(self.model, given, "prefill_chunk_size"):
            raise ValueError(f"prefill in chunks needs transformers {SINCE} or later, which takes encoded pictures")
        new = for_generate(pruned.inputs, pruned.ids)
        if pruned.shortened is not None:
            new.update(generation_lengths(self.model, given, ids.shape[1] - pruned.ids.shape[1]))
        try:
            out = self._run(generate, new)
        finally:
            if self._operations is not None:
                self._operations.end()
        self._remember(out, ids, pruned.ids, new)
        return caller_prompt(out, ids, pruned.ids.shape[1])

    def _run(self, generate: Any, inputs: dict[str, Any]) -> Any:
        """`generate`, whose forward calls are ours."""
        if self._inner is not None or (self._operations is not None and self._operations.hooked):
            inputs = {**inputs, "disable_compile": True}  # hooks must run, and layers change length
        self._inside = True
        try:
            return generate(**inputs)
        finally:
            self._inside = False

    def _remember(self, out: Any, ids: Tensor, short: Tensor, inputs: dict[str, Any]) -> None:
        cache = getattr(out, "past_key_values", None)
        self._conversations.remember(inputs.get("past_key_values") if cache is None else cache, ids, short, inputs)

    def _check_one_prefill(self, given: dict[str, Any]) -> None:
        if size := setting(self.model, given, "prefill_chunk_size"):
            raise ValueError(
                f"pruning inside the model reads the whole prompt at once: no prefill_chunk_size, got {size}"
            )

    def _generate_inside(self, inner: LayerPruning, generate: Any, given: dict[str, Any]) -> Any:
        self._check_one_prefill(given)
        with torch.no_grad():
            new = inner.begin(given)
        try:
            out = self._run(generate, new)
        finally:
            stages = inner.end()
        self._note(stages)
        self._remember(out, given["input_ids"], given["input_ids"], new)
        return out

    def _before_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for hooks in (self._inner, self._operations):
            if hooks is not None:
                hooks.visual = bool(kwargs.get("mm_encoder_outputs"))
        if self._inside:
            return None
        names = inspect.signature(module.forward).parameters
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        self._restore, self._prompt, ids = None, None, given.get("input_ids")
        if self._conversations.go_on(given, first_layers_whole=self._inner is not None):
            return (), self._conversations.next_call(given)
        if not has_pixels(given):
            self._prompt = (ids, ids, given) if self._conversations.opens(given) else None
            return None
        if self._inner is not None:
            self._inner.visual = True
            new = self._inner.begin(given)
            self._prompt = (given["input_ids"], given["input_ids"], new)
            return (), new
        if given.get("return_dict") is False:
            raise ValueError(
                "return_dict=False is not served while pruning: logits could not be given back in full length"
            )
        pruned = self._prune(given)
        if self._operations is not None:
            self._operations.visual = True
        if pruned.shortened is not None:  # logits of single places are cut out afterwards, from the full length
            self._restore = (pruned, pruned.inputs.pop("logits_to_keep", 0))
        self._prompt = (given["input_ids"], pruned.ids, pruned.inputs)
        return (), pruned.inputs

    def _after_forward(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        if self._inside:
            return out
        if self._inner is not None:
            self._note(self._inner.end())
        if self._operations is not None:
            self._operations.end()
        if self._prompt is not None:
            self._remember(out, *self._prompt)
        if self._restore is None:
            return out
        (pruned, wanted), self._restore = self._restore, None
        logits = getattr(out, "logits", None)
        if logits is None or pruned.shortened is None:
            return out
        full = pruned.shortened.restore(logits)
        out.logits = full[:, slice(-wanted, None) if isinstance(wanted, int) else wanted]
        return out

"""Prune visual tokens between the projector and the language model: inputs in, shorter inputs out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter, adapter_for
from lmm_integration.adapters.layout import Kept, Modality
from lmm_integration.budget import budgets, check_keep
from lmm_integration.handover import hand_over
from lmm_integration.layer_tokens import refuse_inner
from lmm_integration.question import embedded_questions, questions
from lmm_integration.relevance.provider import reads_words
from lmm_integration.scene import Scene
from lmm_integration.sequence import PositionPolicy, Shortened
from lmm_integration.tokens import InputPruner, check_choice
from lmm_integration.units import BudgetScope, per_image, scope_of, units

KNOWN = frozenset({"relevance", "vision_attention", "text", "text_embeddings", "reencode"})


@dataclass(frozen=True)
class Pruned:
    """The shorter inputs, and what happened.

    Attributes
    ----------
    inputs : for `model(**inputs)` or `model.generate(**inputs)`.
    ids : (B, L') the shorter prompt.
    tokens : per image (n, kept), in the order of the placeholders.
    indices : per image, the kept tokens, int64 on the CPU, in reading order.
    seconds : what the selection took, without the vision tower.
    shortened : the map between the prompts; None when everything was kept.
    """

    inputs: dict[str, Any]
    ids: Tensor
    tokens: list[tuple[int, int]]
    indices: list[Tensor]
    seconds: float
    shortened: Shortened | None


def prune_inputs(
    model: Any,
    inputs: Mapping[str, Any],
    pruner: InputPruner,
    keep: int | float = 64,
    *,
    text: str | Sequence[str] | None = None,
    processor: Any = None,
    budget_scope: BudgetScope | None = None,
    adapter: Adapter | None = None,
) -> dict[str, Any]:
    """Run the vision tower, keep some of its tokens, and hand back inputs with a shorter prompt.

    A pure function: no hook, and neither the model nor `inputs` are changed. The language model sees a sequence, and
    builds a KV cache, that is really shorter, in every layer.

    Parameters
    ----------
    model : a model of transformers with `get_image_features`; LLaVA-1.5 and LLaVA-NeXT have adapters of their own.
    inputs : what a processor gives: (B, L) `input_ids`, `pixel_values`, and so on; rows may hold different numbers of
        images or none, and be padded on either side.
    pruner : the method, `DivPrune()` for instance.
    keep : int >= 1 tokens, or float in (0, 1] of the tokens, for each unit of `budget_scope`; a unit that has fewer
        keeps all of them.
    text : the question, one for all rows or one per row, for methods that read it.
    processor : where `text` is missing, the question is what this decodes behind the last image of a row.
    budget_scope : `"crop"`, `"image"` or `"sample"`, what gets a budget and is chosen from on its own; None is what the
        pruner declares, `"image"` unless it divides one budget over the images of a sample, as `TrimTokenatorLC`.
    adapter : how the model family lays out its tokens; None finds it by the model's type.

    Returns
    -------
    A new dict: `mm_encoder_outputs` in place of the pictures (before transformers 5.18 `inputs_embeds` in place of the
        ids, for which `generate` gives new tokens alone), every (B, L) tensor shortened (labels too), an explicit
    `attention_mask`, `position_ids` when the pruner's policy is to keep them. When nothing was dropped, the prompt is
    the caller's. Beam search expands `mm_encoder_outputs` in place: make the inputs anew for a second call.

    Raises
    ------
    ValueError : no image, a budget out of range, a missing question, placeholders and images that do not fit.
    TypeError : a model without a vision tower, a method that the model cannot serve, or one that works inside it.
    """
    scope = scope_of(pruner, budget_scope)
    found = run(model, inputs, pruner, keep, text=text, processor=processor, budget_scope=scope, adapter=adapter)
    return found.inputs


def run(
    model: Any,
    inputs: Mapping[str, Any],
    pruner: InputPruner,
    keep: int | float,
    *,
    text: str | Sequence[str] | None,
    processor: Any,
    budget_scope: BudgetScope,
    adapter: Adapter | None,
) -> Pruned:
    """`prune_inputs` with its particulars."""
    check_keep(keep)
    adapter = adapter or adapter_for(model)
    adapter.check(model)
    refuse_inner(pruner, model)
    requires = requirements(pruner)
    attention_layer = getattr(pruner, "layer", -2) if "vision_attention" in requires else None
    scene = Scene.read(model, inputs, adapter, attention_layer)
    relevance = getattr(pruner, "relevance", None) if "relevance" in requires else None
    by_words = relevance is not None and reads_words(relevance)
    prompt = (text, processor, scene.ids, adapter.placeholders(model), inputs.get("attention_mask"))
    asked = None
    if "text" in requires or (relevance is not None and not by_words):
        asked = questions(*prompt, pruner)
    embedded = embedded_questions(model, *prompt) if by_words or "text_embeddings" in requires else None
    with torch.no_grad():
        parts = units(scene.layouts, scene.samples, budget_scope, adapter.newline)
        k = budgets(keep, [len(unit.token) for unit in parts], [unit.sample for unit in parts])
        smaller = partial(adapter.reencode, model, inputs) if "reencode" in requires else None
        tokens = scene.tokens(
            parts, asked, relevance, lambda: adapter.patches(model, inputs, scene.output), embedded, smaller
        )
        started = time.perf_counter()
        choices = pruner.select(tokens, k)
        seconds = time.perf_counter() - started
        if len(choices) != len(parts):
            raise ValueError(f"{type(pruner).__name__}.select must give {len(parts)} choices, got {len(choices)}")
        chosen = [check_choice(c, n, m, pruner) for c, n, m in zip(choices, tokens.sizes, k, strict=True)]
    kept = per_image(parts, list(zip(chosen, choices, strict=True)), scene.layouts, scene.features, adapter.newline)
    new, ids, shortened = _rebuild(model, inputs, adapter, getattr(pruner, "position_policy", "repack"), scene, kept)
    return Pruned(
        inputs=new,
        ids=ids,
        tokens=[(len(old), len(image.indices)) for old, image in zip(scene.features, kept, strict=True)],
        indices=[image.indices for image in kept],
        seconds=seconds,
        shortened=shortened,
    )


def requirements(pruner: Any) -> frozenset[str]:
    """What a pruner declares to read beside the features; TypeError or ValueError when that cannot be given."""
    if not callable(getattr(pruner, "select", None)):
        raise TypeError(f"a pruner must have a method select(tokens, k), got {pruner!r}")
    requires = frozenset(getattr(pruner, "requires", frozenset()))
    if unknown := requires - KNOWN:
        raise ValueError(f"{type(pruner).__name__} requires {sorted(unknown)}; there are {sorted(KNOWN)}")
    if "relevance" in requires and getattr(pruner, "relevance", None) is None:
        raise ValueError(
            f"{type(pruner).__name__} needs a relevance tower: pass relevance=, a ClipRelevance or SiglipRelevance, or "
            "an EmbeddingRelevance, which needs no tower"
        )
    return requires


def _rebuild(
    model: Any, inputs: Mapping[str, Any], adapter: Adapter, policy: PositionPolicy, scene: Scene, kept: list[Kept]
) -> tuple[dict[str, Any], Tensor, Shortened | None]:
    consumed = adapter.vision_inputs(model)
    new = {name: value for name, value in inputs.items() if name not in consumed}
    positions = adapter.positions(model, inputs)
    if positions is not None:  # the pictures' sizes, from which the model would take them, are consumed
        new.pop("position_ids", None)
        policy = "repack"
    shortened = None
    if any(len(image.indices) < len(old) for old, image in zip(scene.features, kept, strict=True)):
        shortened = Shortened(scene.ids, inputs.get("attention_mask"), scene.places, [image.indices for image in kept])
        pad = model.config.get_text_config().pad_token_id
        new = shortened.inputs(new, 0 if pad is None else pad, policy)
    if positions is not None:
        new["position_ids"] = positions if shortened is None else shortened.multimodal_positions(positions)
    ids = new["input_ids"]
    encoded: dict[Modality, Any] = {}
    for modality, output in scene.outputs.items():
        pictures = [picture for picture, kind in zip(kept, scene.kinds, strict=True) if kind == modality]
        if any(len(picture.indices) for picture in pictures):
            encoded[modality] = adapter.packed(model, output, pictures)
    placeholders = {modality: adapter.placeholder(model, modality) for modality in encoded}
    new = hand_over(model, new, encoded, placeholders)
    return new, ids, shortened

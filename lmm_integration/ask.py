"""One question about one picture, answered with all visual tokens and with some of them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmm_integration.budget import check_keep
from lmm_integration.context import prune


@dataclass(frozen=True)
class Answers:
    """What a model says with and without pruning.

    Attributes
    ----------
    full, pruned : the answers.
    tokens : per image (n, kept).
    indices : per image the kept tokens.
    seconds_full, seconds_pruned : of `generate`, vision tower included; of one run each, so a first impression only.
    seconds_selection : the part of the latter that chose the tokens.
    """

    full: str
    pruned: str
    tokens: tuple[tuple[int, int], ...]
    indices: list[Tensor]
    seconds_full: float
    seconds_pruned: float
    seconds_selection: float


def prompt_for(processor: Any, question: str, images: int = 1) -> str:
    """The model's own chat template around the pictures and the question, or, without one, that of LLaVA-1.5."""
    if getattr(processor, "chat_template", None):
        content = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": question}]
        text: str = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return text
    picture = getattr(processor, "image_token", "<image>")
    return f"USER: {picture * images}\n{question} ASSISTANT:"


def ask(
    model: Any,
    processor: Any,
    image: Any,
    question: str,
    pruner: Any,
    keep: int | float,
    *,
    max_new_tokens: int = 32,
) -> Answers:
    """Answer twice, greedily: unpruned, then through `prune`.

    Parameters
    ----------
    image : a PIL picture.
    question : plain text.
    pruner, keep : as for `prune`.
    """
    check_keep(keep)
    inputs = to_model(processor(images=image, text=prompt_for(processor, question), return_tensors="pt"), model)

    def answer() -> tuple[str, float]:
        started = time.perf_counter()
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=max_new_tokens, do_sample=False)
        seconds = time.perf_counter() - started
        words = processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return words.strip(), seconds

    full, seconds_full = answer()
    with prune(model, pruner, keep=keep, text=question, processor=processor) as pruning:
        pruned, seconds_pruned = answer()
    return Answers(
        full=full,
        pruned=pruned,
        tokens=pruning.stats.tokens,
        indices=pruning.last_indices,
        seconds_full=seconds_full,
        seconds_pruned=seconds_pruned,
        seconds_selection=pruning.stats.seconds,
    )


def to_model(inputs: Any, model: Any) -> Any:
    """Inputs on the model's device, pixels in its type."""
    inputs = inputs.to(model.device)
    for name, value in inputs.items():
        if isinstance(value, Tensor) and value.is_floating_point():
            inputs[name] = value.to(model.dtype)
    return inputs

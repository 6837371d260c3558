"""Checks inside a small LLaVA with random weights: the sequence, the cache and the work really get smaller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from lmm_integration.conformance.outcome import BreachError, NotApplicableError
from lmm_integration.context import prune
from lmm_integration.operation_pruner import checked_depths, prunes_operations

IMAGE, PAD, SIDE, WORDS = 95, 0, 8, 100
KEEP = 12
Model = Any


def small_llava() -> Model:
    """(CLIP tower, 8 x 8 patches; 6 layers of Llama), the same weights each time; torch's random state is kept."""
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        image_size=14 * SIDE,
        patch_size=14,
        initializer_range=0.3,
    )
    text = LlamaConfig(
        vocab_size=WORDS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=6,
        num_attention_heads=4,
        pad_token_id=PAD,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_id=IMAGE, image_seq_length=SIDE * SIDE)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = LlavaForConditionalGeneration(config).eval()
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = None
    model.generation_config.suppress_tokens = [IMAGE]  # random weights would write placeholders
    return model


def prompts() -> dict[str, Tensor]:
    """Two rows with one picture each, questions of different length, padded on the left."""
    generator = torch.Generator().manual_seed(1)
    rows = [[1, 7, *[IMAGE] * SIDE * SIDE, 8, 9, 10, 11], [1, *[IMAGE] * SIDE * SIDE, 12, 13]]
    width = max(map(len, rows))
    return {
        "input_ids": torch.tensor([[PAD] * (width - len(row)) + row for row in rows]),
        "attention_mask": torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows]),
        "pixel_values": torch.randn(2, 3, 14 * SIDE, 14 * SIDE, generator=generator),
    }


def everything_kept(pruner: Any, model: Model) -> str:
    """keep = 1.0 is the unpruned model, bit for bit."""
    depth = model.config.text_config.num_hidden_layers
    if prunes_operations(pruner) and checked_depths(pruner, depth) != (depth, depth):
        raise NotApplicableError("tokens that are kept skip operations of deeper layers")
    inputs = prompts()
    with torch.no_grad():
        plain = model(**inputs).logits
        with prune(model, pruner, keep=1.0, text="what?", processor=None):
            kept = model(**inputs).logits
    if not torch.equal(plain, kept):
        raise BreachError(f"logits differ by up to {float((plain - kept).abs().max()):.3g} when every token is kept")
    return "logits are equal bit for bit"


def shorter_cache(pruner: Any, model: Model) -> str:
    """The KV cache is shorter in some layer, and longer in none."""
    inputs = prompts()
    layers = range(model.config.text_config.num_hidden_layers)
    with torch.no_grad():
        plain = model(**inputs, use_cache=True).past_key_values
        with prune(model, pruner, keep=KEEP, text="what?"):
            cache = model(**inputs, use_cache=True).past_key_values
    before, after = ([c.get_seq_length(layer) for layer in layers] for c in (plain, cache))
    if any(b > a for a, b in zip(before, after, strict=True)) or after == before:
        raise BreachError(f"cache lengths by layer are {after}, unpruned {before}")
    return f"cache lengths by layer {after}, unpruned {before}"


def less_work(pruner: Any, model: Model) -> str:
    """A forward call does fewer floating-point operations, vision tower and selection counted."""
    inputs = prompts()
    with torch.no_grad():
        plain = _flops(lambda: model(**inputs))
        with prune(model, pruner, keep=KEEP, text="what?"):
            pruned = _flops(lambda: model(**inputs))
    if not pruned < plain:
        raise BreachError(f"{pruned:,} floating-point operations, unpruned {plain:,}")
    return f"{pruned / plain:.0%} of the operations of the unpruned model, tower included"


def same_with_cache(pruner: Any, model: Model) -> str:
    """Greedy decoding with and without the cache writes the same words behind the caller's own prompt."""
    inputs = prompts()
    with prune(model, pruner, keep=KEEP, text="what?"):
        written = [
            model.generate(**inputs, max_new_tokens=4, do_sample=False, use_cache=cached) for cached in (True, False)
        ]
    if not torch.equal(*written):
        raise BreachError("decoding without the cache writes other words")
    if not torch.equal(written[0][:, : inputs["input_ids"].shape[1]], inputs["input_ids"]):
        raise BreachError("the answer does not begin with the caller's prompt")
    return "the same words with and without the cache"


def _flops(call: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


CHECKS: tuple[Callable[[Any, Model], str], ...] = (everything_kept, shorter_cache, less_work, same_with_cache)

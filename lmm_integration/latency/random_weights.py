"""A model of a published shape with random weights: as fast and as large as the trained one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from lmm_integration.latency.architectures import config_of, relevance_config
from lmm_integration.relevance import ClipRelevance

SMALL = 0.02


def empty_model(config: Any) -> Any:
    """The model of a config on the meta device: shapes, and no memory."""
    import transformers as hf

    with torch.device("meta"):
        return hf.AutoModelForImageTextToText.from_config(config)


def count_weights(name: str) -> int:
    """Parameters of an architecture; nothing is allocated.

    >>> count_weights("tiny")
    1981184
    """
    return sum(p.numel() for p in empty_model(config_of(name)).parameters())


def random_model(name: str, *, dtype: torch.dtype, device: str, seed: int = 0) -> Any:
    """An architecture of `ARCHITECTURES` with normal weights, filled in place on the device; nothing is downloaded.

    Standard deviations, of the size that trained checkpoints have and that keeps every state finite:

    * linear and convolution weights: 1 / sqrt(inputs), 0.016 in a decoder of width 4096 and 0.031 in CLIP ViT-L;
    * embeddings (words, positions, the class token, newlines) and all biases: 0.02;
    * gains of norms: 0.02 around 1.

    Never zeros: kernels and clocks of a card are faster on them. Says nothing about answers.
    """
    return filled(empty_model(config_of(name)), dtype=dtype, device=device, seed=seed)


def random_relevance(model: Any, *, seed: int = 1) -> ClipRelevance:
    """A CLIP text tower of the size of ViT-L's with random weights, which fits the vision tower of `model`."""
    import transformers as hf

    with torch.device("meta"):
        clip = hf.CLIPModel(relevance_config(model.config))
    return ClipRelevance(
        clip=filled(clip, dtype=model.dtype, device=str(model.device), seed=seed), tokenizer=OneIdPerWord()
    )


class OneIdPerWord:
    """Stands in for CLIP's tokenizer, of which only the number of words matters to a clock."""

    bos_token_id, eos_token_id = 49406, 49407

    def __call__(self, text: str, add_special_tokens: bool = False) -> Any:
        """`input_ids`, one for each word."""
        from types import SimpleNamespace

        return SimpleNamespace(input_ids=[1 + sum(word.encode()) % 40000 for word in text.split()])


@torch.no_grad()
def filled(model: Any, *, dtype: torch.dtype, device: str, seed: int) -> Any:
    """A model on the meta device, brought to memory; buffers as its constructor would have made them, in their own type."""
    generator = torch.Generator(device).manual_seed(seed)
    done: dict[nn.Parameter, nn.Parameter] = {}
    _make_buffers(model, model, device)
    for module in model.modules():
        for name, empty in list(module._parameters.items()):
            if empty is None:
                continue
            if empty not in done:
                values = torch.empty(empty.shape, dtype=dtype, device=device)
                mean, std = _scale(module, name, empty)
                done[empty] = nn.Parameter(values.normal_(mean, std, generator=generator), requires_grad=False)
            module._parameters[name] = done[empty]
    model.config.dtype = dtype
    return model.eval()


def _make_buffers(module: nn.Module, owner: Any, device: str) -> None:
    """In memory, with their values; `owner` is the nearest model above, which knows how its modules begin."""
    owner = module if hasattr(module, "_init_weights") else owner
    for name, buffer in list(module._buffers.items()):
        module._buffers[name] = None if buffer is None else torch.empty_like(buffer, device=device)
    if module._buffers:
        owner._init_weights(module)  # its parameters are still without memory, so this is about the buffers
    for child in module.children():
        _make_buffers(child, owner, device)


def _scale(module: nn.Module, name: str, weight: nn.Parameter) -> tuple[float, float]:
    """Mean and standard deviation of a parameter."""
    if isinstance(module, nn.Linear | nn.Conv2d) and name == "weight":
        return 0.0, (weight.numel() / len(weight)) ** -0.5
    return (1.0 if name == "weight" and "Norm" in type(module).__name__ else 0.0), SMALL

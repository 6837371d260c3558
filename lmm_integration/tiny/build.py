"""The towers and the language model of the tiny LLaVA, untrained."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from lmm_integration.tiny.pictures import GRID, PATCH, SIDE, TOKENS
from lmm_integration.tiny.words import SPECIAL, WORDS

WIDTH, VISION_LAYERS, LAYERS, HEADS = 128, 5, 8, 4
JOINT = 64  # width of the space that pictures and texts share
LONGEST = 8192  # positions: sixteen pictures and their question


def clip_model() -> Any:
    """A `CLIPModel`: 256 patches and a CLS token on one side, the words of the questions on the other.

    The position table starts as two-dimensional sines and cosines, so that neighbourhoods are found early.
    """
    from transformers import CLIPConfig, CLIPModel

    ids = {word: i for i, word in enumerate(SPECIAL)}
    vision = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": VISION_LAYERS,
        "num_attention_heads": HEADS,
        "image_size": SIDE,
        "patch_size": PATCH,
        "projection_dim": JOINT,
        "hidden_act": "gelu",
    }
    text = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 96,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": HEADS,
        "projection_dim": JOINT,
        "max_position_embeddings": 32,
        "bos_token_id": ids["<s>"],
        "eos_token_id": ids["</s>"],
        "pad_token_id": ids["<pad>"],
        "hidden_act": "gelu",
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=JOINT))
    with torch.no_grad():
        model.vision_model.embeddings.position_embedding.weight[1:] = _waves()
    return model


def _waves() -> Tensor:
    quarter = WIDTH // 4
    rates = 1.5 / 40 ** (torch.arange(quarter) / quarter)
    y, x = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    y, x = (axis.flatten().float()[:, None] * rates for axis in (y, x))
    return 0.3 * torch.cat([y.sin(), y.cos(), x.sin(), x.cos()], dim=1)


def llava_model(clip: Any) -> Any:
    """A `LlavaForConditionalGeneration` around the vision tower of a `CLIPModel`, whose weights it takes.

    Matrices of projector and decoder start with entries of size 1/sqrt(width), not 0.02, which suits a width of
    4096: at 128 attention would start flat and learning next to a saddle.
    """
    from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    ids = {word: i for i, word in enumerate(SPECIAL)}
    text = LlamaConfig(
        vocab_size=len(SPECIAL) + len(WORDS),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=LONGEST,
        bos_token_id=ids["<s>"],
        eos_token_id=ids["</s>"],
        pad_token_id=ids["<pad>"],
        tie_word_embeddings=False,
    )
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=clip.config.vision_config,
            text_config=text,
            image_token_id=ids["<image>"],
            image_seq_length=TOKENS,
            vision_feature_layer=-2,
            vision_feature_select_strategy="default",
            tie_word_embeddings=False,
        )
    )
    with torch.no_grad():
        for part in (model.model.language_model, model.model.multi_modal_projector, model.lm_head):
            for name, weight in part.named_parameters():
                if weight.ndim == 2:
                    spread = 0.5 if "embed_tokens" in name else weight.shape[1] ** -0.5
                    closing = name.endswith(("o_proj.weight", "down_proj.weight"))
                    weight.normal_(0, spread * ((2 * LAYERS) ** -0.5 if closing else 1.0))
    model.generation_config.eos_token_id, model.generation_config.pad_token_id = ids["</s>"], ids["<pad>"]
    take_tower(model, clip)
    return model


def take_tower(llava: Any, clip: Any) -> None:
    """Copy the vision weights of a `CLIPModel` into a LLaVA."""
    tower: nn.Module = llava.model.vision_tower
    inner = getattr(tower, "vision_model", tower)
    inner.load_state_dict(clip.vision_model.state_dict())

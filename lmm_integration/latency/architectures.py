"""Shapes of published models, written down, so that they can be built without a download."""

from __future__ import annotations

from typing import Any

CLIP_L_336 = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "projection_dim": 768,
    "image_size": 336,
    "patch_size": 14,
}
CLIP_L_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
CLIP_SMALL_TEXT = CLIP_L_TEXT | {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2}
CLIP_SMALL_TEXT |= {"num_attention_heads": 4, "projection_dim": 64}
VICUNA = {"vocab_size": 32064, "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "pad_token_id": 32001}
VICUNA_7B = VICUNA | {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
VICUNA_13B = VICUNA | {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}
IMAGE = {"image_token_id": 32000, "vision_feature_layer": -2, "vision_feature_select_strategy": "default"}
PINPOINTS = [[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]]

ARCHITECTURES = {  #: name -> (class of the config, vision, decoder, the rest, what it is)
    "llava-1.5-7b": ("LlavaConfig", CLIP_L_336, VICUNA_7B, IMAGE | {"image_seq_length": 576}, "llava-1.5-7b-hf"),
    "llava-1.5-13b": ("LlavaConfig", CLIP_L_336, VICUNA_13B, IMAGE | {"image_seq_length": 576}, "llava-1.5-13b-hf"),
    "llava-next-7b": (
        "LlavaNextConfig",
        CLIP_L_336,
        VICUNA_7B,
        IMAGE | {"image_grid_pinpoints": PINPOINTS, "image_seq_length": 576},
        "llava-v1.6-vicuna-7b-hf",
    ),
    "tiny": (
        "LlavaConfig",
        CLIP_L_336
        | {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
        | {"image_size": 112},
        VICUNA
        | {"vocab_size": 512, "pad_token_id": 0, "hidden_size": 128, "intermediate_size": 344}
        | {"num_hidden_layers": 8, "num_attention_heads": 4},
        IMAGE | {"image_token_id": 511, "image_seq_length": 64},
        "of no publication: 8 layers of width 128 and 64 visual tokens, to try things out",
    ),
}


def config_of(name: str) -> Any:
    """The config of an architecture, a `LlavaConfig` or `LlavaNextConfig`.

    Raises
    ------
    ValueError : a name that `ARCHITECTURES` does not have.

    >>> config_of("llava-1.5-7b").text_config.num_hidden_layers
    32
    """
    import transformers as hf

    if name not in ARCHITECTURES:
        raise ValueError(f"there are random weights for {', '.join(ARCHITECTURES)}, got {name!r}")
    kind, vision, text, rest, _ = ARCHITECTURES[name]
    return getattr(hf, kind)(
        vision_config=hf.CLIPVisionConfig(**vision),
        text_config=hf.LlamaConfig(**text),
        **rest,
        tie_word_embeddings=False,
    )


def relevance_config(model_config: Any) -> Any:
    """Of the CLIP whose text half goes with the vision tower of a config; its own vision half has one layer alone.

    Relevance takes the projection and the last norm from it, and the states from the model's tower.
    """
    import transformers as hf

    seen = model_config.vision_config
    text = CLIP_L_TEXT if seen.hidden_size == CLIP_L_336["hidden_size"] else CLIP_SMALL_TEXT
    shared = ("hidden_size", "intermediate_size", "num_attention_heads", "image_size", "patch_size")
    vision = {name: getattr(seen, name) for name in shared} | {"num_hidden_layers": 1}
    return hf.CLIPConfig(
        text_config=text,
        vision_config=vision | {"projection_dim": text["projection_dim"]},
        projection_dim=text["projection_dim"],
    )

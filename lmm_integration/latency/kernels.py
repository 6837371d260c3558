"""The unpruned baselines: which attention runs, and whether the decoder is compiled."""

from __future__ import annotations

from typing import Any

import torch

KERNELS = ("sdpa", "eager", "flash_attention_2", "compile")


def check_kernels(names: list[str]) -> None:
    """ValueError for a name that is not in `KERNELS`."""
    for name in names:
        if name not in KERNELS:
            raise ValueError(f"a baseline must be one of {', '.join(KERNELS)}, got {name!r}")


def why_not(kernel: str, model: Any) -> str | None:
    """Why a kernel cannot run here, as far as can be told without running it; None where it may."""
    where = torch.device(model.device).type
    if kernel == "compile" and where != "cuda":
        return f"transformers compiles the decoding step on accelerators alone, and the model is on {where}"
    if kernel != "flash_attention_2":
        return None
    from transformers.utils import is_flash_attn_2_available

    if where != "cuda":
        return f"flash attention runs on cuda, and the model is on {where}"
    if not is_flash_attn_2_available():
        return "flash-attn is not installed, or not for this device"
    if model.dtype not in (torch.float16, torch.bfloat16):
        return (
            f"flash attention takes float16 and bfloat16, and the model is in {str(model.dtype).removeprefix('torch.')}"
        )
    return None


def switch(model: Any, kernel: str) -> dict[str, Any]:
    """Put the model on a kernel; returns what `generate` must be told.

    "compile" is sdpa with a static cache, for which `generate` compiles the decoding step by `torch.compile`.
    """
    attention = "sdpa" if kernel == "compile" else kernel
    if model.config._attn_implementation != attention:
        model.set_attn_implementation(attention)
    return {"cache_implementation": "static"} if kernel == "compile" else {}

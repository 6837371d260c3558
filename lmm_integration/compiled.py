"""Whether `torch.compile` was applied to a module, in any of its three ways."""

from __future__ import annotations

from typing import Any


def is_compiled(module: Any) -> bool:
    """`torch.compile(module)`, `module.compile()`, or `module.forward = torch.compile(module.forward)`."""
    forward = getattr(module, "__dict__", {}).get("forward")
    return (
        hasattr(module, "_orig_mod")
        or getattr(module, "_compiled_call_impl", None) is not None
        or hasattr(forward, "_torchdynamo_orig_callable")
    )

"""The raw doors as operators of torch (``torch.ops.mmdp``): a compiled model selects without a graph break."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Kernel = TypeVar("Kernel", bound=Callable[..., Tensor])
LIBRARY: Any = torch.library.Library("mmdp", "FRAGMENT")  # type: ignore[no-untyped-call]


def operator(schema: str, kernel: Kernel) -> Kernel:
    """Register a function (B, ...), ..., int width, bool check -> (B, width) int64 under the name in `schema`.

    To the compiler it is opaque: it knows the shape of the answer and runs the function as it is, on any device. The
    answer holds indices, so nothing is differentiated. (`torch.library.custom_op` would do the same at four times the
    cost of a call.)
    """
    name = schema.partition("(")[0]
    LIBRARY.define(schema)
    LIBRARY.impl(name, torch.no_grad()(kernel), "CompositeExplicitAutograd")
    torch.library.register_fake(f"mmdp::{name}", _shape, lib=LIBRARY)
    return cast(Kernel, getattr(torch.ops.mmdp, name).default)


def nothing_chosen(tokens: Tensor, width: int) -> Tensor:
    """(B, width) of -1."""
    return torch.full((tokens.shape[0], width), -1, dtype=torch.int64, device=tokens.device)


def _shape(tokens: Tensor, *arguments: Any) -> Tensor:
    return tokens.new_empty((tokens.shape[0], arguments[-2]), dtype=torch.int64)

"""The frame of every raw door on tensors: what the host knows is checked there, and nothing waits for a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8)


class Frame(NamedTuple):
    """The arguments of a raw door, a batch axis put in front.

    Attributes
    ----------
    tokens : by name, (B, n, d), or (B, H, n, d) for doors with heads.
    weights : by name, (B, n).
    valid : (B, n) booleans, or None for all.
    budgets : (B,) int64 on the device of the tokens, or None where every row keeps `width`.
    width : columns of the answer.
    check : whether values are looked at, which costs a wait for the device.
    single : one sample without a batch axis came in, so one goes out.
    """

    tokens: dict[str, Tensor]
    weights: dict[str, Tensor]
    valid: Tensor | None
    budgets: Tensor | None
    width: int
    check: bool
    single: bool

    def finish(self, chosen: Tensor) -> Tensor:
        """The answer in the shape of the question."""
        return chosen[0] if self.single else chosen


def frame(
    k: Any,
    valid: Tensor | None,
    width: int | None,
    check: bool | None,
    *,
    tokens: Mapping[str, Tensor],
    weights: Mapping[str, Tensor | None] | None = None,
    heads: bool = False,
) -> Frame:
    """Check types, shapes, devices and what is known of the budgets.

    Parameters
    ----------
    k : int >= 0, a list of them, or a tensor of whole numbers, one or (B,).
    valid : (n,) or (B, n) booleans, or None.
    width : columns of the answer where `k` is a tensor; None reads the largest budget, a wait where it is on a device.
    check : True, False, or None for "where it costs no wait", that is on the CPU.
    tokens, weights, heads : as in `solvers.batching.Batch.of`; always tensors here.
    """
    first, lead = next(iter(tokens.items()))
    for name, tensor in tokens.items():
        _check_tensor(name, tensor, lead.device if isinstance(lead, Tensor) else None)
        if tensor.ndim not in ((2, 3, 4) if heads else (2, 3)):
            allowed = "2-D, 3-D or 4-D" if heads else "2-D or 3-D"
            raise ValueError(f"{name} must be {allowed}, got shape {tuple(tensor.shape)}")
        if tensor.dtype != lead.dtype:
            raise TypeError(f"{first} and {name} must have one dtype, got {lead.dtype} and {tensor.dtype}")
        if tensor.shape[:-1] != lead.shape[:-1]:
            raise ValueError(
                f"{first} and {name} must agree up to the width, "
                f"got shapes {tuple(lead.shape)} and {tuple(tensor.shape)}"
            )
        if tensor.shape[-1] < 1 or (tensor.ndim == 4 and tensor.shape[1] < 1):
            what = "column" if tensor.shape[-1] < 1 else "head"
            raise ValueError(f"{name} must have at least one {what}, got shape {tuple(tensor.shape)}")
    single = lead.ndim == 2
    per_token = (lead.shape[-2],) if single else (lead.shape[0], lead.shape[-2])
    given = {name: tensor for name, tensor in (weights or {}).items() if tensor is not None}
    for name, tensor in given.items():
        _check_tensor(name, tensor, lead.device)
    if valid is not None:
        if not isinstance(valid, Tensor) or valid.dtype != torch.bool:
            raise TypeError(f"valid must be a tensor of booleans, got {_kind(valid)}")
        _check_device("valid", valid, lead.device)
    for name, tensor in {**given, **({} if valid is None else {"valid": valid})}.items():
        if tuple(tensor.shape) != tuple(per_token):
            raise ValueError(f"{name} must have shape {tuple(per_token)}, got {tuple(tensor.shape)}")
    samples = 1 if single else lead.shape[0]
    budgets, most = _budgets(k, samples, single, width, lead.device)
    return Frame(
        {name: tensor.detach()[None] if single else tensor.detach() for name, tensor in tokens.items()},
        {name: tensor.detach()[None] if single else tensor.detach() for name, tensor in given.items()},
        valid[None] if single and valid is not None else valid,
        budgets,
        most,
        lead.device.type == "cpu" if check is None else check,
        single,
    )


def with_heads(tokens: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
    """The tokens as (B, H, n, d), one head where there is no such axis."""
    return tuple(part if part.ndim == 4 else part[:, None] for part in tokens.values())


def per_sample(values: Any, name: str, samples: int, single: bool, device: torch.device) -> Tensor:
    """One whole number, or one for each sample, as a (B,) int64 tensor on the device."""
    if isinstance(values, Tensor):
        if values.dtype not in WHOLE:
            raise TypeError(f"{name} must be whole numbers, got dtype {values.dtype}")
        shape = tuple(values.shape)
        numbers = values.to(device=device, dtype=torch.int64, non_blocking=True)
    elif isinstance(values, list | tuple):
        if not all(_is_whole(value) for value in values):
            raise TypeError(f"{name} must be whole numbers, got {values!r}")
        shape = (len(values),)
        numbers = torch.tensor(values, dtype=torch.int64).to(device, non_blocking=True)
    else:
        if not _is_whole(values):
            raise TypeError(f"{name} must be whole numbers, got {values!r}")
        shape = ()
        numbers = torch.full((samples,), int(values), dtype=torch.int64, device=device)  # a fill: nothing is copied
    if shape and (single or len(shape) != 1 or shape[0] != samples):
        raise ValueError(f"{name} must be one number{'' if single else f' or {samples}'}, got shape {shape}")
    return numbers.reshape(-1).expand(samples).contiguous()


def rows_to_keep(width: int, budgets: Tensor | None, valid: Tensor | None, like: Tensor) -> Tensor:
    """(B,) how many tokens each sample keeps: its budget, at most its valid tokens; `like` is (B, n)."""
    samples, n = like.shape
    limit = torch.full((samples,), n, device=like.device) if valid is None else valid.sum(1)
    return limit.clamp(max=width) if budgets is None else torch.minimum(limit, budgets).clamp(min=0)


def lowest_best(score: Tensor) -> Tensor:
    """(B, 1) index of the largest score of each row, ties to the lowest index; `argmax` promises no order of ties."""
    n = score.shape[1]
    index = torch.arange(n, device=score.device)
    return torch.where(score == score.amax(1, keepdim=True), index, n).amin(1, keepdim=True).clamp(max=n - 1)


def refuse_bad_values(name: str, tensor: Tensor, valid: Tensor | None, *, weight: bool = False) -> None:
    """ValueError for a value of a valid token that is not finite, or a weight below 0. Waits for the device."""
    fine = torch.isfinite(tensor)
    if weight:
        fine &= tensor >= 0
    if valid is not None:
        fine |= ~(valid if weight else valid[(slice(None), *([None] * (tensor.ndim - 3)), slice(None), None)])
    if not bool(fine.all()):
        sample, *where = (int(i) for i in (~fine).nonzero()[0])
        wanted = "finite and >= 0" if weight else "finite"
        got = tensor[(sample, *where)].item()
        raise ValueError(f"{name} must be {wanted}, got {got} at index {tuple(where)} of sample {sample}")


def refuse_bad_budgets(budgets: Tensor | None, width: int) -> None:
    """ValueError for a budget outside 0 .. width. Waits for the device."""
    if budgets is not None and len(budgets):
        least, most = (int(bound) for bound in torch.aminmax(budgets))
        if least < 0:
            raise ValueError(f"k must be >= 0, got {least}")
        if most > width:
            raise ValueError(f"k must be at most width = {width}, got {most}")


def refuse_bad_token(name: str, token: Tensor | None, valid: Tensor | None, n: int) -> None:
    """ValueError for a (B,) token that is padding or out of range. Waits for the device."""
    if token is None or not len(token):
        return
    good = (token >= 0) & (token < n)
    if valid is not None and n:
        good &= valid.gather(1, token.clamp(0, n - 1)[:, None])[:, 0]
    if not bool(good.all()):
        sample = int((~good).nonzero()[0])
        got = int(token[sample])
        raise ValueError(f"{name} must be a valid token, between 0 and {n - 1}, got {got} in sample {sample}")


def _budgets(k: Any, samples: int, single: bool, width: int | None, device: torch.device) -> tuple[Tensor | None, int]:
    """((B,) budgets or None, width). A tensor of budgets is read only to find a width that was not given."""
    if width is not None:
        if not _is_whole(width):
            raise TypeError(f"width must be a whole number, got {width!r}")
        if width < 0:
            raise ValueError(f"width must be >= 0, got {width}")
    budgets: Tensor | None = None
    if isinstance(k, Tensor):
        if width is None:
            width = max(int(k.max()), 0) if k.numel() else 0
        return per_sample(k, "k", samples, single, device), width
    if isinstance(k, list | tuple):
        budgets = per_sample(k, "k", samples, single, device)
        least, most = (min(k), max(k)) if k else (0, 0)
    elif _is_whole(k):
        if width is not None and width != k:
            budgets = per_sample(k, "k", samples, single, device)
        least = most = int(k) if isinstance(k, np.integer) else k
    else:
        raise TypeError(f"k must be whole numbers, got {k!r}")
    if least < 0:
        raise ValueError(f"k must be >= 0, got {least}")
    if width is not None and most > width:
        raise ValueError(f"k must be at most width = {width}, got {most}")
    return budgets, most if width is None else width


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer | torch.SymInt) and not isinstance(value, bool)


def _check_tensor(name: str, tensor: Any, device: torch.device | None) -> None:
    if not isinstance(tensor, Tensor) or tensor.dtype not in FLOATS:
        raise TypeError(f"{name} must be a tensor of floats, got {_kind(tensor)}")
    _check_device(name, tensor, device)


def _check_device(name: str, tensor: Tensor, device: torch.device | None) -> None:
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device} like the other tensors, got {tensor.device}")


def _kind(value: Any) -> str:
    return f"dtype {value.dtype}" if isinstance(value, Tensor) else type(value).__name__

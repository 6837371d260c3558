"""Single operations of visual tokens skipped in any layers, by masks: for studies. Nothing is saved."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmm_integration.decoder.operation_rows import KERNELS
from lmm_integration.decoder.support import decoder_of


@dataclass
class _Call:
    """The forward call under way: which keys are no visual tokens, (B, past + n) bool, and where its own n begin."""

    text: Tensor
    past: int


@contextmanager
def masked_operations(
    model: Any, visual: Tensor, *, attention: Collection[int] = (), mlp: Collection[int] = ()
) -> Iterator[None]:
    """Inside, visual tokens take no part in the attention of some layers and in the MLPs of others.

    What depth policies do to a prompt, layer by layer and in any combination: nothing reads visual tokens in the
    attention of a layer in `attention`, neither it nor an MLP of a layer in `mlp` adds anything to them. Sequence,
    cache and work are those of the whole prompt.

    Parameters
    ----------
    visual : (B, L) bool, where visual tokens stand in the prompts that are called inside.
    attention, mlp : layers, counted from 0.

    Raises
    ------
    ValueError : an attention kernel that takes no free mask.
    """
    decoder = decoder_of(model, reads_attention=False)
    if (kernel := decoder.config._attn_implementation) not in KERNELS:
        raise ValueError(f"masked operations need attention by {' or '.join(KERNELS)}, got {kernel!r}")
    calls: list[_Call] = []

    def enter(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(inspect.signature(module.forward).parameters, args, strict=False)), **kwargs}
        states, cache, mask = given["inputs_embeds"], given.get("past_key_values"), given.get("attention_mask")
        if states is None:
            states = given["input_ids"][..., None]
        past = 0 if cache is None else int(cache.get_seq_length())
        total = past + states.shape[1]
        behind = visual.new_zeros(len(visual), total - visual.shape[1])
        text = ~torch.cat([visual, behind], dim=1).to(states.device)
        calls[:] = [_Call(text if mask is None else text & mask[:, :total].bool(), past)]

    def hide(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        (call,) = calls
        states = args[0] if args else kwargs["hidden_states"]
        total = call.text.shape[1]
        columns = torch.arange(total, device=states.device)
        allowed = (columns <= columns[call.past :, None]) & call.text[:, None]
        least = torch.finfo(states.dtype).min
        mask = torch.zeros_like(allowed, dtype=states.dtype).masked_fill(~allowed, least)
        return args, {**kwargs, "attention_mask": mask[:, None]}

    def nothing_for_visual(module: Any, args: Any, out: Any) -> Any:
        (call,) = calls
        skipped = ~call.text[:, call.past :, None]
        if isinstance(out, tuple):
            return out[0].masked_fill(skipped, 0), *out[1:]
        return out.masked_fill(skipped, 0)

    with ExitStack() as undo:
        undo.callback(decoder.register_forward_pre_hook(enter, with_kwargs=True).remove)
        for index in attention:
            module = decoder.layers[index].self_attn
            undo.callback(module.register_forward_pre_hook(hide, with_kwargs=True).remove)
            undo.callback(module.register_forward_hook(nothing_for_visual).remove)
        for index in mlp:
            undo.callback(decoder.layers[index].mlp.register_forward_hook(nothing_for_visual).remove)
        yield

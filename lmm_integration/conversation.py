"""Going on behind a pruned prompt: what the caller counts in his own, put in the terms of the cache."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter
from lmm_integration.generation import generation_lengths
from lmm_integration.scene import has_pixels


@dataclass(frozen=True)
class Turn:
    """The prompt that filled a cache.

    Attributes
    ----------
    ids : (B, L), the caller's.
    short : (B, w), as the first layer of the cache holds it; `ids` where tokens went inside the model only.
    valid : (B, w), nonzero for real tokens.
    positions : (B, w) or (axes, B, w) of `short`, where they say more than its order.
    """

    ids: Tensor
    short: Tensor
    valid: Tensor
    positions: Tensor | None

    def repeated(self, every: int) -> Turn:
        """For a cache in which each row stands several times, as after sampling several sequences."""
        parts = (part.repeat_interleave(every, 0) for part in (self.ids, self.short, self.valid))
        positions = self.positions
        return Turn(*parts, None if positions is None else positions.repeat_interleave(every, -2))

    def behind(self, written: Tensor) -> Tensor | None:
        """Positions of the (B, c) columns behind the prompt, nonzero for real tokens: each axis counts on by one."""
        if self.positions is None:
            return None
        columns = torch.arange(self.valid.shape[1], device=self.valid.device)
        last = torch.where(self.valid.bool(), columns, 0).amax(1)[:, None]
        ends = self.positions.gather(-1, last.expand(*self.positions.shape[:-1], 1))
        return ends + written.to(ends.device).long().cumsum(-1)


class Conversations:
    """The pruned prompts of all caches that still live.

    `generate` goes on with the whole conversation so far, as without pruning, or with the new tokens and a mask over the
    cache and them; a forward call with the new tokens. New tokens stand where they would have stood: behind the prompt
    as it was numbered, which for multimodal rotary positions the model could not know.

    Parameters
    ----------
    model, adapter : as for `prune`.
    """

    def __init__(self, model: Any, adapter: Adapter) -> None:
        self.model, self.adapter = model, adapter
        self._turns: weakref.WeakKeyDictionary[Any, Turn] = weakref.WeakKeyDictionary()

    def remember(self, cache: Any, ids: Tensor, short: Tensor, inputs: Mapping[str, Any]) -> None:
        """A call with these inputs filled `cache`: `short` ids where the caller had `ids`."""
        if cache is not None:
            mask = inputs.get("attention_mask")
            valid = torch.ones_like(short) if mask is None else mask
            self._turns[cache] = Turn(ids, short, valid, inputs.get("position_ids"))

    def go_on(self, given: Mapping[str, Any], *, first_layers_whole: bool) -> bool:
        """Whether a call continues a cache that is remembered; ValueError for a cache that might be a pruned one of
        another block, which only that block could continue.

        Parameters
        ----------
        first_layers_whole : tokens go inside the model, where a foreign cache is noticed.
        """
        cache, ids = given.get("past_key_values"), given.get("input_ids")
        past = 0 if cache is None else int(cache.get_seq_length())
        if not past or ids is None:
            return False
        if cache in self._turns:
            return True
        if self.adapter.rotary_axes > 1:
            raise ValueError(
                f"this cache of {past} tokens was not filled in this block, so nobody knows where "
                f"{type(self.model).__name__} has to place new tokens; start without a cache"
            )
        if not first_layers_whole:
            self._only_new(given, ids, past, needs_mask=False)
        return False

    @staticmethod
    def opens(given: Mapping[str, Any]) -> bool:
        """Whether nothing is cached in front of the call."""
        cache = given.get("past_key_values")
        return given.get("input_ids") is not None and (cache is None or not cache.get_seq_length())

    def next_call(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs of a forward call with new tokens alone; ValueError for any other."""
        turn, ids, past = self._read(given)
        self._only_new(given, ids, past, needs_mask=False)
        return self._new_tokens(turn, given, ids, past)

    def next_generate(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], int | None]:
        """The inputs of `generate`, and how many of its columns stand for the caller's ids; None when these went in."""
        turn, ids, past = self._read(given)
        length, width = turn.ids.shape[1], turn.short.shape[1]
        if ids.shape[1] <= length or not torch.equal(ids[:, :length], turn.ids):
            self._only_new(given, ids, past, needs_mask=True)
            return self._new_tokens(turn, given, ids, past), None
        tail = ids[:, length:]
        if self._shows(tail):
            raise ValueError(f"inputs continue a cache of {past} tokens; images are pruned in front of it only")
        if past >= width + tail.shape[1]:
            raise ValueError(f"there is nothing new behind the {past} cached tokens of the conversation")
        mask = given.get("attention_mask")
        if mask is not None and mask.shape != ids.shape:
            raise ValueError(
                f"attention_mask must have the shape {tuple(ids.shape)} of input_ids, got {tuple(mask.shape)}"
            )
        written = torch.ones_like(tail) if mask is None else mask[:, length:]
        seen = self.adapter.vision_inputs(self.model)  # in the cache already, as are the pictures themselves
        new = {name: value for name, value in given.items() if name not in seen and not name.startswith("pixel_values")}
        new["input_ids"] = torch.cat([turn.short, tail], dim=1)
        new["attention_mask"] = torch.cat([turn.valid.to(written.dtype), written], dim=1)
        if (behind := turn.behind(written)) is not None and turn.positions is not None:
            new["position_ids"] = torch.cat([turn.positions, behind], dim=-1)
        new.update(generation_lengths(self.model, given, length - width))
        return new, width + tail.shape[1]

    def _read(self, given: Mapping[str, Any]) -> tuple[Turn, Tensor, int]:
        cache, ids = given["past_key_values"], given["input_ids"]
        turn, rows = self._turns[cache], len(cache.layers[0].keys)
        if len(ids) != rows:
            raise ValueError(f"a pruned cache must be continued with its own batch, got {len(ids)} rows for its {rows}")
        return turn.repeated(rows // len(turn.ids)), ids, int(cache.get_seq_length())

    def _only_new(self, given: Mapping[str, Any], ids: Tensor, past: int, *, needs_mask: bool) -> None:
        if has_pixels(given) or self._shows(ids):
            raise ValueError(
                f"inputs continue a cache of {past} tokens; images are pruned in front of it only, and a forward call takes "
                "the new tokens alone"
            )
        mask, columns = _flat_mask(given), past + ids.shape[1]
        if (mask is None and needs_mask) or (mask is not None and mask.shape[1] != columns):
            shape = "none" if mask is None else f"one of {mask.shape[1]}"
            raise ValueError(
                f"a pruned cache of {past} tokens is continued with the new tokens and a mask over the cache and them, "
                f"{columns} columns, got {shape}; `generate` takes the whole conversation too"
            )

    def _new_tokens(self, turn: Turn, given: Mapping[str, Any], ids: Tensor, past: int) -> dict[str, Any]:
        new, width = dict(given), turn.short.shape[1]
        if turn.positions is None or given.get("position_ids") is not None:
            return new
        mask = _flat_mask(given)
        written = ids.new_ones(len(ids), past + ids.shape[1] - width) if mask is None else mask[:, width:]
        behind = turn.behind(written)
        new["position_ids"] = None if behind is None else behind[..., -ids.shape[1] :]
        return new

    def _shows(self, ids: Tensor) -> bool:
        return bool(torch.isin(ids, ids.new_tensor(self.adapter.placeholders(self.model))).any())


def _flat_mask(given: Mapping[str, Any]) -> Tensor | None:
    """The (B, n) mask of a call; None for none, or for one that says which query sees which key."""
    mask = given.get("attention_mask")
    return mask if isinstance(mask, Tensor) and mask.ndim == 2 else None

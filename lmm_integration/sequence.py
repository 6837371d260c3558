"""The shorter prompt: everything that is as long as `input_ids` loses the same places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

PositionPolicy = Literal["repack", "keep"]
FILL = {"labels": -100}


def image_places(ids: Tensor, placeholder: int, sizes: Sequence[int]) -> list[Tensor]:
    """Per image, the places of its tokens in the flattened (B, L) ids; ValueError when they do not fit."""
    places = (ids.cpu() == placeholder).flatten().nonzero().flatten()
    if len(places) != sum(sizes):
        raise ValueError(f"the prompt has {len(places)} image placeholders, but its images have {sum(sizes)} tokens")
    split = list(places.split(list(sizes)))
    for i, part in enumerate(split):
        rows = (part // ids.shape[1]).unique().tolist()
        if len(rows) != 1:
            raise ValueError(f"the placeholders of image {i} stand in rows {rows} of the batch; they must be in one")
    return split


class Shortened:
    """Which places of a (B, L) prompt remain, and in what order they come.

    Rows that lose different numbers of tokens are padded on the side where the batch is padded already, or on the left
    as generation wants it; columns that are padding everywhere go.

    Parameters
    ----------
    ids : (B, L).
    mask : (B, L), nonzero for real tokens, or None.
    places : per image, where its tokens stood in the flattened ids.
    kept : per image, which of its tokens remain, in reading order.
    """

    def __init__(self, ids: Tensor, mask: Tensor | None, places: Sequence[Tensor], kept: Sequence[Tensor]) -> None:
        rows, length = ids.shape
        real = torch.ones(rows, length, dtype=torch.bool) if mask is None else mask.cpu().bool()
        stays = torch.ones(rows * length, dtype=torch.bool)
        origin = torch.arange(rows * length)
        for where, old in zip(places, kept, strict=True):
            stays[where] = False
            stays[where[old]] = True
            origin[where[old].sort().values] = where[old]
        stays, origin = stays.view(rows, length), origin.view(rows, length) % length
        right = bool((~real[:, -1]).any()) and bool(real[:, 0].all())
        width = int(stays.sum(1).max())
        if right:
            order = (~stays).byte().argsort(dim=1, stable=True)[:, :width]
        else:
            order = stays.byte().argsort(dim=1, stable=True)[:, length - width :]
        valid = stays.gather(1, order) & real.gather(1, order)
        used = valid.any(0).nonzero().flatten()
        first, last = (0, int(used.max()) + 1) if right else (int(used.min()), width)
        device = ids.device
        self.valid = valid[:, first:last].to(device)
        self.places = order[:, first:last].to(device)
        self.origin = origin.to(device).gather(1, self.places)
        self.shape = (rows, length)

    def inputs(self, inputs: Mapping[str, Any], pad: int, policy: PositionPolicy) -> dict[str, Any]:
        """The inputs with every (B, L) tensor shortened, an explicit mask, and positions where they are kept."""
        if policy not in get_args(PositionPolicy):
            raise ValueError(f"position_policy must be one of {', '.join(get_args(PositionPolicy))}, got {policy!r}")
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        if positions is not None and policy == "repack":
            raise ValueError(
                "position_policy='repack' would discard the given position_ids; leave them out or 'keep' them"
            )
        new = {name: self._short(name, value, pad) for name, value in inputs.items()}
        # explicit, because without one transformers takes rows with gaps in their positions for packed sequences
        new["attention_mask"] = self.valid.to(torch.long if mask is None else mask.dtype)
        if policy == "keep":
            if positions is None:
                real = torch.ones(self.shape, device=self.valid.device) if mask is None else mask
                positions = (real.long().cumsum(-1) - 1).clamp(min=0)
            if positions.shape != self.shape:
                raise ValueError(f"position_ids must have shape {self.shape}, got {tuple(positions.shape)}")
            new["position_ids"] = torch.where(self.valid, positions.gather(1, self.origin), 0)
        return new

    def multimodal_positions(self, positions: Tensor) -> Tensor:
        """(1 + axes, B, L) positions of the short prompt: the first row counts it anew, the axes keep their values.

        The first row tells transformers that nothing is packed, the others turn queries and keys.
        """
        kept = positions.gather(2, self.origin.expand(len(positions), -1, -1))
        kept = torch.where(self.valid, kept, 0)
        kept[0] = (self.valid.long().cumsum(-1) - 1).clamp(min=0)
        return kept

    def _short(self, name: str, value: Any, pad: int) -> Any:
        if not isinstance(value, Tensor) or value.shape != self.shape or name in ("attention_mask", "position_ids"):
            return value
        fill = pad if name == "input_ids" else FILL.get(name, 0)
        # nothing predicts the first column of a prompt; new padding in front of it must not start to
        keeps = self.valid & (self.places > 0) if name == "labels" else self.valid
        return torch.where(keeps, value.gather(1, self.places), fill)

    def restore(self, logits: Tensor) -> Tensor:
        """(B, L, V) logits of the caller's prompt: a place that went answers as the last one before it that stayed."""
        rows, length = self.shape
        filled = torch.full((rows, length), -1, device=logits.device)
        columns = torch.arange(self.places.shape[1], device=logits.device).expand(rows, -1)
        valid, places = self.valid.to(logits.device), self.places.to(logits.device)
        batch = torch.arange(rows, device=logits.device)[:, None].expand_as(places)
        filled[batch[valid], places[valid]] = columns[valid]
        source = filled.cummax(1).values.clamp(min=0)
        return logits.gather(1, source[..., None].expand(-1, -1, logits.shape[-1]))

"""From images to the units a pruner chooses from (crop, image or sample), and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lmm_integration.adapters.layout import Kept, Layout, Newline
from lmm_integration.tokens import Choice, Merged

BudgetScope = Literal["crop", "image", "sample"]


@dataclass(frozen=True)
class Unit:
    """A set of tokens with one budget: token j is token `token[j]` of image `image[j]`."""

    sample: int
    image: Tensor
    token: Tensor
    grid: tuple[int, int] | None


def units(layouts: Sequence[Layout], samples: Sequence[int], scope: BudgetScope, newline: Newline) -> list[Unit]:
    """Group the candidates of all images; newlines are candidates only where the policy says so."""
    if scope not in get_args(BudgetScope):
        raise ValueError(f"budget_scope must be one of {', '.join(get_args(BudgetScope))}, got {scope!r}")
    if scope == "crop" and newline == "candidate":
        raise ValueError("newline='candidate' needs budget_scope 'image' or 'sample': a newline belongs to no crop")
    candidates = [
        torch.arange(len(layout.patch)) if newline == "candidate" else (~layout.newline).nonzero().flatten()
        for layout in layouts
    ]
    if scope == "crop":
        return [
            _unit(samples[i], [(i, tokens[layout.crop[tokens] == crop])], grid)
            for i, (layout, tokens) in enumerate(zip(layouts, candidates, strict=True))
            for crop, grid in enumerate(layout.grid)
            if (layout.crop == crop).any()
        ]
    if scope == "image":
        return [
            _unit(samples[i], [(i, tokens)], layout.grid[0] if len(layout.grid) == 1 else None)
            for i, (layout, tokens) in enumerate(zip(layouts, candidates, strict=True))
        ]
    return [
        _unit(sample, [(i, candidates[i]) for i in range(len(layouts)) if samples[i] == sample], None)
        for sample in sorted(set(samples))
    ]


def scope_of(pruner: Any, scope: BudgetScope | None) -> BudgetScope:
    """`scope`, or where it is None what the pruner declares as its `budget_scope`, or else "image"."""
    own: BudgetScope = getattr(pruner, "budget_scope", "image")
    return own if scope is None else scope


def _unit(sample: int, parts: list[tuple[int, Tensor]], grid: tuple[int, int] | None) -> Unit:
    image = torch.cat([torch.full_like(tokens, i) for i, tokens in parts])
    tokens = torch.cat([tokens for _, tokens in parts])
    return Unit(sample, image, tokens, grid if grid and grid[0] * grid[1] == len(tokens) else None)


def gather(values: Sequence[Tensor], unit: Unit) -> Tensor:
    """The per-token values of a unit, in its order."""
    images = unit.image.unique().tolist()
    return torch.cat([values[i][unit.token[unit.image == i].to(values[i].device)] for i in images])


def per_image(
    parts: Sequence[Unit],
    choices: Sequence[tuple[Tensor, Choice]],
    layouts: Sequence[Layout],
    features: Sequence[Tensor],
    newline: Newline,
) -> list[Kept]:
    """What is left of every image; within an image the order of its unit's choice is kept."""
    indices: list[list[Tensor]] = [[] for _ in layouts]
    tokens: list[list[Tensor]] = [[] for _ in layouts]
    for unit, (chosen, choice) in zip(parts, choices, strict=True):
        for i in unit.image.unique().tolist():
            here = unit.image[chosen] == i
            old = unit.token[chosen[here]]
            indices[i].append(old)
            device = features[i].device
            new = (
                choice.features.to(features[i])[here.to(device)]
                if isinstance(choice, Merged)
                else features[i][old.to(device)]
            )
            tokens[i].append(new)
    kept = [Kept(torch.cat(new), torch.cat(old)) for new, old in zip(tokens, indices, strict=True)]
    return [
        _with_newlines(image, layout, old, newline) for image, layout, old in zip(kept, layouts, features, strict=True)
    ]


def _with_newlines(kept: Kept, layout: Layout, features: Tensor, newline: Newline) -> Kept:
    """Put newlines back by the policy, each at the end of its line; an image that lost no patch keeps them all."""
    marks = layout.newline
    if newline == "candidate" or not marks.any():
        return kept
    if newline == "all" or len(kept.indices) == int((~marks).sum()):
        back = marks
    elif newline == "row":
        back = marks & torch.isin(layout.row, layout.row[kept.indices])
    else:
        return kept
    extra = back.nonzero().flatten()
    indices = torch.cat([kept.indices, extra])
    tokens = torch.cat([kept.features, features[extra.to(features.device)]])
    # a token sorts by itself in raster order; in pick order the lines are broken up anyway, and newlines come last
    order = indices.argsort() if (kept.indices.diff() > 0).all() else torch.arange(len(indices))
    return Kept(tokens[order.to(tokens.device)], indices[order])

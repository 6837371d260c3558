"""What the two towers learn at their patches: one from the labels of patches, the other from those of pictures."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from lmm_integration.tiny.pictures import COLOURS, GRID, SHAPES, TOKENS

Found = dict[str, Tensor]
PLACES = 0.3  # weight of the row and the column of a patch


class PlaceHeads(nn.Module):
    """Tell the row and the column of every patch from what stands for it: labels that every picture has."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.axes = nn.ModuleDict({axis: nn.Linear(width, GRID) for axis in ("row", "column")})

    def forward(self, states: Tensor) -> Found:
        """Losses and accuracies by name, of (pictures, 256, width)."""
        patch = torch.arange(TOKENS).expand(len(states), -1).flatten()
        found = {}
        for axis, place in (("row", patch // GRID), ("column", patch % GRID)):
            scores = self.axes[axis](states).flatten(0, 1)
            found[f"place_{axis}"] = PLACES * cross_entropy(scores, place)
            found[f"place_{axis}_right"] = (scores.argmax(-1) == place).float().mean()
        return found


class PatchLabels(nn.Module):
    """Texts against patches, and heads that name colour, shape and digit of the thing in a patch."""

    def __init__(self, width: int) -> None:
        super().__init__()
        sizes = {"colour": len(COLOURS) + 2, "shape": len(SHAPES) + 2, "digit": 10}
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in sizes.items()})

    def forward(self, states: Tensor, logits: Tensor, truth: Found) -> Found:
        """Of (B, 256, width) states and their (B, 256, M) logits against texts."""
        right = truth["patch"]
        found = {"patch": 5 * binary_cross_entropy_with_logits(logits, right, weight=1 + 4 * right)}
        for name, head in self.heads.items():
            scores, labels = head(states).float().flatten(0, 1), truth[name].flatten()
            weight = None
            if name != "digit":
                weight = torch.ones(scores.shape[1])
                weight[-2] = 0.15  # most patches show nothing
            loss = cross_entropy(scores, labels, weight) if (labels >= 0).any() else 0.0 * scores.sum()
            found[name] = loss
            there = labels >= 0 if name == "digit" else (labels >= 0) & (labels < scores.shape[1] - 2)
            found[name + "_right"] = (scores.argmax(-1) == labels)[there].float().mean()
        return found


class PictureLabels(nn.Module):
    """The soft maximum of texts over patches, and heads that name what stands where a text finds its thing."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({"shape": nn.Linear(width, len(SHAPES)), "digit": nn.Linear(width, 10)})

    def forward(self, states: Tensor, logits: Tensor, truth: Found, *, named: bool) -> Found:
        """Of (B, 256, width) states and their (B, 256, M) logits; `named` adds the heads.

        `truth["named_shape"]` and `["named_digit"]` are (R, 3): a picture, the text that finds the thing, its name.
        """
        highest = logits.logsumexp(1)
        found = {"pooled": binary_cross_entropy_with_logits(highest, truth["image"])}
        if named:
            where = logits.detach().softmax(1)
            for name, head in self.heads.items():
                picture, text, target = truth[f"named_{name}"].T
                seen = torch.einsum("rp,rpw->rw", where[picture, :, text], states[picture])
                scores = head(seen)
                found[name] = cross_entropy(scores, target) if len(target) else 0.0 * scores.sum()
                found[name + "_right"] = (scores.argmax(-1) == target).float().mean()
        return found

"""First stage: a vision and a text tower that agree, from scenes drawn on the fly.

Loss of a picture against M texts, with the sigmoid of SigLIP :cite:p:`zhai2023sigmoid` and several right texts per
picture:

    L_image = mean_{b,m} BCE(e^s cos(v_b, t_m) + c, [text m names something in picture b]),

v_b from the CLS token. The *control* tower has image-level losses only: this one, and from some step on the same truth
against the soft maximum over patches, log sum_p exp(e^s cos(v_bp, t_m) + c), since a small tower hardly finds small things
through its CLS token. The *labelled* tower has the loss against every patch with the truth of that patch (at the states
the projector reads, so that cosines of patches mean something), and heads that name colour, shape and digit of the thing
in a patch.

Both also tell the row and the column of every patch from its state, which needs no label: without it the states the
projector reads had all but lost where they are, and no question about places could be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, normalize

from lmm_integration.tiny.pictures import COLOURS, GRID, SHAPES, TOKENS
from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.scenes import COVERED, Scene, draw_scene
from lmm_integration.tiny.texts import Concept, random_text, shows

Tower = Literal["labelled", "control"]
UNSURE = 0.03  # a patch covered by less than COVERED but more than this has no label
NOTHING = -100


@dataclass(frozen=True)
class TowerRecipe:
    """What is fixed before the first stage.

    Attributes
    ----------
    labels : whether patches have labels.
    steps, batch, texts : number of updates, pictures and texts in each.
    sparse : the share of pictures with few things in them, from which image-level losses learn sooner.
    pooled_from : without labels, the step from which the soft maximum over patches is trained too.
    """

    labels: bool
    steps: int
    batch: int = 24
    texts: int = 40
    sparse: float = 0.2
    pooled_from: int = 0
    rate: float = 1.5e-3
    decay: float = 0.02
    warmup: int = 60


class TowerLosses(nn.Module):
    """Everything with weights in the first stage."""

    def __init__(self, clip: Any, labels: bool) -> None:
        super().__init__()
        self.clip = clip
        self.scale = nn.Parameter(torch.full((2,), 10.0).log())
        self.shift = nn.Parameter(torch.tensor([-3.0, -5.0]))
        width = clip.config.vision_config.hidden_size
        self.places = nn.ModuleDict({axis: nn.Linear(width, GRID) for axis in ("row", "column")})
        self.heads = (
            nn.ModuleDict(
                {
                    "colour": nn.Linear(width, len(COLOURS) + 2),
                    "shape": nn.Linear(width, len(SHAPES) + 2),
                    "digit": nn.Linear(width, 10),
                }
            )
            if labels
            else None
        )

    def forward(
        self, pixels: Tensor, ids: Tensor, mask: Tensor, truth: dict[str, Tensor], *, pooled: bool = False
    ) -> dict[str, Tensor]:
        """Losses and accuracies by name; `pooled` adds the soft maximum over patches to a tower without labels."""
        vision = self.clip.vision_model
        out = vision(pixels, output_hidden_states=True)
        text = normalize(self.clip.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.float(), dim=-1)
        whole = normalize(self.clip.visual_projection(out.pooler_output).float(), dim=-1)
        logits = whole @ text.T * self.scale[0].exp() + self.shift[0]
        found = {"image": binary_cross_entropy_with_logits(logits, truth["image"])}
        found["auc"] = _auc(logits, truth["image"])
        states = out.hidden_states[-2][:, 1:]
        patch = torch.arange(TOKENS).expand(len(states), -1).flatten()
        for axis, place in (("row", patch // GRID), ("column", patch % GRID)):
            scores = self.places[axis](states).flatten(0, 1)
            found[axis] = 0.3 * cross_entropy(scores, place)
            found[axis + "_right"] = (scores.argmax(-1) == place).float().mean()
        if self.heads is None and not pooled:
            return found
        patches = normalize(self.clip.visual_projection(vision.post_layernorm(states)).float(), dim=-1)
        logits = patches @ text.T * self.scale[1].exp() + self.shift[1]
        if self.heads is None:
            highest = logits.logsumexp(1)
            found["pooled"] = binary_cross_entropy_with_logits(highest, truth["image"])
            found["pooled_auc"] = _auc(highest, truth["image"])
            return found
        right = truth["patch"]
        found["patch"] = 5 * binary_cross_entropy_with_logits(logits, right, weight=1 + 4 * right)
        for name, head in self.heads.items():
            scores, labels = head(states).float().flatten(0, 1), truth[name].flatten()
            weight = None
            if name != "digit":
                weight = torch.ones(scores.shape[1])
                weight[-2] = 0.15  # most patches show nothing
            loss = cross_entropy(scores, labels, weight) if (labels >= 0).any() else 0.0 * scores.sum()
            found[name] = (0.5 if name == "digit" else 1.0) * loss
            there = labels >= 0 if name == "digit" else (labels >= 0) & (labels < scores.shape[1] - 2)
            found[name + "_right"] = (scores.argmax(-1) == labels)[there].float().mean()
        return found


def _auc(logits: Tensor, truth: Tensor) -> Tensor:
    """How often a right text of a picture stands above a wrong one."""
    with torch.no_grad():
        above = (logits[:, :, None] > logits[:, None, :]).float()
        pairs = truth[:, :, None] * (1 - truth[:, None, :])
        return (above * pairs).sum() / pairs.sum().clamp_min(1)


def tower_batch(
    recipe: TowerRecipe, rng: np.random.Generator, words: Any
) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    """Pixels, text ids, their mask, and what is right."""
    scenes = [
        draw_scene("train", rng, shapes=(1, 4), digits=(0, 1), extras=(0, 2))
        if rng.random() < recipe.sparse
        else draw_scene("train", rng)
        for _ in range(recipe.batch)
    ]
    named = [random_text(rng) for _ in range(recipe.texts)]
    rows = [[*words(text).input_ids, words.eos_token_id] for _, text in named]
    width = max(map(len, rows))
    ids = torch.tensor([row + [words.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    concepts = [concept for concept, _ in named]
    truths = [labels_of(scene, concepts) for scene in scenes]
    truth = {name: torch.from_numpy(np.stack([t[name] for t in truths])) for name in truths[0]}
    return pixels_of(np.stack([s.picture for s in scenes])), ids, mask, truth


def labels_of(scene: Scene, concepts: list[Concept]) -> dict[str, np.ndarray]:
    """What is right for one picture: per text, per patch and text, and the colour, shape and digit in every patch."""
    named = np.array([[shows(thing, c) for c in concepts] for thing in scene.things], np.float32)
    named = named.reshape(len(scene.things), len(concepts))
    colours, shapes = list(COLOURS), list(SHAPES)
    colour = np.full(TOKENS, len(colours), np.int64)
    shape = np.full(TOKENS, len(shapes), np.int64)
    digit = np.full(TOKENS, NOTHING, np.int64)
    patch = np.zeros((TOKENS, len(concepts)), np.float32)
    if len(scene.things):
        most, which = scene.cover.max(0), scene.cover.argmax(0)
        for i, thing in enumerate(scene.things):
            here = (which == i) & (most > COVERED)
            patch[here] = named[i]
            if thing.digit is not None:
                colour[here], shape[here], digit[here] = len(colours) + 1, len(shapes) + 1, thing.digit
            elif thing.shape is not None:
                colour[here], shape[here] = colours.index(str(thing.colour)), shapes.index(thing.shape)
        unsure = (most > UNSURE) & (most <= COVERED)
        colour[unsure] = shape[unsure] = NOTHING
    image = named.max(0) if len(named) else np.zeros(len(concepts), np.float32)
    return {"image": image, "patch": patch, "colour": colour, "shape": shape, "digit": digit}

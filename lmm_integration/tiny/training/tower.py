"""First stage: a vision and a text tower that agree, from scenes drawn on the fly.

Loss of a picture against M texts, with the sigmoid of SigLIP :cite:p:`zhai2023sigmoid` and several right texts per
picture:

    L_image = mean_{b,m} BCE(e^s cos(v_b, t_m) + c, [text m names something in picture b]),

v_b from the CLS token. The *labelled* tower has the loss against every patch too, with the truth of that patch (at the
states the projector reads, so that cosines of patches mean something), and heads that name colour, shape and digit of the
thing in a patch.

The *control* tower knows no label of a patch, only what a picture shows: beside the loss above the same truth against the
soft maximum over patches, log sum_p exp(e^s cos(v_bp, t_m) + c), and what shape the one red thing has, what digit the one
card. Where these are it finds by its own cosines, sum_p softmax_p(e^s cos(v_bp, t)) h_bp with t "a red object" or "a
digit", and heads name what is there. Colours come from the first two alone; shapes do not, for as long as neither patches
nor words tell them apart nothing pulls one towards the other.

Both also tell the row and the column of every patch from its state, which needs no label: without it the states the
projector reads hardly say where they are, and no question about places was learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, normalize

from lmm_integration.tiny.pictures import COLOURS, SHAPES, TOKENS
from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.scenes import COVERED, Scene, draw_scene
from lmm_integration.tiny.texts import Concept, random_text, shows
from lmm_integration.tiny.training.patch_losses import PatchLabels, PictureLabels, PlaceHeads

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
    written : the share of pictures with more cards with digits than a task has, from the few hands there are.
    pooled_from : without labels, the step from which the soft maximum over patches is trained too, and
    named_from : that from which shapes and digits are named where it looks.
    """

    labels: bool
    steps: int
    batch: int = 24
    texts: int = 40
    sparse: float = 0.2
    written: float = 0.0
    pooled_from: int = 0
    named_from: int = 0
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
        self.places = PlaceHeads(width)
        self.patches = PatchLabels(width) if labels else PictureLabels(width)

    def forward(
        self,
        pixels: Tensor,
        ids: Tensor,
        mask: Tensor,
        truth: dict[str, Tensor],
        *,
        pooled: bool = True,
        named: bool = True,
    ) -> dict[str, Tensor]:
        """Losses and accuracies by name; `pooled` and `named` are about towers without labels."""
        vision = self.clip.vision_model
        out = vision(pixels, output_hidden_states=True)
        text = normalize(self.clip.get_text_features(input_ids=ids, attention_mask=mask).pooler_output.float(), dim=-1)
        whole = normalize(self.clip.visual_projection(out.pooler_output).float(), dim=-1)
        logits = whole @ text.T * self.scale[0].exp() + self.shift[0]
        found = {"image": binary_cross_entropy_with_logits(logits, truth["image"]), "auc": _auc(logits, truth["image"])}
        states = out.hidden_states[-2][:, 1:]
        found |= self.places(states)
        patches = normalize(self.clip.visual_projection(vision.post_layernorm(states)).float(), dim=-1)
        logits = patches @ text.T * self.scale[1].exp() + self.shift[1]
        if isinstance(self.patches, PatchLabels):
            found |= self.patches(states, logits, truth)
        elif pooled:
            found |= self.patches(states, logits, truth, named=named)
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
    few: dict[str, Any] = {"shapes": (1, 4), "digits": (0, 1), "extras": (0, 2)}
    scenes = []
    for _ in range(recipe.batch):
        kind = rng.random()
        crowd = few if kind < recipe.sparse else {"digits": (2, 6)} if kind < recipe.sparse + recipe.written else {}
        scenes.append(draw_scene("train", rng, **crowd))
    named = [((colour, None, None), f"a {colour} object") for colour in COLOURS] + [((None, None, "any"), "a digit")]
    named = ([] if recipe.labels else named) + [random_text(rng) for _ in range(recipe.texts)]
    rows = [[*words(text).input_ids, words.eos_token_id] for _, text in named]
    width = max(map(len, rows))
    ids = torch.tensor([row + [words.pad_token_id] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    concepts = [concept for concept, _ in named]
    truths = [labels_of(scene, concepts) for scene in scenes]
    truth = {name: torch.from_numpy(np.stack([t[name] for t in truths])) for name in truths[0]}
    if not recipe.labels:
        truth |= named_things(scenes)
    return pixels_of(np.stack([s.picture for s in scenes])), ids, mask, truth


def named_things(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """(R, 3) picture, text, and shape of the things of a colour, where they have one; likewise the digit of a lone card.

    The texts are the first of a batch: one for each colour, and "a digit".
    """
    shapes, digits = [], []
    for picture, scene in enumerate(scenes):
        for text, colour in enumerate(COLOURS):
            here = {thing.shape for thing in scene.things if thing.shape and thing.colour == colour}
            if len(here) == 1:
                shapes.append((picture, text, SHAPES.index(str(*here))))
        cards = [thing.digit for thing in scene.things if thing.digit is not None]
        if len(cards) == 1:
            digits.append((picture, len(COLOURS), cards[0]))
    rows = {"named_shape": shapes, "named_digit": digits}
    return {name: torch.tensor(of, dtype=torch.int64).reshape(-1, 3) for name, of in rows.items()}


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

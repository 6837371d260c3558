"""Second stage: projector and language model learn to answer, from the tokens of the vision tower.

Beside the answers the row and the column of every patch are told from its projected token. Where it is is a small part of
a state, which a projector that learns from colours and shapes alone leaves out, and then nothing about places is learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, layer_norm

from lmm_integration.tiny import several
from lmm_integration.tiny.pictures import TOKENS
from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.queries import ask
from lmm_integration.tiny.scenes import COVERED, Scene, draw_scene
from lmm_integration.tiny.training.packing import IGNORED, Packed, Packer
from lmm_integration.tiny.training.patch_losses import PlaceHeads

Regime = Literal["plain", "robust"]
END = 0.2  # weight of the end-of-answer token
PICTURES = 16  # the longest prompt that positions are learnt for


@dataclass(frozen=True)
class LanguageRecipe:
    """What is fixed before a part of the second stage.

    Attributes
    ----------
    regime : "plain": every visual token, at its own position. "robust": in half of the batches a random share of the
        tokens, 30 % or more; in half of the samples they close up (`repack`), in the others they keep their positions,
        as in a prompt of up to sixteen pictures.
    steps, batch, questions : number of updates, prompts in each, questions about each.
    shares : how often each kind of question is asked, by name.
    things : the share of pruned samples that lose background above all: of their tokens with a thing 40 % or more are
        left, of the others half or less. A model that meets random shares alone counts by proportion: where a method
        keeps things and drops background it sees one digit twice.
    several : the share of batches with two to four pictures in each prompt.
    easy : so many steps at the start have few things in each picture, and of the background a tenth of the patches: to
        find what a word means among 256 patches takes much longer than among 40.
    easy_shares : `shares` of these steps.
    emphasis : the weight of answers by kind of question, 1 for kinds that are not named: a picture has one question about
        its digits.
    tower_scale : the rate of the vision tower as a share of `rate`; 0 leaves it as it is.
    """

    regime: Regime
    steps: int
    shares: Mapping[str, float]
    batch: int = 8
    questions: int = 16
    things: float = 0.0
    several: float = 0.08
    easy: int = 0
    easy_shares: Mapping[str, float] = field(default_factory=dict)
    emphasis: Mapping[str, float] = field(default_factory=dict)
    tower_scale: float = 0.0
    rate: float = 1.5e-3
    decay: float = 0.02
    warmup: int = 100


class Answering(nn.Module):
    """A LLaVA in training."""

    def __init__(self, llava: Any, tune_tower: bool, emphasis: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.llava, self.tune_tower, self.emphasis = llava, tune_tower, emphasis or {}
        self.places = PlaceHeads(llava.config.text_config.hidden_size)
        llava.model.vision_tower.requires_grad_(tune_tower)

    def visual(self, pixels: Tensor) -> Tensor:
        """(pictures, 256, d) what the projector reads."""
        with torch.set_grad_enabled(self.tune_tower and torch.is_grad_enabled()):
            return self.llava.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-2][:, 1:]

    def forward(self, pixels: Tensor, of: list[int], batch: Packed, kinds: list[str]) -> dict[str, Tensor]:
        """Loss and accuracies by name; `of` says how many pictures each sample has."""
        model = self.llava.model
        projected = model.multi_modal_projector(self.visual(pixels))
        embedded = model.language_model.embed_tokens(batch.ids)
        rows = []
        for row, pictures, kept in zip(embedded, projected.split(of), batch.kept, strict=True):
            tokens = pictures.flatten(0, 1)[kept]
            rows.append(torch.cat([row[: batch.first], tokens, row[batch.first + len(kept) :]]))
        states = model.language_model(
            inputs_embeds=torch.stack(rows),
            attention_mask=torch.zeros(batch.visible.shape).masked_fill(~batch.visible, torch.finfo(torch.float32).min),
            position_ids=batch.positions,
            use_cache=False,
        ).last_hidden_state
        asked = batch.targets != IGNORED
        scores, targets = self.llava.lm_head(states[asked]), batch.targets[asked]
        heavy = torch.tensor([self.emphasis.get(kind, 1.0) for kind in kinds])[batch.question[asked]]
        weight = torch.where(targets == self.llava.generation_config.eos_token_id, END, 1.0) * heavy
        losses = cross_entropy(scores, targets, reduction="none")
        wrong = torch.zeros(len(kinds)).index_add(0, batch.question[asked], (scores.argmax(-1) != targets).float())
        found = {"answer": (losses * weight).sum() / weight.sum(), "right": (wrong == 0).float().mean()}
        found |= self.places(layer_norm(projected, projected.shape[-1:]))
        for kind in dict.fromkeys(kinds):
            mine = torch.tensor([k == kind for k in kinds])
            found[f"{kind}_right"] = (wrong[mine] == 0).float().mean()
        return found


@torch.no_grad()
def standardise(llava: Any, pictures: int = 48) -> None:
    """Make the projector's first layer start from states of mean 0 and variance 1 in every entry.

    The states of a tower share a direction that is much longer than what tells patches apart.
    """
    rng = np.random.default_rng(0)
    pixels = pixels_of(np.stack([draw_scene("train", rng).picture for _ in range(pictures)]))
    states = Answering(llava, tune_tower=False).visual(pixels).flatten(0, 1)
    layer = llava.model.multi_modal_projector.linear_1
    layer.weight /= states.std(0)
    layer.bias -= layer.weight @ states.mean(0)


def answer_losses(
    recipe: LanguageRecipe, module: Answering, words: Any
) -> Callable[[np.random.Generator, int], dict[str, Tensor]]:
    """What `train` minimises."""
    packer = Packer(words)

    def losses(rng: np.random.Generator, step: int) -> dict[str, Tensor]:
        easy = step < recipe.easy
        scenes, asked, kinds = _draw(recipe, rng, easy)
        of = [len(pictures) for pictures in scenes]
        dropped = recipe.regime == "robust" and rng.random() < 0.5
        share = rng.uniform(0.3, 1.0) if dropped else 1.0
        if max(of) > 1 and recipe.regime == "robust":
            share = min(share, 2.0 / max(of))
        if easy:
            kept = [_mostly_things(pictures[0], rng) for pictures in scenes]
        elif dropped and max(of) == 1 and recipe.things:
            kept = [_biased(p[0], recipe.things, share, rng) for p in scenes]
        else:
            kept = [_some(TOKENS * m, max(1, round(share * TOKENS * m)), rng) for m in of]
        close = [bool(recipe.regime == "plain" or rng.random() < 0.5) for _ in of]
        starts = [_starts(m, spread=not c, rng=rng) for m, c in zip(of, close, strict=True)]
        batch = packer.pack(asked, kept, starts, close)
        pixels = pixels_of(np.stack([scene.picture for pictures in scenes for scene in pictures]))
        return module(pixels, of, batch, kinds)

    return losses


def _draw(
    recipe: LanguageRecipe, rng: np.random.Generator, easy: bool
) -> tuple[list[list[Scene]], list[list[tuple[str, str]]], list[str]]:
    """Pictures and questions of a batch, and the kinds of all questions in order."""
    if not easy and rng.random() < recipe.several:
        return _draw_several(recipe, rng)
    scenes, asked, kinds = [], [], []
    mixture = recipe.easy_shares if easy else recipe.shares
    names, shares = list(mixture), np.array(list(mixture.values()))
    for _ in range(recipe.batch):
        scene = draw_scene("train", rng, shapes=(2, 5)) if easy else draw_scene("train", rng)
        questions: list[tuple[str, str]] = []
        for kind in rng.choice(names, recipe.questions, p=shares / shares.sum()):
            found = ask(str(kind), scene.things, rng)
            if found is None or (kind == "digits" and any(q == found[0].text for q, _ in questions)):
                continue
            questions.append((found[0].text, found[1]))
            kinds.append(str(kind))
        scenes.append([scene])
        asked.append(questions)
    return scenes, asked, kinds


def _draw_several(
    recipe: LanguageRecipe, rng: np.random.Generator
) -> tuple[list[list[Scene]], list[list[tuple[str, str]]], list[str]]:
    scenes, asked, kinds = [], [], []
    images = int(rng.integers(2, 5)) if recipe.regime == "robust" else 2
    while len(scenes) < max(1, recipe.batch // images):
        kind = several.KINDS[rng.integers(len(several.KINDS))]
        found = several.ask_several("train", images, rng, kind)
        if found is None:
            continue
        pictures, query, right = found
        questions = [(query.text, right)]
        things = [thing for scene in {id(s): s for s in pictures}.values() for thing in scene.things]
        for more in rng.choice(several.KINDS[:3], recipe.questions - 1):
            if (extra := ask(str(more), things, rng)) is not None:
                questions.append((extra[0].text, extra[1]))
        scenes.append(pictures)
        asked.append(questions)
        kinds += ["several"] * len(questions)
    return scenes, asked, kinds


def _some(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    return np.arange(n) if k >= n else np.sort(rng.permutation(n)[:k])


def _biased(scene: Scene, things: float, share: float, rng: np.random.Generator) -> np.ndarray:
    """Above all patches with a thing, in so many of all samples, or a random share."""
    if rng.random() >= things:
        return _some(TOKENS, round(share * TOKENS), rng)
    return _mostly_things(scene, rng, of_things=rng.uniform(0.4, 1), of_others=rng.uniform(0, 0.5))


def _mostly_things(
    scene: Scene, rng: np.random.Generator, of_things: float = 1.0, of_others: float = 0.1
) -> np.ndarray:
    """Shares of the patches with a thing and of the others."""
    shown = (scene.cover > COVERED).any(0)
    return np.flatnonzero(rng.random(TOKENS) < np.where(shown, of_things, of_others))


def _starts(images: int, *, spread: bool, rng: np.random.Generator) -> np.ndarray:
    """First positions of the pictures: one after the other, or with room for others, of which nothing was kept."""
    places = np.arange(images)
    if spread and images > 1:
        places = np.sort(rng.permutation(PICTURES)[:images])
    return places * TOKENS

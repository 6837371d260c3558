"""Whether the relevance of a text tower points at what the text names, and with which sign."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.scenes import COVERED, draw_scene
from lmm_integration.tiny.texts import HELD_OUT_PAIRS, HELD_OUT_TEXTS, PAIR, shows


@torch.no_grad()
def relevance_auc(
    llava: Any, relevance: Any, *, split: str, scenes: int, seed: int = 0, held_out: bool = False
) -> float:
    """How often a patch that shows the named thing has a higher raw relevance than a patch of the background.

    The mean over scenes of P(r_i > r_j), i over patches with the thing, j over patches with nothing; 1/2 is chance,
    below it the sign is the other one. What counts as relevance is before any sign.

    Parameters
    ----------
    llava, relevance : the model, and a provider such as `ClipRelevance`.
    split, scenes, seed : what is drawn.
    held_out : name pairs of colour and shape, in words, that the text tower never met.
    """
    rng = np.random.default_rng([len(split), seed, 77])
    found = []
    while len(found) < scenes:
        scene = draw_scene(split, rng)
        pairs = sorted({(t.colour, t.shape) for t in scene.things if t.shape})
        pairs = [pair for pair in pairs if (pair in HELD_OUT_PAIRS) == held_out]
        if not pairs:
            continue
        colour, shape = pairs[rng.integers(len(pairs))]
        template = HELD_OUT_TEXTS["pair"] if held_out else PAIR[rng.integers(len(PAIR))]
        named = np.array([shows(thing, (colour, shape, None)) for thing in scene.things])
        there = (scene.cover[named] > COVERED).any(0)
        bare = scene.cover.max(0) == 0
        pixels = pixels_of(scene.picture[None])
        states = llava.model.vision_tower(pixels.to(llava.dtype), output_hidden_states=True).hidden_states[-2][:, 1:]
        raw = relevance(states, template.format(c=colour, s=shape))[0].numpy()
        found.append(float((raw[there][:, None] > raw[bare][None]).mean()))
    return float(np.mean(found))


def calibrated_sign(llava: Any, relevance: Any, scenes: int = 40) -> int:
    """+1 or -1: which way is relevant, on the validation split."""
    return 1 if relevance_auc(llava, relevance, split="validation", scenes=scenes) >= 0.5 else -1

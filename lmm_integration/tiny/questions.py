"""The held-out questions of the tiny model's task."""

# ruff: noqa: PT028 - `test_questions` is no test

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.tiny.pictures import COLOURS, SHAPES
from lmm_integration.tiny.queries import KINDS as OF_ONE
from lmm_integration.tiny.queries import LARGEST_COUNT, ask
from lmm_integration.tiny.scenes import Scene, draw_scene
from lmm_integration.tiny.several import KINDS as OF_SEVERAL
from lmm_integration.tiny.several import ask_several

KINDS = (*OF_ONE, "several")
ANSWERS: dict[str, Sequence[str | None]] = {
    "exist": ("yes", "no"),
    "count": tuple(map(str, range(LARGEST_COUNT + 1))),
    "color": tuple(COLOURS),
    "shape": SHAPES,
    "relation": ("yes", "no"),
    "digits": (None,),
}
# Of single pictures: those of the task, and those of the feasibility run before it, with few things and none that only
# look like some; nothing about these was ever adjusted.
SCENES: dict[str, dict[str, tuple[int, int]]] = {
    "task": {},
    "few": {"shapes": (2, 5), "digits": (0, 1), "extras": (0, 0)},
}
PICTURES = (2, 4, 2, 8, 4, 16)  # of the questions over several, in turn
ATTEMPTS = 500


def test_questions(
    limit: int, seed: int = 0, kinds: Sequence[str] | None = None, scenes: str = "task"
) -> list[Question]:
    """The first `limit` questions of the test: photos and handwriting that training never saw.

    Kinds take turns, and so do the right answers of each kind, so a blind guess is right at chance level. The list for a
    smaller limit is the beginning of that for a larger one.

    Parameters
    ----------
    kinds : of `KINDS`, None for all.
    scenes : of `SCENES`, for questions about single pictures.
    """
    return draw_questions("test", limit, seed, kinds, scenes)


def calibration_questions(limit: int, seed: int = 0, kinds: Sequence[str] | None = None) -> list[Question]:
    """The same from the validation split, for everything that is tuned."""
    return draw_questions("validation", limit, seed, kinds)


test_questions.__test__ = False  # type: ignore[attr-defined]


def draw_questions(
    split: str, limit: int, seed: int, kinds: Sequence[str] | None, scenes: str = "task"
) -> list[Question]:
    """Questions of a split."""
    names = tuple(kinds) if kinds is not None else KINDS
    if unknown := [kind for kind in names if kind not in KINDS]:
        raise ValueError(f"kinds must be of {', '.join(KINDS)}, got {unknown[0]!r}")
    if limit < 0 or seed < 0:
        raise ValueError(f"limit and seed must be >= 0, got {limit} and {seed}")
    if scenes not in SCENES:
        raise ValueError(f"scenes must be one of {', '.join(SCENES)}, got {scenes!r}")
    pictures: dict[tuple[int, int], tuple[Scene, Any]] = {}
    drawn = []
    for i in range(limit):
        kind, turn = names[i % len(names)], i // len(names)
        drawn.append(
            _several(split, seed, turn) if kind == "several" else _single(split, seed, kind, turn, scenes, pictures)
        )
    return drawn


def _single(
    split: str, seed: int, kind: str, turn: int, scenes: str, pictures: dict[tuple[int, int], tuple[Scene, Any]]
) -> Question:
    from PIL import Image

    wanted = ANSWERS[kind][turn % len(ANSWERS[kind])]
    for attempt in range(ATTEMPTS):
        if (turn, attempt) not in pictures:
            scene = draw_scene(split, _generator(split, seed, turn, attempt), **SCENES[scenes])
            pictures[turn, attempt] = scene, Image.fromarray(scene.picture)
        scene, picture = pictures[turn, attempt]
        rng = _generator(split, seed, turn, attempt, OF_ONE.index(kind))
        if (found := ask(kind, scene.things, rng, wanted)) is not None:
            query, right = found
            group = f"{split}-{seed}-{turn}-{attempt}" + ("" if scenes == "task" else f"-{scenes}")
            return Question(
                id=f"{group}-{kind}",
                images=(picture,),
                question=query.text,
                answer=right,
                kind=kind,
                group=group,
                facts={"objects": scene.patches},
            )
    raise RuntimeError(f"no scene for {kind} = {wanted} in {ATTEMPTS} attempts")


def _several(split: str, seed: int, turn: int) -> Question:
    from PIL import Image

    kind = OF_SEVERAL[turn % len(OF_SEVERAL)]
    answers = ANSWERS[kind]
    wanted = answers[turn // len(OF_SEVERAL) % len(answers)]
    images = PICTURES[turn % len(PICTURES)]
    for attempt in range(ATTEMPTS):
        rng = _generator(split, seed, turn, attempt, len(OF_ONE))
        if (found := ask_several(split, images, rng, kind, wanted)) is not None:
            scenes, query, right = found
            drawn = {id(scene): Image.fromarray(scene.picture) for scene in scenes}
            group = f"{split}-{seed}-{turn}-{attempt}-several"
            return Question(
                id=group,
                images=tuple(drawn[id(scene)] for scene in scenes),
                question=query.text,
                answer=right,
                kind="several",
                group=group,
                facts={"objects": np.concatenate([scene.patches for scene in scenes]), "asks": kind},
            )
    raise RuntimeError(f"no pictures for {kind} = {wanted} in {ATTEMPTS} attempts")


def _generator(split: str, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([len(split), *numbers])

"""Scenes of the test split, and questions about each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.accuracy_study.design import QUESTIONS
from lmm_integration.tiny.queries import KINDS, ask
from lmm_integration.tiny.scenes import COVERED, Scene, draw_scene
from mmdp.checks import Int

SEED = 2026  # nothing else about test scenes is drawn from it
TURNS = 400


@dataclass(frozen=True, eq=False)
class Exam:
    """A scene and what is asked about it: distinct questions with their answers, and their kinds."""

    scene: Scene
    questions: tuple[tuple[str, str], ...]
    kinds: tuple[str, ...]

    def seen(self, kept: Int) -> float:
        """The share of the things one may be asked about that a kept patch shows; 1 where there are none."""
        asked = [i for i, thing in enumerate(self.scene.things) if thing.shape is not None or thing.digit is not None]
        if not asked:
            return 1.0
        return float((self.scene.cover[asked][:, kept] > COVERED).any(axis=1).mean())


def draw_exam(number: int, questions: int = QUESTIONS) -> Exam:
    """Scene `number` of the study and its questions; kinds take turns, and no text occurs twice.

    Answers are drawn evenly as far as the scene allows.
    """
    rng = np.random.default_rng([SEED, number])
    scene = draw_scene("test", rng)
    asked: dict[str, tuple[str, str]] = {}
    for turn in range(TURNS):
        kind = KINDS[turn % len(KINDS)]
        if (found := ask(kind, scene.things, rng)) is not None and found[0].text not in asked:
            asked[found[0].text] = (found[1], kind)
            if len(asked) == questions:
                break
    return Exam(
        scene,
        tuple((text, answer) for text, (answer, _) in asked.items()),
        tuple(kind for _, kind in asked.values()),
    )

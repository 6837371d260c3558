"""Questions over several pictures: the answer lies in one of them, the others are duplicates or have nothing to do with it."""

from __future__ import annotations

import numpy as np

from lmm_integration.tiny.queries import Query, ask
from lmm_integration.tiny.scenes import Scene, draw_scene

KINDS = ("exist", "color", "shape", "digits")
TRIES = 20


def ask_several(
    split: str, images: int, rng: np.random.Generator, kind: str, answer: str | None = None
) -> tuple[list[Scene], Query, str] | None:
    """Pictures in random order, a question, and its answer, which is the same for the picture that matters alone.

    Of the other pictures half show only clutter, a quarter are duplicates (of any picture before, except where digits
    are read, which would then stand twice), and a quarter are scenes that leave the answer as it is.

    Parameters
    ----------
    images : number of pictures, >= 1.
    kind : of `KINDS`.
    answer : the wanted one, or None.
    """
    scene = draw_scene(split, rng, digits=(1, 3) if kind == "digits" else (0, 3))
    found = ask(kind, scene.things, rng, answer)
    if found is None:
        return None
    query, right = found
    scenes, things = [scene], list(scene.things)
    while len(scenes) < images:
        draw = rng.random()
        if draw < 0.25 and (kind != "digits" or len(scenes) > 1):
            first = 1 if kind == "digits" else 0
            scenes.append(scenes[rng.integers(first, len(scenes))])
            continue
        other = _other(split, rng, query, right, things) if draw > 0.75 else None
        if other is None:
            other = draw_scene(split, rng, shapes=(0, 0), digits=(0, 0), extras=(1, 6))
        scenes.append(other)
        things += other.things
    return [scenes[i] for i in rng.permutation(images)], query, right


def _other(split: str, rng: np.random.Generator, query: Query, right: str, things: list) -> Scene | None:  # type: ignore[type-arg]
    """A scene with coloured shapes that does not change the answer."""
    for _ in range(TRIES):
        scene = draw_scene(split, rng, shapes=(1, 3), digits=(0, 0))
        if query.answer([*things, *scene.things]) == right:
            return scene
    return None

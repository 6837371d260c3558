"""What can be asked about a scene, and the answer that follows from the things in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lmm_integration.tiny.pictures import COLOURS, SHAPES
from lmm_integration.tiny.scenes import Thing

KINDS = ("exist", "count", "color", "shape", "relation", "digits")
STEPS = ("row", "column")  # stepping stones towards relations, asked in training only
LARGEST_COUNT = 4
BAND = 16  # pixels: a row or a column of eight
APART = 12  # pixels: the least distance along the axis of a relation
PLURAL = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
NEGATIVES = 0.7  # the share of "no" whose object shares its colour or shape with one in the scene

Name = tuple[str | None, str | None]  # colour, shape


@dataclass(frozen=True)
class Query:
    """One question in structured form.

    Attributes
    ----------
    kind : of `KINDS` or `STEPS`.
    name : the colour, the shape, or both, of what is asked for; (None, None) for digits.
    other : of a relation, the second thing.
    axis : of a relation, "x" (left of) or "y" (above).
    """

    kind: str
    name: Name = (None, None)
    other: Name = (None, None)
    axis: str = ""

    @property
    def text(self) -> str:
        """The question in plain words."""
        colour, shape = self.name
        if self.kind == "exist":
            return f"is there a {colour} {shape} ?"
        if self.kind == "count":
            return f"how many {colour} objects ?" if colour else f"how many {PLURAL[str(shape)]} ?"
        if self.kind == "color":
            return f"what color is the {shape} ?"
        if self.kind == "shape":
            return f"what shape is the {colour} object ?"
        if self.kind == "relation":
            where = "left of" if self.axis == "x" else "above"
            return f"is the {colour} {shape} {where} the {self.other[0]} {self.other[1]} ?"
        if self.kind == "digits":
            return "read the digits"
        return f"{self.kind} of the {colour} {shape} ?"

    def answer(self, things: Sequence[Thing]) -> str | None:
        """What is right for these things; None where the question has no answer, as for "the ring" among two."""
        if self.kind == "digits":
            cards = sorted((t for t in things if t.digit is not None), key=lambda t: t.x)
            if not cards or min(np.diff([t.x for t in cards]), default=APART) < APART:
                return None
            return " ".join(str(t.digit) for t in cards)
        found = matching(things, self.name)
        if self.kind == "exist":
            return "yes" if found else "no"
        if self.kind == "count":
            return str(len(found)) if len(found) <= LARGEST_COUNT else None
        if len(found) != 1:
            return None
        (thing,) = found
        if self.kind in ("color", "shape"):
            return thing.colour if self.kind == "color" else thing.shape
        if self.kind in STEPS:
            return str(int((thing.y if self.kind == "row" else thing.x) // BAND))
        others = matching(things, self.other)
        if len(others) != 1:
            return None
        gap = getattr(others[0], self.axis) - getattr(thing, self.axis)
        return None if abs(gap) < APART else ("yes" if gap > 0 else "no")


def matching(things: Sequence[Thing], name: Name) -> list[Thing]:
    """The coloured shapes of a colour, of a shape, or of both."""
    colour, shape = name
    return [t for t in things if t.shape and colour in (None, t.colour) and shape in (None, t.shape)]


def ask(
    kind: str, things: Sequence[Thing], rng: np.random.Generator, answer: str | None = None
) -> tuple[Query, str] | None:
    """A random question of a kind and its answer, or None where the things allow none.

    Parameters
    ----------
    answer : the wanted one; None draws it evenly, as far as the things allow, so that a blind guess gains nothing.
    """
    named = [(t.colour, t.shape) for t in things if t.shape]
    if kind == "digits":
        query = Query("digits")
        right = query.answer(things)
        return None if right is None or answer not in (None, right) else (query, right)
    if kind == "exist":
        wanted = answer or str(rng.choice(("yes", "no")))
        names = named if wanted == "yes" else _absent(named, rng)
        return (Query(kind, _one(names, rng)), wanted) if names else None
    if kind == "count":
        candidates = [Query(kind, (c, None)) for c in COLOURS] + [Query(kind, (None, s)) for s in SHAPES]
    elif kind == "color":
        candidates = [Query(kind, (None, s)) for s in SHAPES]
    elif kind == "shape":
        candidates = [Query(kind, (c, None)) for c in COLOURS]
    elif kind in STEPS:
        candidates = [Query(kind, name) for name in dict.fromkeys(named)]
    elif kind == "relation":
        names = list(dict.fromkeys(named))
        candidates = [Query(kind, a, b, axis) for a in names for b in names if a != b for axis in "xy"]
    else:
        raise ValueError(f"kind must be one of {', '.join(KINDS + STEPS)}, got {kind!r}")
    by_answer: dict[str, list[Query]] = {}
    for query in candidates:
        if (right := query.answer(things)) is not None and answer in (None, right):
            by_answer.setdefault(right, []).append(query)
    if not by_answer:
        return None
    right = _one(sorted(by_answer), rng)
    return _one(by_answer[right], rng), right


def _absent(named: list[Name], rng: np.random.Generator) -> list[Name]:
    """Pairs that are not there; mostly those that share a colour or a shape with one that is."""
    missing = [(c, s) for c in COLOURS for s in SHAPES if (c, s) not in named]
    near = [(c, s) for c, s in missing if any((c == d) != (s == t) for d, t in named)]
    return near if near and rng.random() < NEGATIVES else missing


def _one(choices: Sequence, rng: np.random.Generator):  # type: ignore[no-untyped-def, type-arg]
    return choices[rng.integers(len(choices))]

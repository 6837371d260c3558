"""Short texts that name something in a scene, for the text tower."""

from __future__ import annotations

import numpy as np

from lmm_integration.tiny.pictures import COLOURS, SHAPES
from lmm_integration.tiny.queries import PLURAL, matching
from lmm_integration.tiny.scenes import Thing

# Never named to the text tower in training; its test asks for them.
HELD_OUT_PAIRS = (("red", "cross"), ("cyan", "triangle"), ("purple", "square"), ("yellow", "ring"))
PAIR = ("a {c} {s}", "is there a {c} {s} ?", "a photo with a {c} {s}", "row of the {c} {s} ?", "the {c} {s}")
COLOUR = ("something {c}", "how many {c} objects ?", "what shape is the {c} object ?", "a {c} object")
SHAPE = ("a {s}", "how many {p} ?", "what color is the {s} ?", "a photo with {p}")
CARD = ("a digit", "read the digits", "digits in the photo")
HELD_OUT_TEXTS = {
    "pair": "can you see the {c} {s} ?",
    "color": "find the {c} object",
    "shape": "is any {s} shown ?",
}

Concept = tuple[str | None, str | None, str | None]  # colour, shape, digit ("any" for a digit of any kind)


def random_text(rng: np.random.Generator) -> tuple[Concept, str]:
    """A concept and one way to put it, as the text tower meets them in training."""
    draw = rng.random()
    if draw < 0.08:
        return (None, None, "any"), CARD[rng.integers(len(CARD))]
    if draw < 0.2:
        digit = str(rng.integers(10))
        return (None, None, digit), f"the digit {digit}"
    colours, shapes = list(COLOURS), SHAPES
    colour, shape = colours[rng.integers(len(colours))], shapes[rng.integers(len(shapes))]
    if draw < 0.65:
        while (colour, shape) in HELD_OUT_PAIRS:
            colour, shape = colours[rng.integers(len(colours))], shapes[rng.integers(len(shapes))]
        return (colour, shape, None), PAIR[rng.integers(len(PAIR))].format(c=colour, s=shape)
    if draw < 0.8:
        return (colour, None, None), COLOUR[rng.integers(len(COLOUR))].format(c=colour)
    return (None, shape, None), SHAPE[rng.integers(len(SHAPE))].format(s=shape, p=PLURAL[shape])


def shows(thing: Thing, concept: Concept) -> bool:
    """Whether a thing is an example of a concept.

    >>> shows(Thing(8, 8, digit=3), (None, None, "any"))
    True
    """
    colour, shape, digit = concept
    if digit is not None:
        return thing.digit is not None and digit in ("any", str(thing.digit))
    return bool(matching([thing], (colour, shape)))

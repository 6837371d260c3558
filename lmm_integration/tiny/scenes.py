"""Scenes with a known answer: small things scattered over a photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lmm_integration.tiny.pictures import (
    BOX,
    CLUTTER,
    COLOURS,
    GRID,
    PATCH,
    SHAPES,
    SIDE,
    SIZES,
    TOKENS,
    background,
    card,
    clutter,
    handwritten,
    outline,
)

SNAP = 4  # pixels: things start on half patches
COVERED = 0.2  # the share of a patch from which on it shows a thing


@dataclass(frozen=True)
class Thing:
    """Something in a scene: a coloured shape, a card with a digit, or clutter.

    Attributes
    ----------
    colour, shape : of a coloured shape, else None.
    digit : of a card, else None.
    x, y : centre in pixels.
    """

    x: float
    y: float
    colour: str | None = None
    shape: str | None = None
    digit: int | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture and what is in it.

    Attributes
    ----------
    picture : (128, 128, 3) uint8.
    things : in the order of `cover`.
    cover : (things, 256) float32, the share of every patch that a thing covers.
    """

    picture: npt.NDArray[np.uint8]
    things: tuple[Thing, ...]
    cover: npt.NDArray[np.float32]

    @property
    def patches(self) -> npt.NDArray[np.bool_]:
        """(256,) where something is that a question may ask for."""
        asked = [thing.shape is not None or thing.digit is not None for thing in self.things]
        return (self.cover[asked] > COVERED).any(0) if any(asked) else np.zeros(TOKENS, bool)


def draw_scene(
    split: str,
    rng: np.random.Generator,
    *,
    shapes: tuple[int, int] = (4, 9),
    digits: tuple[int, int] = (0, 3),
    extras: tuple[int, int] = (1, 4),
) -> Scene:
    """A random scene.

    One colour and one shape occur exactly once where there are two shapes or more, so that "the red one" and "the ring"
    name something. Every thing keeps clear of every other.

    Parameters
    ----------
    split : "train", "validation" or "test"; they share neither photos nor handwriting.
    shapes, digits, extras : least and largest number of coloured shapes, of cards with a digit, and of clutter.
    """
    canvas = background(split, rng)
    things: list[Thing] = []
    cover: list[npt.NDArray[np.float32]] = []
    corners: list[tuple[int, int]] = []

    def place(colours: npt.NDArray[np.float32], share: npt.NDArray[np.float32], **what: object) -> None:
        size = len(share)
        corner = _free(corners, rng)
        if corner is None:
            return
        corners.append(corner)
        top, left = (c + (BOX - size) // 2 for c in corner)
        here = np.s_[top : top + size, left : left + size]
        canvas[here] = canvas[here] * (1 - share[..., None]) + colours * share[..., None]
        cover.append(_shares(share, top, left))
        things.append(Thing(x=left + size / 2, y=top + size / 2, **what))  # type: ignore[arg-type]

    for _ in range(rng.integers(digits[0], digits[1] + 1)):
        ink, digit = handwritten(split, rng)
        place(card(ink, rng), np.ones((BOX, BOX), np.float32), digit=digit)
    for colour, shape in _palette(int(rng.integers(shapes[0], shapes[1] + 1)), rng):
        share = outline(shape, int(rng.choice(SIZES)), int(rng.choice((-10, 0, 10))))
        paint = np.array(COLOURS[colour]) * rng.uniform(0.8, 1.1) + rng.normal(0, 8, 3)
        place(np.broadcast_to(paint, (*share.shape, 3)), share, colour=colour, shape=shape)
    for _ in range(rng.integers(extras[0], extras[1] + 1)):
        place(*clutter(CLUTTER[rng.integers(len(CLUTTER))], split, rng))
    noisy = canvas + 4 * rng.standard_normal(canvas.shape, dtype=np.float32)
    return Scene(
        picture=np.clip(noisy, 0, 255).astype(np.uint8),
        things=tuple(things),
        cover=np.stack(cover) if cover else np.zeros((0, TOKENS), np.float32),
    )


def _shares(share: npt.NDArray[np.float32], top: int, left: int) -> npt.NDArray[np.float32]:
    """(256,) of every patch, where a thing of these pixels starts at a corner."""
    window = np.zeros((3 * PATCH, 3 * PATCH), np.float32)  # a box touches three patches at most
    window[top % PATCH :, left % PATCH :][: len(share), : len(share)] = share
    around = np.zeros((GRID + 3, GRID + 3), np.float32)
    row, column = top // PATCH, left // PATCH
    around[row : row + 3, column : column + 3] = window.reshape(3, PATCH, 3, PATCH).mean((1, 3))
    return around[:GRID, :GRID].reshape(TOKENS)


def _free(corners: list[tuple[int, int]], rng: np.random.Generator) -> tuple[int, int] | None:
    """A corner whose box touches no other."""
    for top, left in rng.integers(0, (SIDE - BOX) // SNAP + 1, (60, 2)) * SNAP:
        if all(abs(top - t) >= BOX or abs(left - s) >= BOX for t, s in corners):
            return int(top), int(left)
    return None


def _palette(n: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """n pairs of colour and shape, of which one colour and one shape occur once."""
    colours, shapes = rng.permutation(list(COLOURS)), rng.permutation(SHAPES)
    if n < 2:
        return [(str(colours[0]), str(shapes[0]))] * n
    lone_colour, lone_shape = colours[0], shapes[0]
    colours, shapes = colours[1 : rng.integers(3, len(colours) + 1)], shapes[1 : rng.integers(3, len(shapes) + 1)]
    if rng.random() < 0.3:
        pairs = [(lone_colour, lone_shape)]
    else:
        pairs = [(lone_colour, rng.choice(shapes)), (rng.choice(colours), lone_shape)]
    pairs += [(rng.choice(colours), rng.choice(shapes)) for _ in range(n - len(pairs))]
    return [(str(c), str(s)) for c, s in pairs]

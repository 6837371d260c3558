"""What scenes are drawn with: photo textures, coloured shapes, handwritten digits, and things that merely look like them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.instances.pictures import photo

SIDE, PATCH = 128, 8
GRID = SIDE // PATCH
TOKENS = GRID * GRID
BOX = 16  # pixels: the largest thing, and the least distance of two
SIZES = (12, 14, 16)
PHOTO = 320  # pixels along a photo, before crops are taken

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 225),
    "yellow": (235, 215, 40),
    "purple": (160, 50, 190),
    "cyan": (50, 205, 215),
}
SHAPES = ("circle", "square", "triangle", "cross", "ring")
CLUTTER = ("scribble", "swatch", "blob")

# No photo and no handwritten digit is seen in two splits.
PHOTOS = {
    "train": (
        "astronaut",
        "chelsea",
        "coffee",
        "brick",
        "grass",
        "gravel",
        "camera",
        "motorcycle_left",
        "ihc",
        "hubble",
        "retina",
    ),
    "validation": ("coins",),
    "test": ("rocket", "china", "flower"),
}
DIGITS = {"train": slice(0, 1437), "validation": slice(1437, 1557), "test": slice(1557, 1797)}
SPLITS = tuple(PHOTOS)

Image = npt.NDArray[np.float32]


def background(split: str, rng: np.random.Generator) -> Image:
    """(128, 128, 3) in [0, 255]: a random crop of a random photo, paler and of random contrast."""
    whole = _photos(split)[rng.integers(len(PHOTOS[split]))]
    size = int(rng.integers(SIDE, len(whole) + 1))
    top, left = rng.integers(0, len(whole) - size + 1, 2)
    steps = np.arange(SIDE) * (size - 1) // (SIDE - 1)
    crop = whole[(top + steps)[:, None], (left + steps)[:: rng.choice((-1, 1))]]
    pale, contrast, shift = rng.uniform(0.2, 0.7), rng.uniform(0.5, 0.95), rng.uniform(-25, 25)
    mix = np.full((3, 3), (1 - pale) / 3) + pale * np.eye(3)
    return crop @ (contrast * mix).astype(np.float32) + np.float32(127 + shift - 127 * contrast)


@functools.cache
def _photos(split: str) -> Image:
    return np.stack([photo(name, PHOTO) for name in PHOTOS[split]]).astype(np.float32)


@functools.cache
def outline(shape: str, size: int, turn: int) -> Image:
    """(size, size) in [0, 1]: the share of each pixel that the shape covers, turned by some degrees."""
    from PIL import Image as Pil
    from PIL import ImageDraw

    s = 8 * size
    picture = Pil.new("L", (s, s), 0)
    pen = ImageDraw.Draw(picture)
    edge = s // 16
    if shape in ("circle", "ring"):
        pen.ellipse((edge, edge, s - edge, s - edge), fill=255)
        if shape == "ring":
            hole = round(0.3 * s)
            pen.ellipse((hole, hole, s - hole, s - hole), fill=0)
    elif shape == "square":
        pen.rectangle((s // 8, s // 8, s - s // 8, s - s // 8), fill=255)
    elif shape == "triangle":
        pen.polygon([(s // 2, edge), (s - edge, s - edge), (edge, s - edge)], fill=255)
    elif shape == "cross":
        near, far = round(0.34 * s), round(0.66 * s)
        pen.rectangle((near, edge, far, s - edge), fill=255)
        pen.rectangle((edge, near, s - edge, far), fill=255)
    else:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    turned = picture.rotate(turn, Pil.Resampling.BICUBIC).resize((size, size), Pil.Resampling.LANCZOS)
    return np.asarray(turned, np.float32) / 255


@functools.cache
def handwriting(split: str) -> tuple[Image, npt.NDArray[np.int64]]:
    """(digits, 16, 16) ink in [0, 1] and what was written, from scikit-learn's handwritten digits."""
    from PIL import Image as Pil
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    pictures = [Pil.fromarray((page * 255 / 16).astype(np.uint8)) for page in data.images[DIGITS[split]]]
    ink = [np.asarray(p.resize((BOX, BOX), Pil.Resampling.BICUBIC), np.float32) / 255 for p in pictures]
    return np.stack(ink), data.target[DIGITS[split]].astype(np.int64)


def handwritten(split: str, rng: np.random.Generator) -> tuple[Image, int]:
    """(16, 16) ink of a random digit, and which it is.

    In training it is turned, slanted, stretched, shifted and thickened a little: the few pages there are learnt by heart
    otherwise.
    """
    from PIL import Image as Pil

    ink, written = handwriting(split)
    which = rng.integers(len(written))
    if split != "train":
        return ink[which], int(written[which])
    turn, slant = rng.uniform(-0.22, 0.22), rng.uniform(-0.25, 0.25)
    across, down = rng.uniform(0.85, 1.15, 2)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    back = turned @ np.array([[1 / across, slant], [0, 1 / down]])
    centre = np.full(2, (BOX - 1) / 2)
    shift = centre - back @ (centre + rng.uniform(-1, 1, 2)) + 0.5 - back @ np.full(2, 0.5)
    rows = np.column_stack([back, shift]).ravel().tolist()
    bent = Pil.fromarray(ink[which]).transform((BOX, BOX), Pil.Transform.AFFINE, rows, Pil.Resampling.BILINEAR)
    return np.asarray(bent) ** rng.uniform(0.6, 1.4), int(written[which])


def card(ink: Image, rng: np.random.Generator) -> Image:
    """(16, 16, 3): dark ink on light paper."""
    page = rng.uniform(225, 250) * (1 - ink) + rng.uniform(0, 40) * ink
    return np.repeat(page[..., None], 3, axis=2).astype(np.float32)


def clutter(kind: str, split: str, rng: np.random.Generator) -> tuple[Image, Image]:
    """A thing that no question asks for: (16, 16, 3) colours and the (16, 16) share of each pixel it covers.

    A card with scribbles but no digit, a swatch of another photo, or a grey blob.
    """
    full = np.ones((BOX, BOX), np.float32)
    if kind == "scribble":
        steps = rng.integers(-1, 2, (40, 2))
        path = np.clip(np.cumsum(steps, axis=0) + rng.integers(3, 13, 2), 1, BOX - 2)
        ink = np.zeros((BOX, BOX), np.float32)
        ink[path[:, 0], path[:, 1]] = 1
        return card(ink, rng), full
    if kind == "swatch":
        top, left = rng.integers(0, PHOTO - BOX, 2)
        return _photos(split)[rng.integers(len(PHOTOS[split])), top : top + BOX, left : left + BOX], full
    if kind == "blob":
        y, x = np.mgrid[:BOX, :BOX] - (BOX - 1) / 2
        angle = np.arctan2(y, x)
        waves = sum(rng.uniform(-1, 1) * np.cos(m * angle + rng.uniform(0, 6.28)) for m in (2, 3, 4))
        inside = np.clip(6 + waves - np.hypot(x, y), 0, 1).astype(np.float32)
        return np.full((BOX, BOX, 3), rng.uniform(60, 200), np.float32), inside
    raise ValueError(f"clutter must be one of {', '.join(CLUTTER)}, got {kind!r}")

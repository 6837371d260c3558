"""Photographs that ship with scikit-image and scikit-learn, cut to a square."""

from __future__ import annotations

import functools
import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SIDE = 336

PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "ihc": ("skimage", "data/ihc.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "camera": ("skimage", "data/camera.png"),
    "coins": ("skimage", "data/coins.png"),
    "brick": ("skimage", "data/brick.png"),
    "grass": ("skimage", "data/grass.png"),
    "gravel": ("skimage", "data/gravel.png"),
}
DISTRIBUTION = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def photo(name: str, side: int = SIDE) -> npt.NDArray[np.uint8]:
    """(side, side, 3) uint8 picture: the central square, resized with anti-aliasing; a grey photo in three equal channels.

    Read from the installed wheels of scikit-image and scikit-learn, never from the network.

    Raises
    ------
    ValueError : unknown name.
    ImportError : scikit-image (or scikit-learn for "china" and "flower") is missing.

    Examples
    --------
    >>> photo("astronaut").shape
    (336, 336, 3)
    """
    return np.round(255 * square(name, side)).astype(np.uint8)


@functools.lru_cache(maxsize=32)
def square(name: str, side: int) -> npt.NDArray[np.float32]:
    """(side, side, 3) in [0, 1], read-only."""
    path = _file(name)
    picture = skimage("io").imread(path)
    picture = np.stack([picture] * 3, axis=-1) if picture.ndim == 2 else picture[..., :3]
    height, width = picture.shape[:2]
    edge = min(height, width)
    top, left = (height - edge) // 2, (width - edge) // 2
    central = picture[top : top + edge, left : left + edge]
    central = skimage("transform").resize(central, (side, side), anti_aliasing=True)
    return frozen(np.clip(central, 0.0, 1.0).astype(np.float32))


def _file(name: str) -> Path:
    """Where the photo lies in the installed package, without importing the package."""
    if name not in PHOTOS:
        raise ValueError(f"photo must be one of {', '.join(PHOTOS)}, got {name!r}")
    package, inside = PHOTOS[name]
    for needed in ("skimage", package):
        if find_spec(needed) is None:
            raise ImportError(f"photos need {DISTRIBUTION[needed]}: pip install 'mmdp[photos]'")
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / inside).is_file():
            return path
    raise FileNotFoundError(f"the installed {DISTRIBUTION[package]} does not hold {inside}")


def skimage(part: str) -> Any:
    """A module of scikit-image, imported when it is first needed."""
    return importlib.import_module(f"skimage.{part}")


def frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, made read-only."""
    array.setflags(write=False)
    return array

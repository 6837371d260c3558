"""Photo patches as tokens: six photographs that ship with scikit-image and scikit-learn, in five feature maps."""

from __future__ import annotations

import functools
import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.checks import Float
from mmdp.instances.instance import Instance
from mmdp.instances.recipes import keys_values, relevance_to_query, unit_rows, whole

SIDE, PATCH = 336, 14
GRID = SIDE // PATCH
TOKENS = GRID * GRID
COMPONENTS = 64

PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "motorcycle_left": ("skimage", "data/motorcycle_left.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
}
KINDS = {
    "pca": "64 principal components of the patches",
    "pcah": "the same, half whitened",
    "pcaw": "the same, whitened",
    "daisy": "DAISY descriptors, mean removed",
    "raw": "pixels, mean removed",
}
_DISTRIBUTION = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


def photo(name: str) -> npt.NDArray[np.uint8]:
    """(336, 336, 3) uint8 picture: the central square, resized with anti-aliasing.

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
    return np.round(255 * _square(name)).astype(np.uint8)


def photo_tokens(name: str, kind: str = "pca", n: int | None = None, seed: int = 0) -> Instance:
    """The 24 x 24 patches of a photo as 576 tokens of unit norm, with relevance and the keys and values of one head.

    Patches of 14 x 14 x 3 = 588 numbers in raster order, from which the mean patch is taken, then one of

    * ``"raw"``: nothing more (d = 588);
    * ``"pca"``: the first 64 scores U S of the singular value decomposition;
    * ``"pcah"``, ``"pcaw"``: each score column divided by the square root of its norm, or by its norm, which
      flattens the spectrum;
    * ``"daisy"``: DAISY descriptors :cite:p:`tola2010daisy` of the grey patch centres (d = 104), mean removed.

    The sign of each score column is fixed (its largest entry is positive), so that random projections of the tokens
    do not depend on the linear algebra library. Effective ranks run from 1.5 ("pca") over 10 to 17 ("daisy") to 54
    ("pcaw").

    Parameters
    ----------
    name : a key of `PHOTOS`.
    kind : a key of `KINDS`.
    n : None for all 576 tokens, or the size of a random subset in raster order (1 <= n <= 576); the subset has no grid.
    seed : of the subset, the query behind the relevance, and the key and value projections.

    Examples
    --------
    >>> instance = photo_tokens("chelsea", "daisy")
    >>> instance.features.shape, instance.grid
    ((576, 104), (24, 24))
    >>> photo_tokens("chelsea", "pca", n=100).name
    'photo/chelsea/pca/100/0'
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    size = TOKENS if n is None else whole(n, "n", 1, TOKENS)
    seed = whole(seed, "seed", 0)
    X = _features(name, kind)
    full_name = f"photo/{name}/{kind}"
    if size < TOKENS:
        X = X[np.sort(np.random.default_rng(seed).permutation(TOKENS)[:size])]
    if size < TOKENS or seed:
        full_name += f"/{size}/{seed}"
    X = unit_rows(X)
    K, V = keys_values(X, seed)
    return Instance(
        name=full_name,
        features=X,
        relevance=relevance_to_query(X, seed),
        keys=K,
        values=V,
        grid=(GRID, GRID) if size == TOKENS else None,
        image=photo(name),
        source={
            "photo": name,
            "package": _DISTRIBUTION[PHOTOS[name][0]],
            "kind": KINDS[kind],
            "tokens": f"{size} of {TOKENS} patches of {PATCH} x {PATCH} pixels",
            "seed": str(seed),
        },
    )


@functools.cache
def _square(name: str) -> npt.NDArray[np.float32]:
    """(336, 336, 3) in [0, 1], read-only."""
    path = _file(name)
    picture = _skimage("io").imread(path)[..., :3]
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    square = _skimage("transform").resize(square, (SIDE, SIDE), anti_aliasing=True)
    return _frozen(np.clip(square, 0.0, 1.0).astype(np.float32))


def _file(name: str) -> Path:
    """Where the photo lies in the installed package, without importing the package."""
    if name not in PHOTOS:
        raise ValueError(f"photo must be one of {', '.join(PHOTOS)}, got {name!r}")
    package, inside = PHOTOS[name]
    for needed in ("skimage", package):
        if find_spec(needed) is None:
            raise ImportError(f"photos need {_DISTRIBUTION[needed]}: pip install 'mmdp[photos]'")
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (path := Path(folder) / inside).is_file():
            return path
    raise FileNotFoundError(f"the installed {_DISTRIBUTION[package]} does not hold {inside}")


@functools.cache
def _features(name: str, kind: str) -> Float:
    """(576, d) rows before they are scaled to unit norm, read-only."""
    if kind == "daisy":
        return _frozen(_daisy(name))
    square = _square(name).astype(np.float64)
    patches = square.reshape(GRID, PATCH, GRID, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(TOKENS, -1)
    patches = patches - patches.mean(axis=0)
    if kind == "raw":
        return _frozen(patches)
    U, S, _ = np.linalg.svd(patches, full_matrices=False)
    scores = U[:, :COMPONENTS] * S[:COMPONENTS]
    peaks = scores[np.abs(scores).argmax(axis=0), np.arange(COMPONENTS)]
    scores *= np.sign(peaks)
    return _frozen(scores / S[:COMPONENTS] ** {"pca": 0.0, "pcah": 0.5, "pcaw": 1.0}[kind])


def _daisy(name: str) -> Float:
    grey = _skimage("color").rgb2gray(_square(name))
    grey = np.pad(grey, PATCH + 1, mode="reflect")  # so that there is a descriptor for every patch
    described = _skimage("feature").daisy(grey, step=PATCH, radius=PATCH, rings=2, histograms=6, orientations=8)
    rows: Float = described[:GRID, :GRID].reshape(TOKENS, -1).astype(np.float64)
    centred: Float = rows - rows.mean(axis=0)
    return centred


def _skimage(part: str) -> Any:
    """A module of scikit-image, imported when it is first needed."""
    return importlib.import_module(f"skimage.{part}")


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array

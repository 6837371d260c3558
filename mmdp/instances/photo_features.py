"""Feature maps of photo patches: principal components, DAISY descriptors, pixels; centred or as they are."""

from __future__ import annotations

import functools

import numpy as np
from scipy.linalg import svd

from mmdp.checks import Float
from mmdp.instances.pictures import frozen, skimage, square

PATCH = 14
COMPONENTS = 64
UNCENTRED = "-uncentred"

KINDS = {
    "pca": "64 principal components of the patches",
    "pcah": "the same, half whitened",
    "pcaw": "the same, whitened",
    "daisy": "DAISY descriptors, mean removed",
    "raw": "pixels, mean removed",
    "pca-uncentred": "64 leading singular directions of the patches, mean kept",
    "daisy-uncentred": "DAISY descriptors, mean kept",
    "raw-uncentred": "pixels as they are",
}
_WHITENING = {"pca": 0.0, "pcah": 0.5, "pcaw": 1.0}  # power of the singular values that the scores are divided by


@functools.lru_cache(maxsize=64)
def features(names: tuple[str, ...], kind: str, grid: int) -> Float:
    """(len(names) grid^2, d) rows before they are scaled to unit norm, photo by photo in raster order, read-only."""
    base = kind.removesuffix(UNCENTRED)
    centred = base == kind
    if base in _WHITENING:
        scores, S = _scores(names, grid, centred)
        return frozen(scores / S ** _WHITENING[base])
    rows = np.concatenate([_daisy(name, grid) if base == "daisy" else _patches(name, grid) for name in names])
    return frozen(rows - rows.mean(axis=0) if centred else rows)


@functools.lru_cache(maxsize=8)
def _scores(names: tuple[str, ...], grid: int, centred: bool) -> tuple[Float, Float]:
    """The first 64 score columns U S, the largest entry of each positive, and S."""
    patches = np.concatenate([_patches(name, grid) for name in names])
    if centred:
        patches = patches - patches.mean(axis=0)
    try:
        U, S, _ = np.linalg.svd(patches, full_matrices=False)
    except np.linalg.LinAlgError:  # LAPACK's divide and conquer can fail on the equal channels of a grey photo
        U, S, _ = svd(patches, full_matrices=False, lapack_driver="gesvd")
    scores = U[:, :COMPONENTS] * S[:COMPONENTS]
    scores[~patches.any(axis=1)] = 0.0  # a black patch has no direction, not one made of rounding
    peaks = scores[np.abs(scores).argmax(axis=0), np.arange(COMPONENTS)]
    return scores * np.sign(peaks), S[:COMPONENTS]


def _patches(name: str, grid: int) -> Float:
    """(grid^2, 588) pixels."""
    picture = square(name, grid * PATCH).astype(np.float64)
    rows: Float = picture.reshape(grid, PATCH, grid, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(grid * grid, -1)
    return rows


def _daisy(name: str, grid: int) -> Float:
    """(grid^2, 104) descriptors of the patch centres."""
    grey = skimage("color").rgb2gray(square(name, grid * PATCH))
    grey = np.pad(grey, PATCH + 1, mode="reflect")  # so that there is a descriptor for every patch
    described = skimage("feature").daisy(grey, step=PATCH, radius=PATCH, rings=2, histograms=6, orientations=8)
    rows: Float = described[:grid, :grid].reshape(grid * grid, -1).astype(np.float64)
    return rows

"""Photo patches as tokens: fifteen photographs that ship with scikit-image and scikit-learn, in eight feature maps."""

from __future__ import annotations

import numpy as np

from mmdp.instances.instance import Instance
from mmdp.instances.photo_features import KINDS, PATCH, features
from mmdp.instances.pictures import DISTRIBUTION, PHOTOS, photo
from mmdp.instances.recipes import keys_values, relevance_to_query, unit_rows, whole

GRID = 24
TOKENS = GRID * GRID
LARGEST_GRID = 48


def photo_tokens(name: str, kind: str = "pca", n: int | None = None, seed: int = 0, *, grid: int = GRID) -> Instance:
    """The patches of a photo as tokens of unit norm, with relevance and the keys and values of one head.

    Patches of 14 x 14 x 3 = 588 numbers in raster order, from which the mean patch is taken, then one of

    * ``"raw"``: nothing more (d = 588);
    * ``"pca"``: the first 64 scores U S of the singular value decomposition;
    * ``"pcah"``, ``"pcaw"``: each score column divided by the square root of its norm, or by its norm, which
      flattens the spectrum;
    * ``"daisy"``: DAISY descriptors :cite:p:`tola2010daisy` of the grey patch centres (d = 104), mean removed;
    * ``"raw-uncentred"``, ``"pca-uncentred"``, ``"daisy-uncentred"``: the same with the mean kept, so that the tokens
      lie in a narrow cone around a common direction; black patches are rows of zeros.

    The sign of each score column is fixed (its largest entry is positive), so that random projections of the tokens
    do not depend on the linear algebra library. Effective ranks run from 1.02 ("pca-uncentred") over 1.5 to 4 ("pca")
    and 10 to 17 ("daisy") to 54 ("pcaw").

    Parameters
    ----------
    name : a key of `PHOTOS`.
    kind : a key of `KINDS`.
    n : None for all tokens, or the size of a random subset of the 24 x 24 grid in raster order (1 <= n <= 576); the
        subset has no grid.
    seed : of the subset, the query behind the relevance, and the key and value projections.
    grid : patches along each side, 2 to 48; the photo is resized to 14 grid pixels (336 for 24, 672 for 48).

    Examples
    --------
    >>> instance = photo_tokens("chelsea", "daisy")
    >>> instance.features.shape, instance.grid
    ((576, 104), (24, 24))
    >>> photo_tokens("chelsea", "pca", n=100).name
    'photo/chelsea/pca/100/0'
    >>> photo_tokens("chelsea", "daisy", grid=48).n
    2304
    """
    grid, seed = whole(grid, "grid", 2, LARGEST_GRID), whole(seed, "seed", 0)
    if n is not None and grid != GRID:
        raise ValueError(f"a random subset is taken from the {GRID} x {GRID} grid only, got grid = {grid} with n = {n}")
    total = grid * grid
    size = total if n is None else whole(n, "n", 1, total)
    X = features((name,), _known(kind), grid)
    full_name = f"photo/{name}/{kind}"
    if size < total:
        X = X[np.sort(np.random.default_rng(seed).permutation(total)[:size])]
    if grid != GRID:
        full_name += f"/{grid}x{grid}" + (f"/{seed}" if seed else "")
    elif size < total or seed:
        full_name += f"/{size}/{seed}"
    X = unit_rows(X)
    K, V = keys_values(X, seed)
    return Instance(
        name=full_name,
        features=X,
        relevance=relevance_to_query(X, seed),
        keys=K,
        values=V,
        grid=(grid, grid) if size == total else None,
        image=photo(name, grid * PATCH),
        source={
            "photo": name,
            "package": DISTRIBUTION[PHOTOS[name][0]],
            "kind": KINDS[kind],
            "tokens": f"{size} of {total} patches of {PATCH} x {PATCH} pixels",
            "seed": str(seed),
        },
    )


def stacked_photo_tokens(count: int, kind: str = "pca", seed: int = 0) -> Instance:
    """The patches of the first `count` photos of `PHOTOS`, one photo below the other: 576 count tokens.

    Mean and principal components are those of all patches together; otherwise as `photo_tokens`. Five photos have
    the 2880 tokens of five tiles.

    Examples
    --------
    >>> instance = stacked_photo_tokens(2, "daisy")
    >>> instance.name, instance.n, instance.grid
    ('photos/2/daisy', 1152, (48, 24))
    """
    count, seed = whole(count, "count", 2, len(PHOTOS)), whole(seed, "seed", 0)
    names = tuple(PHOTOS)[:count]
    X = unit_rows(features(names, _known(kind), GRID))
    K, V = keys_values(X, seed)
    return Instance(
        name=f"photos/{count}/{kind}" + (f"/{seed}" if seed else ""),
        features=X,
        relevance=relevance_to_query(X, seed),
        keys=K,
        values=V,
        grid=(count * GRID, GRID),
        image=np.concatenate([photo(name) for name in names]),
        source={
            "photos": ", ".join(names),
            "package": "scikit-image, scikit-learn",
            "kind": KINDS[kind],
            "tokens": f"all {count} x {TOKENS} patches of {PATCH} x {PATCH} pixels",
            "seed": str(seed),
        },
    )


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    return kind

"""Photo patches as tokens."""

import numpy as np
import pytest

from mmdp.instances import photo, photo_tokens, stacked_photo_tokens
from mmdp.instances.photo_features import KINDS, features
from mmdp.instances.pictures import PHOTOS

pytest.importorskip("skimage", reason="photos need scikit-image")
pytest.importorskip("sklearn", reason="two of the photos ship with scikit-learn")


def effective_rank(X: np.ndarray) -> float:
    spectrum = np.linalg.svd(X, compute_uv=False) ** 2
    return spectrum.sum() ** 2 / (spectrum**2).sum()


def test_a_wheel_without_the_photo_is_reported(monkeypatch):
    """A photo that the installed package does not ship is named; nothing is downloaded."""
    monkeypatch.setitem(PHOTOS, "moonrise", ("skimage", "data/moonrise.png"))
    with pytest.raises(FileNotFoundError, match=r"scikit-image does not hold data/moonrise\.png"):
        photo("moonrise")


@pytest.mark.parametrize("name", PHOTOS)
def test_pictures(name):
    """Every photo is a fresh 336 x 336 RGB array with contrast."""
    picture = photo(name)
    assert picture.shape == (336, 336, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 20
    picture[:] = 0
    assert photo(name).any()


@pytest.mark.parametrize(
    ("name", "kind"), [*(("astronaut", kind) for kind in KINDS), *((name, "pca") for name in list(PHOTOS)[1:])]
)
def test_tokens(name, kind):
    """576 unit rows (zeros for black patches) on a 24 x 24 grid, with relevance, keys, values and the picture."""
    instance = photo_tokens(name, kind)
    assert instance.features.shape == (576, {"daisy": 104, "raw": 588}.get(kind.removesuffix("-uncentred"), 64))
    assert instance.features.dtype == np.float64
    black = ~features((name,), kind, 24).any(axis=1)
    assert not black.any() or kind.endswith("-uncentred")
    np.testing.assert_allclose(np.linalg.norm(instance.features, axis=1), np.where(black, 0.0, 1.0), atol=1e-12)
    assert instance.grid == (24, 24)
    assert instance.image.shape == (336, 336, 3)
    assert instance.relevance.min() == pytest.approx(0.05)
    assert instance.relevance.max() == pytest.approx(1.0)
    assert instance.keys.shape == instance.values.shape == (1, 576, 64)
    assert instance.name == f"photo/{name}/{kind}"
    assert instance.source["photo"] == name


@pytest.mark.parametrize(
    ("name", "kind", "low", "high"),
    [
        ("astronaut", "pca", 2.9, 3.0),
        ("chelsea", "pca", 3.7, 3.9),
        ("china", "pca", 1.4, 1.6),
        ("flower", "pca", 1.5, 1.7),
        ("coffee", "pca", 2.5, 2.8),
        ("astronaut", "pcah", 6.4, 6.8),
        ("astronaut", "pcaw", 18.8, 19.6),
        ("chelsea", "daisy", 12.0, 13.0),
        ("astronaut", "daisy", 16.3, 17.2),
        ("camera", "pca", 1.5, 1.6),
        ("grass", "pca", 26.3, 27.3),
        ("hubble", "pca", 9.8, 10.9),
        ("astronaut", "pca-uncentred", 1.6, 1.8),
        ("astronaut", "raw-uncentred", 1.6, 1.8),
        ("chelsea", "daisy-uncentred", 1.5, 1.6),
    ],
)
def test_effective_rank(name, kind, low, high):
    """Whitening flattens the spectrum: the effective ranks are those measured for the recipes."""
    assert low < effective_rank(photo_tokens(name, kind).features) < high


def test_raw_tokens_are_the_centred_patches():
    """Row 24 r + c of "raw" points along the pixels of patch (r, c) minus the mean patch."""
    picture = photo("coffee") / 255
    patches = np.array(
        [picture[14 * r : 14 * r + 14, 14 * c : 14 * c + 14].ravel() for r in range(24) for c in range(24)]
    )
    centred = patches - patches.mean(axis=0)
    cosines = (photo_tokens("coffee", "raw").features * centred).sum(axis=1) / np.linalg.norm(centred, axis=1)
    assert np.median(cosines) > 0.9999
    assert cosines.min() > 0.98  # flat patches feel the rounding to whole grey values


@pytest.mark.parametrize("kind", ["raw", "daisy"])
def test_centring_takes_the_mean_token_away_and_nothing_else(kind):
    """The uncentred rows minus their mean are the centred rows; before that they lie in a narrow cone."""
    kept, centred = features(("coffee",), kind + "-uncentred", 24), features(("coffee",), kind, 24)
    np.testing.assert_allclose(kept - kept.mean(axis=0), centred, atol=1e-12)
    X = photo_tokens("coffee", kind + "-uncentred").features
    assert (X @ X.mean(axis=0)).min() > 0


def test_uncentred_components_keep_the_geometry_of_the_pixels():
    """Singular directions with the mean kept have nearly the cosines of the pixels; those of a grey photo exist too."""
    raw, pca = (photo_tokens("gravel", kind + "-uncentred").features for kind in ("raw", "pca"))
    assert np.abs(raw @ raw.T - pca @ pca.T).max() < 0.05


def test_a_grey_photo_has_three_equal_channels():
    """So that its patches have as many numbers as those of the others."""
    picture = photo("camera")
    assert (picture == picture[..., :1]).all()


def test_a_finer_grid_has_more_tokens():
    """48 x 48 patches of the photo at 672 pixels; random subsets are those of the usual grid."""
    instance = photo_tokens("chelsea", "daisy", grid=48)
    assert (instance.n, instance.grid, instance.image.shape) == (2304, (48, 48), (672, 672, 3))
    assert instance.name == "photo/chelsea/daisy/48x48"
    assert photo_tokens("chelsea", "daisy", grid=24).name == "photo/chelsea/daisy"
    with pytest.raises(ValueError, match="grid must be between 2 and 48, got 49"):
        photo_tokens("chelsea", grid=49)
    with pytest.raises(ValueError, match="subset is taken from the 24 x 24 grid only, got grid = 48 with n = 100"):
        photo_tokens("chelsea", n=100, grid=48)


def test_stacked_photos_share_one_mean():
    """The tokens of two photos, centred together, are not those of the photos centred apart."""
    stacked = stacked_photo_tokens(2, "daisy-uncentred")
    for part, name in enumerate(list(PHOTOS)[:2]):
        alone = photo_tokens(name, "daisy-uncentred")
        np.testing.assert_array_equal(stacked.features[576 * part : 576 * (part + 1)], alone.features)
    assert stacked.grid == (48, 24)
    assert stacked.image.shape == (672, 336, 3)
    apart = photo_tokens("astronaut", "daisy").features
    assert not np.allclose(stacked_photo_tokens(2, "daisy").features[:576], apart, atol=0.01)
    with pytest.raises(ValueError, match="count must be between 2 and 15, got 1"):
        stacked_photo_tokens(1)


def test_principal_components_keep_the_geometry():
    """64 of 588 components hold nearly all of the patches, so "pca" and "raw" have nearly the same cosines."""
    raw, pca = photo_tokens("astronaut", "raw").features, photo_tokens("astronaut", "pca").features
    assert np.abs(raw @ raw.T - pca @ pca.T).mean() < 0.02


def test_signs_do_not_depend_on_the_linear_algebra_library():
    """Before scaling to unit norm, the largest entry of every component is positive."""
    scores = features(("flower",), "pcaw", 24)
    assert (scores[np.abs(scores).argmax(axis=0), np.arange(64)] > 0).all()
    np.testing.assert_allclose(scores.T @ scores, np.eye(64), atol=1e-9)


def test_a_subset_is_taken_from_the_full_tokens():
    """n tokens in raster order, chosen by the seed; a subset has no grid but still the picture."""
    full = photo_tokens("chelsea", "pca")
    part, other = photo_tokens("chelsea", "pca", n=100), photo_tokens("chelsea", "pca", n=100, seed=1)
    assert part.name == "photo/chelsea/pca/100/0"
    assert part.grid is None
    assert part.image is not None
    where = np.sort(np.random.default_rng(0).permutation(576)[:100])
    np.testing.assert_array_equal(part.features, full.features[where])
    assert not np.array_equal(part.features, other.features)


def test_all_tokens_with_another_seed_keep_the_grid():
    """The seed then moves only the query and the projections."""
    full, other = photo_tokens("chelsea", "pca"), photo_tokens("chelsea", "pca", n=576, seed=3)
    assert other.grid == (24, 24)
    np.testing.assert_array_equal(full.features, other.features)
    assert not np.array_equal(full.keys, other.keys)


def test_instances_do_not_share_arrays():
    """Writing into one instance does not reach the next."""
    photo_tokens("astronaut", "pca").features[:] = 0
    assert photo_tokens("astronaut", "pca").features.any()


@pytest.mark.parametrize("n", [0, 577])
def test_the_size_of_a_subset_is_checked(n):
    """A photo has 576 patches."""
    with pytest.raises(ValueError, match=f"n must be between 1 and 576, got {n}"):
        photo_tokens("astronaut", "pca", n=n)


def test_farthest_first_on_a_photo_is_as_measured():
    """On the astronaut, k = 58, farthest-first is at 0.918 of the proven optimum 0.51952."""
    problem = photo_tokens("astronaut", "pca").problem("max-min", 58)
    distances = problem.distances
    chosen = [int((distances + np.diag(np.full(576, np.inf))).min(axis=1).argmax())]
    nearest = distances[chosen[0]].copy()
    while len(chosen) < 58:
        nearest[chosen] = -1
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, distances[chosen[-1]])
    assert problem.value(chosen) / 0.51952 == pytest.approx(0.918, abs=5e-4)


def test_energy_on_a_photo_is_as_measured():
    """On the astronaut's DAISY tokens, k = 64, greedy eviction is within 0.01 % of the proven least energy 14109.52."""
    gram = photo_tokens("astronaut", "daisy").problem("implicit-weight", 64).gram
    evicted = np.zeros(576, dtype=bool)
    cost = np.diag(gram).copy()
    for _ in range(576 - 64):
        i = int(np.where(evicted, np.inf, cost).argmin())
        evicted[i] = True
        cost += 2 * gram[i]
    energy = gram[np.ix_(evicted, evicted)].sum()
    assert 14109.5 <= energy <= 14109.52 * 1.0001

"""Photo patches as tokens."""

import numpy as np
import pytest

from mmdp.instances import photo, photo_tokens
from mmdp.instances import photos as module
from mmdp.instances.photos import KINDS, PHOTOS

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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PHOTOS)
def test_tokens(name, kind):
    """576 unit rows on a 24 x 24 grid, with relevance, keys, values and the picture."""
    instance = photo_tokens(name, kind)
    assert instance.features.shape == (576, {"daisy": 104, "raw": 588}.get(kind, 64))
    assert instance.features.dtype == np.float64
    np.testing.assert_allclose(np.linalg.norm(instance.features, axis=1), 1.0, atol=1e-12)
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


def test_principal_components_keep_the_geometry():
    """64 of 588 components hold nearly all of the patches, so "pca" and "raw" have nearly the same cosines."""
    raw, pca = photo_tokens("astronaut", "raw").features, photo_tokens("astronaut", "pca").features
    assert np.abs(raw @ raw.T - pca @ pca.T).mean() < 0.02


def test_signs_do_not_depend_on_the_linear_algebra_library():
    """Before scaling to unit norm, the largest entry of every component is positive."""
    scores = module._features("flower", "pcaw")
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

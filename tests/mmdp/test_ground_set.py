"""The ground set: distances and their edge cases."""

import numpy as np
import pytest

from mmdp import GroundSet
from mmdp.checks import from_bfloat16


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(20, 5))


def test_cosine_distance_is_one_minus_cosine(rows):
    """d_ij = 1 - x_i . x_j / (||x_i|| ||x_j||), symmetric, with zero diagonal."""
    ground = GroundSet(rows)
    i, j = 3, 11
    expected = 1 - rows[i] @ rows[j] / np.linalg.norm(rows[i]) / np.linalg.norm(rows[j])
    assert ground.distances[i, j] == pytest.approx(expected, abs=1e-14)
    assert (ground.distances == ground.distances.T).all()
    assert (np.diag(ground.distances) == 0).all()


def test_chordal_distance_is_the_metric_with_the_same_order(rows):
    """The chord squared is twice the cosine distance, and only the chord obeys the triangle inequality."""
    cosine, chordal = GroundSet(rows), GroundSet(rows, "chordal")
    np.testing.assert_allclose(chordal.distances**2, 2 * cosine.distances, atol=1e-14)
    assert chordal.is_metric
    assert not cosine.is_metric


def test_euclidean_distance(rows):
    """d_ij = ||x_i - x_j||; the origin is a place like any other."""
    ground = GroundSet(np.vstack([rows, np.zeros(5)]), "euclidean")
    assert ground.distances[2, 7] == pytest.approx(np.linalg.norm(rows[2] - rows[7]))
    assert ground.distances[20, 2] == pytest.approx(np.linalg.norm(rows[2]))
    assert not ground.zero_rows.any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_copies_are_at_distance_zero_in_every_precision(rows, dtype):
    """Bitwise copies, also scaled by a power of two, are exactly 0 apart."""
    x = rows.astype(dtype)
    ground = GroundSet(np.vstack([x, 4 * x]))
    assert (np.diag(ground.distances[:20, 20:]) == 0).all()
    assert ground.features.dtype == dtype


def test_zero_rows_are_at_distance_zero_from_everything(rows):
    """A token without direction gains nothing under any objective."""
    rows[4] = 0
    rows[9] = 1e-14
    for metric in ("cosine", "chordal"):
        ground = GroundSet(rows, metric)
        assert ground.zero_rows.nonzero()[0].tolist() == [4, 9]
        assert (ground.distances[[4, 9]] == 0).all()
        assert (ground.cosines[[4, 9]] == 0).all()


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e200])
def test_scale_changes_nothing(rows, scale):
    """Cosine distances do not see the length of a token, without overflow or underflow."""
    np.testing.assert_allclose(GroundSet(rows * scale).distances, GroundSet(rows).distances, atol=1e-12)


def test_given_distances_and_the_triangle_inequality():
    """Given distances are taken as they are; whether they form a metric is tested entry by entry."""
    line = np.abs(np.subtract.outer([0.0, 1.0, 3.0], [0.0, 1.0, 3.0]))
    assert GroundSet.from_distances(line).is_metric
    assert not GroundSet.from_distances(line**2).is_metric
    assert (GroundSet.from_distances(line).distances == line).all()


def test_torch_tensors_are_taken_as_they_are(rows):
    """A tensor, also in bfloat16, is read without importing torch here."""
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(rows, dtype=torch.bfloat16)
    np.testing.assert_array_equal(GroundSet(tensor).features, tensor.float().numpy())
    bits = tensor.view(torch.int16).numpy().view(np.uint16)
    np.testing.assert_array_equal(from_bfloat16(bits[::-1, ::-1]), tensor.float().numpy()[::-1, ::-1])


def test_bfloat16_of_ml_dtypes(rows):
    """numpy arrays of that type, as JAX hands them out, in any layout."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    array = np.asarray(rows, dtype=bfloat16)
    features = GroundSet(np.asfortranarray(array)[::-1]).features
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, array.astype(np.float32)[::-1])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([[1.0, np.nan]], r"features must be finite, got nan at index \(0, 1\)"),
        ([[1.0, 2.0], [np.inf, 0.0]], r"features must be finite, got inf at index \(1, 0\)"),
        ([1.0, 2.0], r"features must be 2-D, got shape \(2,\)"),
        (np.zeros((3, 0)), "features must have at least one column"),
    ],
)
def test_bad_features_are_named(features, message):
    """One sentence with the value and where it stands."""
    with pytest.raises(ValueError, match=message):
        GroundSet(features)


def test_bad_types_and_metrics_are_named():
    """Complex numbers and unknown metrics are refused."""
    with pytest.raises(TypeError, match="complex128"):
        GroundSet(np.ones((2, 2), dtype=complex))
    with pytest.raises(ValueError, match="metric must be one of cosine, chordal, euclidean, got 'l1'"):
        GroundSet(np.ones((2, 2)), "l1")


@pytest.mark.parametrize(
    ("distances", "message"),
    [
        ([[0.0, 1.0], [2.0, 0.0]], r"distances must be symmetric, got 1.0 at \(0, 1\) and 2.0 at \(1, 0\)"),
        ([[0.0, -1.0], [-1.0, 0.0]], "distances must be >= 0, got -1.0"),
        ([[1.0, 1.0], [1.0, 0.0]], "zero diagonal, got 1.0 at"),
        ([[0.0, 1.0]], r"distances must be square, got shape \(1, 2\)"),
    ],
)
def test_bad_distances_are_named(distances, message):
    """Asymmetric, negative, non-square matrices and non-zero diagonals are refused."""
    with pytest.raises(ValueError, match=message):
        GroundSet.from_distances(distances)


def test_empty_ground_set():
    """No tokens is a legal ground set."""
    ground = GroundSet(np.zeros((0, 3)))
    assert ground.n == 0
    assert ground.distances.shape == (0, 0)
    assert ground.is_metric is False

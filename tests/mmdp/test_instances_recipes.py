"""The recipes for relevance, keys and values."""

import numpy as np
import pytest

from mmdp.instances.recipes import HEAD_WIDTH, keys_values, relevance_to_query, unit_rows, whole


@pytest.fixture
def rows() -> np.ndarray:
    return unit_rows(np.random.default_rng(3).normal(size=(40, 12)))


def test_unit_rows_have_norm_one_and_zero_rows_stay_zero():
    """Every row is divided by its own norm; a zero row has no direction to keep."""
    units = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(units, [[0.6, 0.8], [0.0, 0.0]], atol=1e-15)


def test_relevance_follows_its_formula(rows):
    """r is the stretched product with the mean token plus a little noise, its extremes are exactly 0.05 and 1."""
    noise = np.random.default_rng(5 + 7).standard_normal(12)
    products = rows @ (rows.mean(axis=0) + 0.1 * noise / np.sqrt((noise**2).sum()))
    relevance = relevance_to_query(rows, seed=5)
    assert relevance.min() == pytest.approx(0.05, abs=1e-15)
    assert relevance.max() == pytest.approx(1.0, abs=1e-15)
    assert np.corrcoef(products, relevance)[0, 1] == pytest.approx(1.0, abs=1e-12)


def test_equal_tokens_are_equally_relevant():
    """Where no token stands out all relevances are 1, not 0 / 0."""
    assert relevance_to_query(np.ones((3, 2)), seed=0).tolist() == [1.0, 1.0, 1.0]


def test_keys_and_values_are_linear_in_the_tokens(rows):
    """Keys and values are projections of the rows to 64 columns of one head, so they have the rows' rank."""
    keys, values = keys_values(rows, seed=1)
    assert keys.shape == values.shape == (1, 40, HEAD_WIDTH)
    for projected in (keys[0], values[0]):
        weights = np.linalg.lstsq(rows, projected, rcond=None)[0]
        np.testing.assert_allclose(rows @ weights, projected, atol=1e-12)
    assert not np.allclose(keys, values)


@pytest.mark.parametrize("uneven", [False, True])
def test_the_gram_matrix_has_trace_n(rows, uneven):
    """sum_i ||k_i||^2 ||v_i||^2 = n, so that energies of different instances compare."""
    keys, values = keys_values(rows, seed=1, uneven=uneven)
    gram = (keys[0] @ keys[0].T) * (values[0] @ values[0].T)
    assert np.trace(gram) == pytest.approx(40)


def test_uneven_tokens_scale_keys_and_values_alike(rows):
    """The factor of a token is one and the same for its key and its value."""
    plain, uneven = keys_values(rows, seed=1), keys_values(rows, seed=1, uneven=True)
    norms = np.linalg.norm(uneven[0][0], axis=1) / np.linalg.norm(uneven[1][0], axis=1)
    assert np.ptp(np.linalg.norm(uneven[0][0], axis=1)) > 2 * np.ptp(np.linalg.norm(plain[0][0], axis=1))
    assert np.ptp(norms) < 1.5  # the two random projections alone


def test_zero_tokens_give_zero_keys():
    """Nothing is divided by a vanishing trace."""
    keys, values = keys_values(np.zeros((2, 3)), seed=0)
    assert not keys.any()
    assert not values.any()


def test_whole_numbers_are_checked():
    """A size says its name, its range and what it got."""
    assert whole(np.int64(4), "n", 1) == 4
    with pytest.raises(ValueError, match="n must be >= 1, got 0"):
        whole(0, "n", 1)
    with pytest.raises(ValueError, match="clusters must be between 1 and 5, got 6"):
        whole(6, "clusters", 1, 5)
    for wrong in (True, 2.0, "3"):
        with pytest.raises(TypeError, match="n must be a whole number"):
            whole(wrong, "n", 1)

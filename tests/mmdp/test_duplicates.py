"""Bitwise-equal tokens are told apart by nothing but their index."""

import numpy as np
import pytest

from mmdp import GroundSet, ImplicitWeight
from mmdp.duplicates import copy_equal_tokens, first_copies


def test_first_copies_by_hand():
    """A token points to the first one that equals it in every array."""
    a = np.array([[1.0], [2.0], [1.0], [1.0]])
    b = np.array([[5.0], [5.0], [5.0], [6.0]])
    assert first_copies(a).tolist() == [0, 1, 0, 0]
    assert first_copies(a, b).tolist() == [0, 1, 0, 3]
    assert first_copies(np.zeros((0, 3))).tolist() == []


def test_copy_equal_tokens_by_hand():
    """Rows and columns come from the first copy; without copies the matrix is returned as it is."""
    matrix = np.arange(9.0).reshape(3, 3)
    assert copy_equal_tokens(matrix, np.array([0, 1, 0])).tolist() == [[0, 1, 0], [3, 4, 3], [0, 1, 0]]
    assert copy_equal_tokens(matrix, np.arange(3)) is matrix


@pytest.mark.parametrize(("n", "d"), [(63, 33), (100, 64), (577, 129)])
def test_equal_tokens_have_equal_similarities(n, d):
    """Cosines and Gram matrices give equal tokens the same rows to the last bit, as a BLAS product alone does not."""
    rng = np.random.default_rng(n)
    source = rng.integers(0, n // 2, n)
    x, keys, values = rng.normal(size=(n, d))[source], rng.normal(size=(n, 5))[source], rng.normal(size=(n, 7))[source]
    first = first_copies(x)
    assert (first < np.arange(n)).any()
    cosines = GroundSet(x).cosines
    assert np.array_equal(cosines, cosines[first])
    assert (cosines[np.arange(n), first] == 1).all()
    for form in ("truncation", "squared"):
        gram = ImplicitWeight.from_keys_values(keys, values, 1, form=form).gram
        assert np.array_equal(gram, gram[first])

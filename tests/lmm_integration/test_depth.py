"""The one rule for published layers in models of other depth."""

import pytest

from lmm_integration.depth import layer_of


@pytest.mark.parametrize(
    ("published", "of", "layers", "expected"),
    [(2, 32, 32, 2), (2, 32, 40, 2), (4, 28, 28, 4), (4, 28, 64, 4), (4, 28, 14, 2), (2, 32, 24, 2), (2, 32, 16, 1)],
)
def test_published_layers_at_other_depths(published, of, layers, expected):
    """Relative depth in shallower models, the published number in deeper ones."""
    assert layer_of(published, of, layers) == expected


@pytest.mark.parametrize(("published", "of"), [(1, 2), (2, 32), (4, 28), (27, 28)])
def test_the_layer_is_inside_the_model_and_grows_with_its_depth(published, of):
    """At least one layer reads all tokens, at least one is pruned."""
    found = [layer_of(published, of, layers) for layers in range(2, 80)]
    assert found == sorted(found)
    assert all(1 <= layer < layers for layer, layers in zip(found, range(2, 80), strict=True))
    assert found[of - 2] == published


@pytest.mark.parametrize(("published", "of", "layers"), [(0, 32, 32), (32, 32, 32), (2, 32, 1)])
def test_layers_outside_are_refused(published, of, layers):
    """With the value and the range."""
    with pytest.raises(ValueError, match=r"must be in \[1, 31\]|at least 2 layers, got 1"):
        layer_of(published, of, layers)

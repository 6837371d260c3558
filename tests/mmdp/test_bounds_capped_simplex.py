"""Projection onto {0 <= x <= 1, sum x = s}, the ground under every relaxation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize

from mmdp.bounds.capped_simplex import largest_sum, project_capped_simplex

VECTORS = st.lists(
    st.floats(-5, 5) | st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]),  # the second kind makes ties
    min_size=1,
    max_size=12,
).map(np.array)


@given(VECTORS, st.floats(0, 1))
@settings(deadline=None, max_examples=300)
def test_projection_is_the_nearest_point(y, share):
    """x is feasible and (y - x).(z - x) <= 0 for every feasible z, which is what nearest means on a convex set."""
    s = round(share * len(y))
    x = project_capped_simplex(y, s)
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.sum() == pytest.approx(s, abs=1e-12)
    assert largest_sum(y - x, s) <= (y - x) @ x + 1e-12


@given(VECTORS, st.floats(0.001, 0.999))
@settings(deadline=None, max_examples=200)
def test_projection_for_fractional_sums(y, share):
    """For any real s the projection is clip(y - t) at the root t of the sum, found here by bracketing."""
    s = share * len(y)
    t = brentq(lambda t: np.clip(y - t, 0, 1).sum() - s, y.min() - 1, y.max(), xtol=1e-14)
    np.testing.assert_allclose(project_capped_simplex(y, s), np.clip(y - t, 0, 1), atol=1e-12)


def test_projection_agrees_with_a_general_solver():
    """Sequential quadratic programming, which knows nothing of the simplex, finds the same point."""
    rng = np.random.default_rng(0)
    for n, s in ((3, 1), (5, 2), (8, 5)):
        y = rng.standard_normal(n) * 2
        found = minimize(
            lambda x, y=y: ((x - y) ** 2).sum(),
            np.full(n, s / n),
            bounds=[(0, 1)] * n,
            constraints={"type": "eq", "fun": lambda x, s=s: x.sum() - s},
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(project_capped_simplex(y, s), found.x, atol=1e-6)


def test_projection_keeps_feasible_points_and_ignores_a_common_shift():
    """A feasible point is its own projection, and adding one number to all of y changes nothing."""
    x = np.array([0.25, 1.0, 0.0, 0.75])
    np.testing.assert_allclose(project_capped_simplex(x, 2), x, atol=1e-15)
    y = np.array([3.0, -0.25, 0.5, 0.125])
    np.testing.assert_allclose(project_capped_simplex(y + 1024, 2), project_capped_simplex(y, 2), atol=1e-12)


def test_projection_at_the_ends():
    """The only points of sum 0 and n are all zeros and all ones; the empty vector has itself."""
    y = np.array([3.0, -2.0])
    assert project_capped_simplex(y, 0).tolist() == [0, 0]
    assert project_capped_simplex(y, 2).tolist() == [1, 1]
    assert project_capped_simplex(np.zeros(0), 0).tolist() == []


@pytest.mark.parametrize("s", [-0.1, 2.1, float("nan")])
def test_projection_refuses_sums_out_of_reach(s):
    """No x in [0, 1]^2 has a sum outside [0, 2]."""
    with pytest.raises(ValueError, match="s must be between 0 and n = 2"):
        project_capped_simplex(np.zeros(2), s)


def test_largest_sum_is_the_sum_of_the_largest():
    """The linear maximum over the capped simplex takes the s largest entries whole."""
    values = np.array([3.0, -1.0, 2.0, 2.0])
    assert [largest_sum(values, s) for s in range(5)] == [0, 3, 5, 7, 6]

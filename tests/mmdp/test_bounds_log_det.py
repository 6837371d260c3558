"""Spectral and Hadamard bounds on log det L_S."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP
from mmdp.bounds import hadamard_bound, spectral_bound

BOUNDS = (spectral_bound, hadamard_bound)


@given(st.integers(0, 10**6), st.integers(1, 8), st.integers(1, 8), st.sampled_from([0.0, 1e-6, 1.0]), st.data())
@settings(deadline=None, max_examples=200)
def test_bounds_hold(seed, n, d, noise, data):
    """Every k x k principal minor is bounded, whatever the rank and the scales of the rows."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 1)) @ rng.standard_normal((1, d)) + noise * rng.standard_normal((n, d))
    rows *= 10.0 ** rng.integers(-4, 4, (n, 1))
    k = data.draw(st.integers(0, n))
    problem = ConditionalDPP.from_kernel(rows @ rows.T, k)
    best = max(problem.value(S) for S in itertools.combinations(range(n), k))
    for bound in BOUNDS:
        assert bound(problem.kernel, k) >= best


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_are_attained_by_orthogonal_tokens(bound):
    """For a diagonal kernel both are the sum of the k largest logarithms."""
    diagonal = np.array([3.0, 0.5, 2.0, 7.0])
    for k in range(5):
        assert bound(np.diag(diagonal), k) == pytest.approx(np.log(np.sort(diagonal)[::-1][:k]).sum(), abs=1e-10)


def test_spectral_bound_is_exact_for_the_whole_set():
    """At k = n the eigenvalues are those of L itself."""
    rows = np.random.default_rng(0).standard_normal((6, 6))
    assert spectral_bound(rows @ rows.T, 6) == pytest.approx(np.linalg.slogdet(rows @ rows.T)[1], abs=1e-9)


def test_hadamard_bound_counts_zero_rows():
    """Fewer than k tokens of positive size: every set is singular."""
    assert hadamard_bound(np.diag([1.0, 0.0, 2.0]), 3) == -math.inf
    assert hadamard_bound(np.diag([1.0, 0.0, 2.0]), 2) == pytest.approx(math.log(2))


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds_check_their_input(bound):
    """k is at most n and L is positive semidefinite."""
    with pytest.raises(ValueError, match="k must be between 0 and n = 2"):
        bound(np.eye(2), 3)
    with pytest.raises(ValueError, match="positive semidefinite"):
        bound(np.array([[1.0, 2.0], [2.0, 1.0]]), 1)

"""The factorisation bound on log det: valid everywhere, exact where theory says so."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp.bounds import (
    compact_factor,
    ddfact_bound,
    ddfact_certificate,
    ddfact_value_gradient,
    hadamard_bound,
    spectral_bound,
)
from mmdp.bounds.factor_rows import factor_of, has_volume


def log_volume(rows, S):
    """log det F_S F_S^T by singular values, -inf when dependent."""
    values = np.linalg.svd(rows[list(S)], compute_uv=False)
    if len(S) > rows.shape[1] or (len(S) and values[-1] <= 1e-13 * values[0]):
        return -math.inf
    return 2 * float(np.log(values).sum())


def optimum(rows, k):
    return max(log_volume(rows, S) for S in itertools.combinations(range(len(rows)), k))


@st.composite
def factors(draw):
    """Rows of every kind: wide, narrow, duplicated, zero, of wildly different lengths, sharing a direction."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(1, 8)), draw(st.integers(1, 10))
    rows = rng.standard_normal((n, d))
    kind = draw(st.sampled_from(["gaussian", "duplicates", "zeros", "lengths", "mean", "low rank"]))
    if kind == "duplicates":
        rows = rows[rng.integers(0, n, n)]
    elif kind == "zeros":
        rows[rng.integers(0, n)] = 0
    elif kind == "lengths":
        rows *= 10.0 ** rng.integers(-6, 3, (n, 1))
    elif kind == "mean":
        rows = 0.05 * rows + rng.standard_normal(d)
    elif kind == "low rank":
        rows = rng.standard_normal((n, 2)) @ rng.standard_normal((2, d))
    return rows


@given(factors(), st.data())
@settings(deadline=None, max_examples=250)
def test_bound_holds(rows, data):
    """No k rows have a larger volume; the point is feasible."""
    k = data.draw(st.integers(0, len(rows)))
    bound = ddfact_bound(rows, k)
    assert bound.value >= optimum(rows, k)
    assert bound.x.sum() == pytest.approx(k)
    assert bound.x.min() >= 0
    assert bound.x.max() <= 1


@given(factors(), st.data())
@settings(deadline=None, max_examples=250)
def test_certificate_holds_at_every_point(rows, data):
    """Any x >= 0 certifies, even one that is not in the capped simplex, and so does the affine cut made there."""
    k = data.draw(st.integers(1, len(rows)))
    x = np.array(data.draw(st.lists(st.floats(0, 2) | st.just(0.0), min_size=len(rows), max_size=len(rows))))
    assert ddfact_certificate(rows, k, x) >= optimum(rows, k)
    value, gradient = ddfact_value_gradient(rows, x, k)
    for S in itertools.combinations(range(len(rows)), k):
        inside = np.isin(np.arange(len(rows)), S)
        assert value + gradient @ (inside - x) >= log_volume(rows, S) - 1e-9


@given(st.integers(0, 10**6), st.integers(1, 8))
@settings(deadline=None, max_examples=50)
def test_exact_when_everything_is_kept(seed, n):
    """At k = n the only point is the indicator of the whole set, and the bound is its log determinant."""
    rows = np.random.default_rng(seed).standard_normal((n, n + 3))
    assert ddfact_bound(rows, n).value == pytest.approx(log_volume(rows, range(n)), abs=1e-8)


def test_exact_for_one_token_and_for_orthogonal_ones():
    """k = 1 asks for the longest row; orthogonal rows have a relaxation as easy as sorting."""
    rows = np.random.default_rng(0).standard_normal((20, 3))
    assert ddfact_bound(rows, 1).value == pytest.approx(math.log((rows**2).sum(axis=1).max()), abs=1e-4)
    lengths = np.array([3.0, 1.0, 0.2, 2.0, 5.0])
    for k in range(6):
        best = 2 * np.log(np.sort(lengths)[::-1][:k]).sum()
        assert ddfact_bound(np.diag(lengths), k).value == pytest.approx(best, abs=1e-4)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_at_most_the_spectral_bound(seed):
    """DDFact dominates the spectral bound, so its computed value may exceed that one by the tolerance only."""
    rows = np.random.default_rng(seed).standard_normal((12, 6))
    k = 4
    assert ddfact_bound(rows, k).value <= spectral_bound(rows @ rows.T, k) + 1e-3


def test_unit_rows_of_small_budget_are_the_weak_spot():
    """With equal lengths and k far below the rank the trace decides: the bound is near 0, like Hadamard's."""
    rows = np.random.default_rng(1).standard_normal((60, 40))
    rows /= np.linalg.norm(rows, axis=1)[:, None]
    assert hadamard_bound(rows @ rows.T, 3) == pytest.approx(0, abs=1e-9)
    assert -0.01 < ddfact_bound(rows, 3).value < 1e-3


def test_value_at_a_set_is_its_log_determinant():
    """Gamma is exact at binary points: cuts from incumbents touch the objective."""
    rows = np.random.default_rng(2).standard_normal((9, 5))
    for S in itertools.combinations(range(9), 4):
        value, gradient = ddfact_value_gradient(rows, np.isin(np.arange(9), S).astype(float), 4)
        assert value == pytest.approx(log_volume(rows, S), abs=1e-9)
        assert gradient[list(S)].sum() == pytest.approx(4)


def test_gradient_is_the_derivative():
    """Central differences of Gamma in the interior agree with the gradient."""
    rng = np.random.default_rng(3)
    rows, x, k, h = rng.standard_normal((8, 5)), rng.uniform(0.2, 0.8, 8), 3, 1e-6
    _, gradient = ddfact_value_gradient(rows, x, k)
    for i in range(8):
        up, down = (ddfact_value_gradient(rows, x + sign * h * np.eye(8)[i], k)[0] for sign in (1, -1))
        assert (up - down) / (2 * h) == pytest.approx(gradient[i], rel=1e-5)


def test_cuts_stay_finite_at_singular_sets():
    """Two equal tokens have volume 0: with the floor the cut there is finite and still valid."""
    rows = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    value, gradient = ddfact_value_gradient(rows, [1.0, 1.0, 0.0], 2)
    assert math.isfinite(value)
    assert np.isfinite(gradient).all()
    assert value + gradient @ [0, -1, 1] >= 0  # the orthogonal pair has log volume 0
    assert ddfact_certificate(rows, 2, [1.0, 1.0, 0.0]) == math.inf
    assert ddfact_value_gradient(rows, [0.0, 0.0, 0.0], 2)[0] == math.inf


def test_rank_decides_first():
    """More tokens than dimensions, or than distinct rows: every set is singular and the bound says so."""
    rng = np.random.default_rng(4)
    assert ddfact_bound(rng.standard_normal((6, 2)), 3).value == -math.inf
    assert ddfact_certificate(rng.standard_normal((6, 2)), 3, np.full(6, 0.5)) == -math.inf
    assert ddfact_value_gradient(rng.standard_normal((6, 2)), np.full(6, 0.5), 3)[0] == -math.inf
    twice = np.repeat(rng.standard_normal((3, 5)), 2, axis=0)
    assert ddfact_bound(twice, 4).value == -math.inf
    assert math.isfinite(ddfact_bound(twice, 3).value)
    assert has_volume(twice, 3)
    assert not has_volume(twice, 4)


@given(factors(), st.data())
@settings(deadline=None, max_examples=100)
def test_reduced_costs_fix_nothing_wrong(rows, data):
    """Given the best value but one, every better set obeys the variables fixed by slack and gradient."""
    n = len(rows)
    k = data.draw(st.integers(1, n))
    bound = ddfact_bound(rows, k)
    if not math.isfinite(bound.value) or k == n:
        return
    values = {S: log_volume(rows, S) for S in itertools.combinations(range(n), k)}
    known = sorted(values.values())[-min(3, len(values))]
    order = np.sort(bound.gradient)[::-1]
    slack = bound.value - known
    one = np.flatnonzero(bound.gradient - order[k] > slack + 1e-9)
    zero = np.flatnonzero(order[k - 1] - bound.gradient > slack + 1e-9)
    for S, value in values.items():
        if value > known:
            assert set(one) <= set(S)
            assert not set(zero) & set(S)


def test_rows_of_wildly_different_lengths():
    """Squared lengths over more digits than float64 has: some eigenvalues of M(x) round to 0, the bound stays one."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.standard_normal((6, 6)) * 10.0 ** rng.integers(-7, 4, (6, 1))
        for k in range(1, 7):
            assert optimum(rows, k) <= ddfact_bound(rows, k).value < math.inf


def test_scaling_adds_a_constant():
    """Rows times c: log det grows by 2 k log c, the bound too."""
    rows = np.random.default_rng(5).standard_normal((15, 6))
    plain, scaled = ddfact_bound(rows, 4).value, ddfact_bound(1e-5 * rows, 4).value
    assert scaled == pytest.approx(plain + 8 * math.log(1e-5), abs=1e-3)


def test_any_start_reaches_the_same_bound():
    """The program is concave: a start far off, or one without volume, ends at the same value."""
    rows = np.random.default_rng(6).standard_normal((30, 8))
    value = ddfact_bound(rows, 5).value
    for x0 in (np.arange(30.0), np.eye(30)[0] * 9, np.r_[np.ones(5), np.zeros(25)]):
        assert ddfact_bound(rows, 5, x0=x0).value == pytest.approx(value, abs=3e-4)
    assert ddfact_bound(rows, 5, iterations=0).value >= value - 1e-4


def test_wide_rows_are_made_narrow():
    """A factor of width n replaces wider rows: same inner products, same bound, tiny rows as accurate as long ones."""
    rows = np.random.default_rng(7).standard_normal((10, 50)) * (10.0 ** np.arange(-6, 4))[:, None]
    narrow = compact_factor(rows)
    assert narrow.shape == (10, 10)
    lengths = np.linalg.norm(rows, axis=1)
    relative = (narrow @ narrow.T - rows @ rows.T) / lengths[:, None] / lengths[None, :]
    assert np.abs(relative).max() < 1e-13
    assert ddfact_bound(rows, 4).value == pytest.approx(ddfact_bound(narrow, 4).value, abs=2e-4)
    assert compact_factor(narrow) is narrow or (compact_factor(narrow) == narrow).all()


def test_factor_of_a_kernel():
    """Rows whose inner products are the kernel, zero rows included."""
    rows = np.random.default_rng(8).standard_normal((6, 3))
    rows[2] = 0
    factor = factor_of(rows @ rows.T)
    np.testing.assert_allclose(factor @ factor.T, rows @ rows.T, atol=1e-13)


def test_input_is_checked():
    """Budget, start, point and floor have their ranges."""
    rows = np.eye(3)
    with pytest.raises(ValueError, match="k must be between 0 and n = 3"):
        ddfact_bound(rows, 4)
    with pytest.raises(ValueError, match="x0 must have one entry per row, got 2 for 3"):
        ddfact_bound(rows, 1, x0=[0.5, 0.5])
    with pytest.raises(ValueError, match="x must have one entry per row, got 2 for 3"):
        ddfact_certificate(rows, 1, [0.5, 0.5])
    with pytest.raises(ValueError, match=r"x must be >= 0, got -0.5 at index 1"):
        ddfact_certificate(rows, 1, [0.5, -0.5, 1])
    with pytest.raises(ValueError, match="floor must be > 0"):
        ddfact_value_gradient(rows, [1, 0, 0], 1, floor=0)
    assert ddfact_bound(rows, 0).value == ddfact_certificate(rows, 0, np.zeros(3)) == 0
    assert ddfact_value_gradient(rows, np.zeros(3), 0)[0] == 0

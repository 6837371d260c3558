"""Convex quadratic bounds on the energy of the pruned tokens."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ImplicitWeight
from mmdp.bounds import qp_bound, sdp_bound
from mmdp.bounds.semidefinite import best_shifts

BOUNDS = (qp_bound, sdp_bound)


def energies(G, m):
    """y^T G y for every set of m pruned tokens."""
    return {S: float(G[np.ix_(S, S)].sum()) for S in itertools.combinations(range(len(G)), m)}


@st.composite
def grams(draw):
    """Gram matrices of rank-1 updates: signed, squared, softmax, with duplicates, zero updates and wild scales."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    K, V = rng.standard_normal((n, d)), rng.standard_normal((n, d))
    kind = draw(st.sampled_from(["plain", "duplicates", "zeros", "scales", "mean"]))
    if kind == "duplicates":
        pick = rng.integers(0, n, n)
        K, V = K[pick], V[pick]
    elif kind == "zeros":
        V[rng.integers(0, n)] = 0
    elif kind == "scales":
        K *= 10.0 ** rng.integers(-3, 3, (n, 1))
    elif kind == "mean":
        K, V = K + 3, V + 3
    kernel = draw(st.sampled_from(["linear", "softmax"]))
    form = draw(st.sampled_from(["truncation", "squared"]))
    return ImplicitWeight.from_keys_values(np.clip(K, -30, 30), V, 0, kernel=kernel, form=form).gram


@given(grams(), st.data())
@settings(deadline=None, max_examples=250)
def test_bounds_hold(G, data):
    """No set of m pruned tokens has less energy; the point is feasible; G - Diag(shift) is positive semidefinite."""
    n = len(G)
    k = data.draw(st.integers(0, n))
    best = min(energies(G, n - k).values())
    for lower in BOUNDS:
        bound = lower(G, k)
        assert bound.value <= best + 1e-13 * np.abs(G).sum()  # the energies themselves are rounded
        assert bound.x.sum() == pytest.approx(n - k) or not G.any()
        scale = np.sqrt(np.maximum(np.diag(G), 1e-6 * np.abs(G).max()))
        shifted = (G - np.diag(bound.shift)) / np.where(scale > 0, scale[:, None] * scale[None, :], 1.0)
        assert np.linalg.eigvalsh(shifted)[0] >= 0 or k in (0, n)


@given(grams(), st.data())
@settings(deadline=None, max_examples=100)
def test_certificate_holds_at_every_point(G, data):
    """With the shift, -x'Ax + (sum of the m smallest g) is a bound at any x; at the point returned it is the value."""
    n = len(G)
    k = data.draw(st.integers(0, n))
    best = min(energies(G, n - k).values())
    bound = qp_bound(G, k)
    A, noise = G - np.diag(bound.shift), 1e-12 * np.abs(G).sum()
    here = np.array(data.draw(st.lists(st.floats(0, 1), min_size=n, max_size=n)))
    for x in (here, bound.x):
        gradient = 2 * A @ x + bound.shift
        certificate = -x @ A @ x + np.sort(gradient)[: n - k].sum()
        assert certificate <= best + noise
    np.testing.assert_allclose(bound.gradient, gradient, atol=noise)
    assert bound.value == pytest.approx(certificate, abs=noise + 1e-9 * abs(certificate))


@given(grams(), st.data())
@settings(deadline=None, max_examples=150)
def test_reduced_costs_fix_nothing_wrong(G, data):
    """Every set with less energy than a known one obeys the variables fixed by slack and gradient."""
    n = len(G)
    m = data.draw(st.integers(0, n))
    if not 0 < m < n:
        return
    values = energies(G, m)
    known = sorted(values.values())[min(2, len(values) - 1)]
    noise = 1e-12 * np.abs(G).sum()
    for lower in BOUNDS:
        bound = lower(G, n - m)
        slack, order = known - bound.value + noise, np.sort(bound.gradient)
        one = np.flatnonzero(order[m] - bound.gradient > slack)
        zero = np.flatnonzero(bound.gradient - order[m - 1] > slack)
        for S, energy in values.items():
            if energy < known:
                assert set(one) <= set(S)
                assert not set(zero) & set(S)


@pytest.mark.parametrize("lower", BOUNDS)
def test_exact_where_the_relaxation_is_integral(lower):
    """Orthogonal updates, parallel updates, nothing kept and everything kept leave no gap."""
    size = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.5])
    for k in range(7):
        smallest = np.sort(size)[: 6 - k]
        assert lower(np.diag(size), k).value == pytest.approx(smallest.sum(), abs=1e-4)
        assert lower(np.outer(size, size), k).value == pytest.approx(smallest.sum() ** 2, rel=1e-4, abs=1e-3)
    G = np.cov(np.random.default_rng(0).standard_normal((6, 9)))
    assert lower(G, 0).value == pytest.approx(G.sum(), rel=1e-12)
    assert lower(G, 6).value == 0


def test_semidefinite_shift_is_the_best():
    """The semidefinite program maximises the bound over all shifts: no other passes it, and the heuristic one loses."""
    rng = np.random.default_rng(1)
    lost = []
    for k in (3, 8, 15):
        K, V = rng.standard_normal((2, 30, 6)) * np.exp(0.5 * rng.standard_normal((30, 1)))
        G = (K @ K.T) * (V @ V.T)
        qp, sdp = qp_bound(G, k).value, sdp_bound(G, k).value
        assert qp <= sdp + 1e-3 * abs(sdp)
        lost.append(sdp - qp)
    assert max(lost) > 0


def test_bounds_scale_with_the_matrix():
    """Energies in other units: the bound is in those units too."""
    V = np.random.default_rng(2).standard_normal((20, 5))
    G = (V @ V.T) ** 2
    for lower in BOUNDS:
        assert lower(1e-8 * G, 6).value == pytest.approx(1e-8 * lower(G, 6).value, rel=1e-5)


def test_a_linear_term_on_the_diagonal():
    """With token 0 pruned its products with the rest are a linear term, put on the diagonal: the bound holds."""
    V = np.random.default_rng(3).standard_normal((9, 3))
    G = (V @ V.T) * (V[:, ::-1] @ V[:, ::-1].T)
    rest = G[1:, 1:] + np.diag(2 * G[0, 1:])
    best = min(energy for S, energy in energies(G, 5).items() if 0 in S)
    for lower in BOUNDS:
        assert G[0, 0] + lower(rest, 4).value <= best + 1e-9


def test_most_variables_are_fixed_on_tokens_with_a_common_direction():
    """The case of photo tokens: a dominant mean makes the relaxation nearly integral."""
    rng = np.random.default_rng(4)
    K, V = rng.standard_normal((2, 120, 16)) + 2
    G = (K @ K.T) * (V @ V.T)
    k = 20
    m = 120 - k
    kept: list[int] = []
    for _ in range(k):  # greedy on the true loss, a good known set
        rest = np.setdiff1d(np.arange(120), kept)
        kept.append(int(rest[np.argmax(2 * G[np.ix_(rest, rest)].sum(axis=1) - G[rest, rest])]))
    rest = np.setdiff1d(np.arange(120), kept)
    known = G[np.ix_(rest, rest)].sum()
    bound = qp_bound(G, k)
    order, slack = np.sort(bound.gradient), known - bound.value
    fixed = (order[m] - bound.gradient > slack) | (bound.gradient - order[m - 1] > slack)
    assert 0 <= slack <= 2e-3 * known
    assert fixed.sum() > 60


def test_many_tokens():
    """Above 1200 tokens qp_bound keeps the uniform shift and sdp_bound declines."""
    assert qp_bound(np.eye(1201), 1).value == pytest.approx(1200, rel=1e-9)
    with pytest.raises(ValueError, match="at most 1200 tokens, got 1201"):
        sdp_bound(np.eye(1201), 1)


def test_zero_energy_and_bad_input():
    """No updates, no energy; the budget is at most n and the matrix symmetric."""
    for lower in BOUNDS:
        assert lower(np.zeros((4, 4)), 2).value == 0
        assert lower(np.zeros((0, 0)), 0).value == 0
        with pytest.raises(ValueError, match="k must be between 0 and n = 4"):
            lower(np.eye(4), 5)
        with pytest.raises(ValueError, match="G must be symmetric"):
            lower(np.triu(np.ones((3, 3))), 1)


def test_shifts_solve_known_programs():
    """A diagonal C has u = its diagonal; C = 1 1^T has value 0; X and Z close the gap that was asked for."""
    b = np.array([1.0, 2.0, 0.5])
    found = best_shifts(np.diag([3.0, 1.0, 2.0]), b, gap=1e-8)
    assert b @ found.u == pytest.approx(6.0, abs=1e-7)
    assert np.ones(5) @ best_shifts(np.ones((5, 5)), np.ones(5), gap=1e-8).u == pytest.approx(0, abs=1e-7)
    V = np.random.default_rng(5).standard_normal((12, 4))
    C, t = V @ V.T, 3.0
    found = best_shifts(C, np.ones(12), link=t, gap=1e-6)
    assert np.diag(found.X) == pytest.approx(np.ones(12), abs=1e-8)
    assert found.X[-1, :-1].sum() == pytest.approx(t, abs=1e-5)
    Z = C - np.diag(found.u)
    Z[-1, :-1] -= found.v / 2
    Z[:-1, -1] -= found.v / 2
    assert np.linalg.eigvalsh(Z)[0] > 0
    assert (C * found.X).sum() == pytest.approx(found.u.sum() + t * found.v, abs=2e-6)

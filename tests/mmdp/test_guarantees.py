"""Approximation factors: literal greedy loops keep them, and the tight family reaches 1/4."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import OBJECTIVES, ConditionalDPP, ImplicitWeight, MaxMinDiversity
from mmdp.guarantees import GUARANTEES, angular_factor

BY_NAME = {guarantee.name: guarantee for guarantee in GUARANTEES}


def best(problem):
    return max(problem.value(S) for S in itertools.combinations(range(problem.n), problem.k))


def greedy(problem, gain, picks=()):
    """Add the token of largest gain until k are picked; ties to the lowest index."""
    picks = list(picks)
    while len(picks) < problem.k:
        rest = [i for i in range(problem.n) if i not in picks]
        picks.append(max(rest, key=lambda i: (gain(picks, i), -i)))
    return picks


def kept(problem, value, optimum, names):
    for name in names:
        assert BY_NAME[name].applies(problem)
        assert BY_NAME[name].holds(problem, value, optimum), name


@given(st.integers(0, 10**6), st.integers(2, 8), st.integers(2, 4), st.sampled_from([0.0, 2.0]), st.data())
@settings(deadline=None, max_examples=100)
def test_farthest_first_keeps_its_factors(seed, n, d, offset, data):
    """From any start, on any nonzero rows: 1/2 in a metric, 1/4 and the factor of the optimum's angle in 1 - cos."""
    X = np.random.default_rng(seed).standard_normal((n, d)) + offset
    k, start = data.draw(st.integers(2, n)), data.draw(st.integers(0, n - 1))
    cosine = ["farthest-first, 1 - cos", "farthest-first, 1 - cos, by the optimum"]
    for metric in ("cosine", "chordal", "euclidean"):
        problem = MaxMinDiversity.from_features(X, k, metric)
        D = problem.distances
        picks = greedy(problem, lambda picks, i, D=D: D[i, picks].min(), [start])
        kept(problem, problem.value(picks), best(problem), cosine if metric == "cosine" else ["farthest-first, metric"])


@given(st.integers(0, 10**6), st.integers(1, 7), st.integers(0, 7))
@settings(deadline=None, max_examples=60)
def test_greedy_map_keeps_its_factor(seed, n, k):
    """det of the greedy set is at least det of any other over (k!)^2."""
    rng = np.random.default_rng(seed)
    problem = ConditionalDPP.from_features(rng.standard_normal((n, 9)) + 1, min(k, n), rng.uniform(0.1, 1, n))
    picks = greedy(problem, lambda picks, i: problem.value([*picks, i]))
    kept(problem, problem.value(picks), best(problem), ["greedy MAP"])


@given(st.integers(0, 10**6), st.integers(1, 8), st.data())
@settings(deadline=None, max_examples=60)
def test_rank1_greedy_and_swaps_keep_their_factors(seed, n, data):
    """On a Gram >= 0: 1 - 1/e of the explained energy by greedy, k / (2k - 1) by any 1-swap optimum, from any start."""
    K, V = np.random.default_rng(seed).standard_normal((2, n, 3))
    k = data.draw(st.integers(0, n))
    problem = ImplicitWeight.from_keys_values(K, V, k, form="squared")
    optimum = best(problem)
    kept(
        problem, problem.value(greedy(problem, lambda picks, i: problem.value([*picks, i]))), optimum, ["rank-1 greedy"]
    )
    chosen = list(range(k))
    while True:
        swaps = [[*chosen[:a], j, *chosen[a + 1 :]] for a in range(k) for j in range(n) if j not in chosen]
        better = max(swaps, key=problem.value, default=chosen)
        if problem.value(better) <= problem.value(chosen) + 1e-12 * problem.total_energy:
            break
        chosen = better
    kept(problem, problem.value(chosen), optimum, ["1-swap"])


def test_a_swap_optimum_can_be_worse_than_the_optimum():
    """Covering edges by three nodes: no single exchange helps {0, 5, 6}, {0, 1, 2} covers more, within 3 / 5."""
    edges = {(0, 1): 1, (0, 3): 3, (0, 6): 1, (1, 4): 2, (2, 5): 2, (2, 6): 2}
    W = np.zeros((7, 7))
    for (i, j), weight in edges.items():
        W[i, j] = W[j, i] = weight
    problem = ImplicitWeight.from_gram(W - np.linalg.eigvalsh(W)[0] * np.eye(7), 3)
    stuck, optimum, total = problem.value([0, 5, 6]), problem.value([0, 1, 2]), problem.total_energy
    assert best(problem) == pytest.approx(optimum)
    for s in (0, 5, 6):
        for j in (1, 2, 3, 4):
            assert problem.value(sorted({0, 5, 6, j} - {s})) <= stuck + 1e-9
    assert 3 / 5 <= (total + stuck) / (total + optimum) < 0.9
    kept(problem, stuck, optimum, ["1-swap"])


def test_the_tight_family_reaches_a_quarter():
    """Five angles on an arc, k = 2: DivPrune's own start picks the middle; the ratio is the formula, near 1/4."""
    t, e = 0.01, 2e-3
    angles = np.array([-t, -t + e, 0.0, t - e, t])
    problem = MaxMinDiversity.from_features(np.stack([np.cos(angles), np.sin(angles)], axis=1), k=2)
    D = problem.distances + np.diag(np.full(5, np.inf))
    start = int(np.argmax(D.min(axis=1)))
    assert start == 2
    value = problem.value(greedy(problem, lambda picks, i: problem.distances[i, picks].min(), [start]))
    optimum = best(problem)
    assert value / optimum == pytest.approx(0.25, abs=1e-3)
    assert value / optimum == pytest.approx(angular_factor(optimum), abs=1e-6)
    assert BY_NAME["farthest-first, 1 - cos"].holds(problem, value, optimum)
    assert not BY_NAME["farthest-first, metric"].applies(problem)
    assert value < optimum / 2  # which is why 1/2 must never be quoted for 1 - cos


def test_factor_by_the_angle():
    """It grows from 1/4 to 1/2, and its product with the optimum is 1 - cos of half the angle."""
    optima = np.linspace(0.001, 2, 50)
    factors = [angular_factor(optimum) for optimum in optima]
    assert (np.diff(factors) > 0).all()
    assert factors[0] > 0.25
    assert factors[-1] == pytest.approx(0.5)
    halved = 1 - np.cos(np.arccos(1 - optima) / 2)
    np.testing.assert_allclose(factors * optima, halved, atol=1e-12)


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda guarantee: guarantee.name)
def test_a_broken_promise_is_noticed(guarantee):
    """`holds` is not always true: a value far below the optimum breaks every guarantee."""
    X = np.random.default_rng(1).standard_normal((6, 4))
    problem = {
        "farthest-first, metric": MaxMinDiversity.from_features(X, 3, "euclidean"),
        "max-min": MaxMinDiversity.from_features(X, 3),
        "conditional-dpp": ConditionalDPP.from_features(X, 3),
        "implicit-weight": ImplicitWeight.from_keys_values(X, X, 3, form="squared"),
    }
    problem = problem.get(guarantee.name, problem[guarantee.objective])
    optimum = best(problem)
    bad = {"max-min": 0.2 * optimum, "conditional-dpp": optimum - 9, "implicit-weight": 0.0}[guarantee.objective]
    if guarantee.objective == "implicit-weight":
        bad = -problem.total_energy  # nothing explained
    assert guarantee.applies(problem)
    assert guarantee.holds(problem, optimum, optimum)
    assert not guarantee.holds(problem, bad, optimum)


def test_conditions_are_conditions():
    """No guarantee applies outside its class: zero rows, a signed Gram, a matrix that is no metric."""
    X = np.random.default_rng(2).standard_normal((6, 3))
    signed = ImplicitWeight.from_keys_values(X, X[::-1], 3)
    assert not signed.is_submodular
    assert not any(guarantee.applies(signed) for guarantee in GUARANTEES)
    with_zero = np.vstack([X, np.zeros(3)])
    for metric in ("cosine", "chordal"):
        assert not any(g.applies(MaxMinDiversity.from_features(with_zero, 3, metric)) for g in GUARANTEES)
    crooked = np.array([[0, 1, 9], [1, 0, 1], [9, 1, 0]])
    assert not any(g.applies(MaxMinDiversity.from_distances(crooked, 2)) for g in GUARANTEES)
    straight = MaxMinDiversity.from_distances([[0, 1, 2], [1, 0, 1], [2, 1, 0]], 2)
    assert [g.name for g in GUARANTEES if g.applies(straight)] == ["farthest-first, metric"]


def test_guarantees_are_complete_and_distinct():
    """Every row has its own name, an objective, solvers, a sentence and a source; every objective has a row."""
    assert len(BY_NAME) == len(GUARANTEES)
    assert {guarantee.objective for guarantee in GUARANTEES} == set(OBJECTIVES)
    for guarantee in GUARANTEES:
        assert guarantee.solvers
        assert guarantee.statement.endswith(".")
        assert guarantee.conditions.endswith(".")
        assert guarantee.factor
        assert guarantee.source.isalnum()


def test_no_half_for_the_cosine_distance():
    """1/2 is promised for metrics only, and 1 - 1/e never for the determinant."""
    cosine = MaxMinDiversity.from_features(np.eye(4), 2)
    assert not any(g.factor == "1/2" and g.applies(cosine) for g in GUARANTEES)
    assert not any("1/e" in g.factor and g.objective == "conditional-dpp" for g in GUARANTEES)
    assert math.isclose(angular_factor(1.0), 1 / (4 * math.cos(math.pi / 8) ** 2))

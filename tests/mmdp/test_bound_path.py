"""Bounds for every budget at once: never below the optimum, never above the single ones."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, GroundSet, ImplicitWeight, MaxMinDiversity, MaxSumDiversity, bound_path, upper_bounds
from mmdp.bounds import colouring_bound, colouring_bounds
from mmdp.problem import Problem
from solvers import solve


def optimum(problem, k):
    """By enumeration."""
    return max(problem.value(S) for S in itertools.combinations(range(problem.n), k))


@st.composite
def problems(draw):
    """Every objective at n <= 9, with ties, duplicates and zero rows."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(2, 9)), draw(st.integers(1, 5))
    X = rng.standard_normal((n, d)) + draw(st.sampled_from([0.0, 2.0]))
    if draw(st.booleans()):
        X = X[rng.integers(0, max(1, n // 2), n)]
    if draw(st.booleans()):
        X[0] = 0
    kind = draw(st.sampled_from(["cosine", "chordal", "euclidean", "ties", "dpp", "rank1", "sum"]))
    if kind == "ties":
        D = np.triu(rng.integers(1, 4, (n, n)), 1)
        return MaxMinDiversity.from_distances(D + D.T, 0)
    if kind == "dpp":
        return ConditionalDPP.from_features(X, 0, rng.random(n))
    if kind == "rank1":
        return ImplicitWeight.from_keys_values(X, rng.standard_normal((n, 3)), 0)
    if kind == "sum":
        return MaxSumDiversity.from_features(X, 0, relevance=rng.standard_normal(n))
    return MaxMinDiversity.from_features(X, 0, kind)


@given(problems())
@settings(deadline=None, max_examples=120)
def test_for_every_budget_between_the_optimum_and_the_single_bounds(problem):
    """Against brute force, and against `upper_bounds` for each k; within 1e-4 nats for log det."""
    found = bound_path(problem)
    assert list(found) == list(range(problem.n + 1))
    room = 1e-4 if problem.gap_kind == "absolute" else 0.0
    for k, bound in found.items():
        best = optimum(problem, k)
        single = min(upper_bounds(problem.with_k(k)).values())
        size = abs(best) if math.isfinite(best) else 1.0
        assert bound >= best - 1e-12 * size
        assert bound <= single + 1e-9 * size + room


@pytest.mark.parametrize("n", [12, 40])
def test_the_bounds_of_max_min_fall(n):
    """A larger budget never has a larger bound."""
    problem = MaxMinDiversity.from_features(np.random.default_rng(n).standard_normal((n, 4)), 0)
    bounds = list(bound_path(problem).values())
    assert bounds == sorted(bounds, reverse=True)


def test_budgets_come_back_in_the_order_asked():
    """Any subset of 0 .. n, ends included."""
    problem = MaxMinDiversity.from_features(np.eye(5), 2)
    assert bound_path(problem, [4, 0, 2, 5]) == {4: 1.0, 0: math.inf, 2: 1.0, 5: 1.0}
    assert bound_path(problem, []) == {}
    with pytest.raises(ValueError, match="k must be between 0 and n = 5, got 6"):
        bound_path(problem, [6])


def test_colourings_are_shared():
    """Each of many budgets is at least as good as alone, on clustered and on spread-out tokens."""
    rng, n = np.random.default_rng(5), 60
    for spread in (0.2, 3.0):
        X = rng.standard_normal((8, 6))[rng.integers(0, 8, n)] + spread * rng.standard_normal((n, 6))
        distances = GroundSet(X).distances
        together = colouring_bounds(distances, range(1, n + 1))
        assert all(together[k] <= colouring_bound(distances, k) for k in range(1, n + 1))
        assert together[1] == math.inf


def test_between_the_anchors_the_quadratic_bound_stays_close():
    """Above 100 tokens most budgets use the shifts of others; on i.i.d. data that costs some per cent."""
    rng = np.random.default_rng(0)
    problem = ImplicitWeight.from_keys_values(rng.standard_normal((104, 8)), rng.standard_normal((104, 6)), 0)
    found = bound_path(problem, [1, 3, 5, 9, 12, 15, 17, 19, 21, 23, 39])
    for k in (1, 9, 21):
        single = min(upper_bounds(problem.with_k(k)).values())
        assert found[k] <= single + (1e-9 if k == 1 else 0.05) * abs(single)
        assert found[k] >= problem.value(solve(problem.with_k(k), "greedy").indices)


def test_an_objective_of_ones_own_has_no_bound():
    """But for the ends, where there is nothing to choose."""

    class Own(Problem):
        name, gap_kind = "own", "relative"

        def _value(self, subset):
            return float(len(subset))

    assert bound_path(Own(GroundSet(np.eye(3)), 1)) == {0: 0.0, 1: math.inf, 2: math.inf, 3: 3.0}

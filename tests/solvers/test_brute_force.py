"""Brute force against itertools and the definition."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity, Status, check
from solvers import brute_force, solve
from solvers.answer import Request


def pose(objective: str, n: int, k: int, seed: int, *, tied: bool, constraints: Constraints | None = None):
    """A random problem; `tied` ones take their numbers from a few values, so that many sets are equally good."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.integers(-1, 2, shape).astype(float) if tied else rng.normal(size=shape)

    if objective == "max-min":
        return MaxMinDiversity.from_features(draw(n, 3), k, constraints=constraints)
    if objective == "conditional-dpp":
        weights = rng.integers(0, 3, n) / 2 if tied else rng.uniform(0, 1, n)
        return ConditionalDPP.from_features(draw(n, 4), k, weights, constraints=constraints)
    return ImplicitWeight.from_keys_values(draw(n, 3), draw(n, 2), k, constraints=constraints)


def best_by_hand(problem) -> tuple[float, list[int]] | None:
    """The first of the best subsets in lexicographic order that break no constraint, by the definition alone."""
    best = None
    for subset in itertools.combinations(range(problem.n), problem.k):
        if problem.constraints.violation(np.array(subset, dtype=np.int64)) is None:
            value = problem.value(subset)
            if best is None or value > best[0]:
                best = value, list(subset)
    return best


objectives = pytest.mark.parametrize("objective", ["max-min", "conditional-dpp", "implicit-weight"])


@objectives
@settings(deadline=None, max_examples=40)
@given(n=st.integers(0, 9), data=st.data(), seed=st.integers(0, 10**6), tied=st.booleans())
def test_equals_itertools(objective, n, data, seed, tied):
    """The same set and the same value to the last bit, ties included, for every budget."""
    k = data.draw(st.integers(0, n))
    problem = pose(objective, n, k, seed, tied=tied)
    value, subset = best_by_hand(problem)
    selection = solve(problem, "brute_force")
    check(problem, selection)
    assert selection.indices.tolist() == subset
    assert selection.objective == selection.bound == value
    assert selection.status is Status.OPTIMAL
    assert selection.stats == {"subsets": math.comb(n, k)}


@st.composite
def constraints_for(draw, n: int) -> Constraints:
    """Any mixture of constraints, satisfiable or not."""
    tokens = st.integers(0, n - 1)
    pairs = st.tuples(tokens, tokens).filter(lambda pair: pair[0] != pair[1])
    groups = draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))
    quotas = st.dictionaries(st.sampled_from(sorted(set(groups))), st.integers(0, 3), max_size=2)
    return Constraints(
        keep=tuple(draw(st.lists(tokens, max_size=2))),
        forbidden_pairs=tuple(draw(st.lists(pairs, max_size=4))),
        groups=tuple(groups),
        min_per_group=draw(quotas),
        max_per_group=draw(quotas),
    )


@objectives
@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 9), data=st.data(), seed=st.integers(0, 10**6))
def test_constraints_are_honoured(objective, n, data, seed):
    """The best of what is allowed; INFEASIBLE exactly when nothing is."""
    k = data.draw(st.integers(0, n))
    problem = pose(objective, n, k, seed, tied=False, constraints=data.draw(constraints_for(n)))
    expected = best_by_hand(problem)
    selection = solve(problem, "brute_force")
    check(problem, selection)
    if expected is None:
        assert selection.status is Status.INFEASIBLE
        assert len(selection.indices) == 0
    else:
        assert (selection.objective, selection.indices.tolist()) == expected
        assert selection.status is Status.OPTIMAL


@pytest.mark.parametrize("size", [1, 7, 1000])
@objectives
def test_the_size_of_a_chunk_does_not_matter(objective, size, monkeypatch):
    """Ties across the border of two chunks also go to the lexicographically smallest set."""
    for seed in range(4):
        problem = pose(objective, 8, 3, seed, tied=True)
        monkeypatch.setattr(brute_force, "NUMBERS_AT_ONCE", size * 9)
        assert solve(problem, "brute_force").indices.tolist() == best_by_hand(problem)[1]


def test_huge_scales_do_not_hide_the_best():
    """Screening keeps its distance from rounding at every scale of the Gram matrix."""
    for scale in (1e-30, 1e30):
        K = np.random.default_rng(0).normal(size=(9, 3))
        problem = ImplicitWeight.from_keys_values(scale * K, K[:, :2], 4)
        assert (
            solve(problem, "brute_force").objective,
            solve(problem, "brute_force").indices.tolist(),
        ) == best_by_hand(problem)


def test_too_many_subsets_are_refused():
    """C(25, 12) is above the limit of five million, and is refused at once."""
    problem = MaxMinDiversity.from_distances(np.zeros((25, 25)), 12)
    with pytest.raises(ValueError, match=r"at most 5,000,000 subsets, got C\(25, 12\) = 5,200,300"):
        solve(problem, "brute_force")


@objectives
def test_the_time_limit_is_kept(objective):
    """Two million subsets in a tenth of a second: the best so far, no bound, and the status says why."""
    problem = pose(objective, 24, 10, 1, tied=False)
    started = time.perf_counter()
    selection = solve(problem, "brute_force", time_limit=0.1, bound="none")
    assert time.perf_counter() - started < 1.1
    check(problem, selection)
    assert selection.status is Status.TIME_LIMIT
    assert selection.bound == math.inf
    assert selection.stats["subsets"] < math.comb(24, 10)


def test_ties_everywhere_do_not_break_the_time_limit():
    """When all sets are equally good the clock still rules, and the smallest set comes back."""
    problem = ConditionalDPP.from_features(np.eye(24), 10)
    started = time.perf_counter()
    selection = solve(problem, "brute_force", time_limit=0.2)
    assert time.perf_counter() - started < 1.2
    assert selection.indices.tolist() == list(range(10))


def test_no_time_at_all_still_answers_within_the_constraints():
    """With a limit of 0 the search goes on until it has one allowed set."""
    constraints = Constraints(keep=(17, 18, 19))
    problem = pose("max-min", 20, 3, 2, tied=False, constraints=constraints)
    assert brute_force.run(problem, Request(time_limit=0.0)).indices.tolist() == [17, 18, 19]

"""Local search: a true 1-swap optimum, never worse than the greedy, in time."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, Status, check
from solvers import solve
from solvers.answer import Request
from solvers.local_search.iterated import kick
from solvers.local_search.max_min_naive import best_swap
from solvers.local_search.threshold_tabu_naive import least_distance, raise_threshold, separate

OBJECTIVES = ("max-min", "conditional-dpp", "implicit-weight")
objectives = pytest.mark.parametrize("objective", OBJECTIVES)


def pose(objective: str, n: int, k: int, seed: int, d: int = 6):
    """A random problem of every kind."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    if objective == "max-min":
        return MaxMinDiversity.from_features(X, k)
    if objective == "conditional-dpp":
        return ConditionalDPP.from_features(X, k, rng.uniform(0.2, 1, n))
    return ImplicitWeight.from_keys_values(X, rng.normal(size=(n, d)), k)


def local(problem, **options):
    """The naive local search."""
    return solve(problem, "local_search", backend="naive", **options)


def neighbours(subset, n: int):
    """All sets that differ in one token."""
    for i, j in itertools.product(subset, set(range(n)) - set(subset)):
        yield [*(s for s in subset if s != i), j]


def merit(problem, subset) -> tuple[float, int]:
    """What a swap must raise: the value, and for max-min then minus the number of pairs at it."""
    value = problem.value(subset)
    if not isinstance(problem, MaxMinDiversity):
        return value, 0
    return value, -sum(problem.distances[i, j] == value for i, j in itertools.combinations(subset, 2))


@objectives
@settings(deadline=None, max_examples=15)
@given(n=st.integers(3, 14), data=st.data(), seed=st.integers(0, 10**6), restarts=st.sampled_from([0, 2]))
def test_no_swap_improves(objective, n, data, seed, restarts):
    """Every one of the k (n - k) swaps of the answer is tried by the definition."""
    k = data.draw(st.integers(1, n - 1))
    problem = pose(objective, n, k, seed, d=16)
    selection = local(problem, restarts=restarts, seed=seed)
    value, pairs = merit(problem, selection.indices.tolist())
    for other in neighbours(selection.indices.tolist(), n):
        other_value, other_pairs = merit(problem, other)
        if objective == "max-min":
            assert (other_value, other_pairs) <= (value, pairs)
        else:
            assert other_value <= value + 1e-9 * max(1.0, abs(value))


@settings(deadline=None, max_examples=40)
@given(n=st.integers(3, 9), data=st.data(), seed=st.integers(0, 10**6))
def test_the_swap_is_the_best_one_even_among_many_ties(n, data, seed):
    """Distances from {0, 1, 2}: the merit after the swap is the best of all swaps, and None says that none improves."""
    k = data.draw(st.integers(2, n - 1))
    d = np.triu(np.random.default_rng(seed).integers(0, 3, (n, n)), 1)
    problem = MaxMinDiversity.from_distances(d + d.T, k)
    subset = np.random.default_rng(seed).permutation(n)[:k]
    before = merit(problem, subset.tolist())
    best = max(merit(problem, other) for other in neighbours(subset.tolist(), n))
    swap = best_swap(problem.distances, subset)
    if swap is None:
        assert best <= before
    else:
        subset[swap[0]] = swap[1]
        assert merit(problem, subset.tolist()) == best > before


@objectives
@settings(deadline=None, max_examples=15)
@given(n=st.integers(1, 14), data=st.data(), seed=st.integers(0, 10**6))
def test_never_worse_than_the_greedy(objective, n, data, seed):
    """Any budget, any rank: the greedy's value is a floor, and stats report it."""
    k = data.draw(st.integers(0, n))
    problem = pose(objective, n, k, seed)
    selection = local(problem, seed=seed, restarts=1)
    check(problem, selection)
    greedy = solve(problem, "greedy", backend="naive")
    assert selection.stats["greedy"] == greedy.objective
    assert selection.objective >= greedy.objective
    assert selection.indices.tolist() == sorted(selection.indices.tolist())


@objectives
@pytest.mark.parametrize("k", [2, 4, 9])
def test_reaches_the_optimum_of_small_instances(objective, k):
    """Twelve tokens: what brute force finds, on each of five instances."""
    for seed in range(5):
        problem = pose(objective, 12, k, seed, d=10)
        assert local(problem).objective == pytest.approx(solve(problem, "brute_force").objective, rel=1e-9)


@objectives
def test_improves_on_the_greedy_at_full_size(objective):
    """576 tokens, 64 kept: better than the greedy for the two diversity objectives, and no worse for the third."""
    problem = pose(objective, 576, 64, seed=1, d=64)
    selection = local(problem, restarts=2)
    check(problem, selection)
    if objective == "implicit-weight":
        assert selection.objective >= selection.stats["greedy"]
    else:
        assert selection.objective > selection.stats["greedy"]
    if objective == "max-min":
        assert selection.objective > 1.03 * selection.stats["greedy"]


@objectives
def test_same_seed_same_answer(objective):
    """The seed decides everything random; another seed is free to differ."""
    problem = pose(objective, 60, 12, seed=2)
    first, second = local(problem, seed=5), local(problem, seed=5)
    assert first.indices.tolist() == second.indices.tolist()
    assert first.stats == second.stats


@objectives
@pytest.mark.parametrize("limit", [0.0, 0.3])
def test_the_time_limit_is_kept(objective, limit):
    """At the limit the best so far comes back, within a second, and the status says why."""
    problem = pose(objective, 576, 64, seed=3, d=64)
    for name in {"max-min": ["distances"], "conditional-dpp": ["kernel"], "implicit-weight": ["gram"]}[objective]:
        getattr(problem, name)  # computed outside the clock
    started = time.perf_counter()
    selection = local(problem, time_limit=limit, restarts=10**6)
    assert time.perf_counter() - started < limit + 1
    assert selection.status is Status.TIME_LIMIT
    assert selection.objective >= selection.stats["greedy"]


def test_a_set_that_runs_to_its_end_is_feasible():
    """Without a limit, or below it, the status is FEASIBLE and every round was made."""
    selection = local(pose("max-min", 20, 5, seed=4), restarts=3)
    assert selection.status is Status.FEASIBLE
    assert selection.stats["rounds"] == 3


def test_a_singular_start_is_repaired():
    """The greedy stops at a pivot of 1e-6 and fills with a copy; local search finds the pair with a finite value."""
    near = [math.sqrt(1 - 1e-6), 1e-3]
    problem = ConditionalDPP.from_features([[1, 0], [1, 0], near], 2, [1.0, 0.9, 0.5])
    selection = local(problem)
    assert selection.stats["greedy"] == -math.inf
    assert selection.indices.tolist() == [0, 2]
    assert selection.objective == pytest.approx(math.log(1e-6) + 2 * math.log(0.5), rel=1e-6)


@pytest.mark.parametrize("relevance", [None, [1.0, 1.0, 0.0, 0.0, 0.0]])
def test_a_singular_problem_stays_singular(relevance):
    """k above the rank, or above the number of positive weights: -inf, in no time."""
    problem = ConditionalDPP.from_features([[1, 0], [1, 1], [1, 2], [1, 3], [1, 4]], 3, relevance)
    selection = local(problem)
    assert selection.objective == -math.inf
    assert len(selection.indices) == 3
    by_kernel = local(ConditionalDPP.from_kernel(problem.kernel, 3))
    assert by_kernel.objective == -math.inf


def test_zero_weights_are_exchanged_for_positive_ones():
    """A start that holds zero weights although enough positive ones exist is repaired as well."""
    rng = np.random.default_rng(5)
    base = rng.normal(size=(3, 8))
    X = np.vstack([base[[0, 0, 0, 0]], base[0] + 1e-3 * base[1:], rng.normal(size=(2, 8))])
    problem = ConditionalDPP.from_features(X, 3, [1, 1, 1, 1, 0.1, 0.1, 0, 0])
    assert local(problem).objective == pytest.approx(solve(problem, "brute_force").objective)


@objectives
def test_copies_and_zero_rows(objective):
    """60 values in 120 tokens and two zero rows, more tokens asked for than there are values."""
    rng = np.random.default_rng(6)
    X = np.vstack([rng.normal(size=(60, 8))[rng.integers(0, 60, 118)], np.zeros((2, 8))])
    problem = {
        "max-min": lambda: MaxMinDiversity.from_features(X, 70),
        "conditional-dpp": lambda: ConditionalDPP.from_features(X, 70),
        "implicit-weight": lambda: ImplicitWeight.from_keys_values(X, X, 70),
    }[objective]()
    selection = local(problem, restarts=1)
    check(problem, selection)
    assert len(set(selection.indices.tolist())) == 70


def test_separate_finds_what_is_there_and_admits_what_is_not():
    """Ten tokens on a line at 0 .. 9: four of them can be 3 apart, not 4."""
    line = np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    rng = np.random.default_rng(7)
    start = np.array([0, 1, 2, 3])
    found = separate(line, start, 3.0, 5000, rng, Request())
    assert sorted(found.tolist()) == [0, 3, 6, 9]
    assert start.tolist() == [0, 1, 2, 3]
    assert separate(line, start, 4.0, 500, rng, Request()) is None
    assert separate(line, start, 3.0, 5000, rng, Request(time_limit=0.0)) is None


@pytest.mark.parametrize(("n", "k"), [(3, 2), (5, 4), (40, 2), (40, 39)])
def test_thresholds_rise_at_every_shape(n, k):
    """Few tokens in or few tokens out: the least distance never falls and the set keeps its size."""
    problem = pose("max-min", n, k, seed=8)
    d, start = problem.distances, np.arange(k)
    levels = np.unique(d[np.triu_indices(n, 1)])
    found = raise_threshold(d, levels, start, 200, np.random.default_rng(0), Request())
    assert len(set(found.tolist())) == k
    assert least_distance(d, found) >= least_distance(d, start)


@pytest.mark.parametrize(("k", "changed"), [(1, 1), (2, 2), (12, 3), (60, 10), (98, 2)])
def test_a_kick_changes_a_sixth(k, changed):
    """At least three members where there are so many, and no more than the pool has to offer."""
    subset = np.arange(k)
    kicked = kick(subset, np.arange(100), np.random.default_rng(9))
    assert len(set(kicked.tolist())) == k
    assert len(set(kicked.tolist()) - set(range(k))) == changed


@pytest.mark.parametrize(("restarts", "error"), [(-1, ValueError), (1.5, TypeError), (True, TypeError)])
def test_bad_restarts_are_refused(restarts, error):
    """A whole number >= 0."""
    with pytest.raises(error, match="restarts must be"):
        local(pose("max-min", 6, 3, seed=0), restarts=restarts)

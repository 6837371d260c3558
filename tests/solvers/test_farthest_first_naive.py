"""Farthest-first traversal against a literal reading of DivPrune."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, MaxMinDiversity, check
from solvers import solve
from solvers.answer import Request
from solvers.farthest_first.naive import farthest_first, run


def literal(distances: np.ndarray, k: int, start: int | None = None) -> list[int]:
    """DivPrune's algorithm 1, O(n k^2): the most isolated token, then the largest least distance to the chosen."""
    n = len(distances)
    if start is None and n > 1:
        start = max(range(n), key=lambda i: min(distances[i, j] for j in range(n) if j != i))
    chosen = [start or 0][:k]
    while len(chosen) < k:
        rest = [i for i in range(n) if i not in chosen]
        chosen.append(max(rest, key=lambda i: min(distances[i, s] for s in chosen)))
    return chosen


def one_minus_cosine(X: np.ndarray) -> np.ndarray:
    """1 - cos from the formula, with the snap that is part of the definition."""
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    d = 1 - units @ units.T
    d = (d + d.T) / 2
    d[d < 1e-6] = 0
    return d


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 14), seed=st.integers(0, 10**6), started=st.booleans())
def test_equals_the_literal_algorithm(n, seed, started):
    """Random tokens: the same tokens in the same order, from the most isolated token and from a given one."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 5))
    start = int(rng.integers(n)) if started else None
    expected = literal(one_minus_cosine(X), n, start)
    assert farthest_first(X, n, start=start).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 10), seed=st.integers(0, 10**6), started=st.booleans())
def test_ties_go_to_the_lowest_index(n, seed, started):
    """Distances from {1, 2, 3} tie all the time, and Python's max takes the first of equals."""
    rng = np.random.default_rng(seed)
    d = np.triu(rng.integers(1, 4, (n, n)), 1)
    problem = MaxMinDiversity.from_distances(d + d.T, n)
    start = int(rng.integers(n)) if started else None
    assert run(problem, Request(), start=start).indices.tolist() == literal(problem.distances, n, start)


@pytest.mark.parametrize("metric", ["cosine", "chordal", "euclidean"])
def test_every_metric_of_a_problem(metric):
    """The problem door follows the metric of the ground set; the two angular ones agree with the raw door."""
    X = np.random.default_rng(1).normal(size=(20, 4)) * np.linspace(0.1, 5, 20)[:, None]
    problem = MaxMinDiversity.from_features(X, 8, metric)
    selection = solve(problem, "farthest_first", backend="naive")
    check(problem, selection)
    assert selection.indices.tolist() == literal(problem.distances, 8)
    assert (selection.indices.tolist() == farthest_first(X, 8).tolist()) == (metric != "euclidean")


def test_known_answer_by_hand():
    """On a line at 0, 1, 4, 9: the most isolated is 9, then 0, then 4, then 1."""
    points = np.array([[0.0], [1.0], [4.0], [9.0]])
    problem = MaxMinDiversity.from_features(points, 4, "euclidean")
    assert run(problem, Request()).indices.tolist() == [3, 0, 2, 1]
    assert run(problem, Request(), start=1).indices.tolist() == [1, 3, 2, 0]


def test_sixty_distinct_tokens_come_before_any_copy():
    """576 tokens with 60 values: the first 60 choices have distinct values, and 96 choices are distinct indices."""
    rng = np.random.default_rng(2)
    source = rng.permutation(np.concatenate([np.arange(60), rng.integers(0, 60, 516)]))
    X = rng.normal(size=(60, 64))[source]
    for dtype in (np.float64, np.float32, np.float16):
        chosen = farthest_first(X.astype(dtype), 96)
        assert len(set(source[chosen[:60]].tolist())) == 60
        assert len(set(chosen.tolist())) == 96


def test_no_rank_limit():
    """More tokens than dimensions are no obstacle."""
    chosen = farthest_first(np.random.default_rng(3).normal(size=(30, 2)), 30)
    assert sorted(chosen.tolist()) == list(range(30))


def test_zero_row_at_the_front_does_not_win_the_seed():
    """A zero row neither starts the traversal nor hides which token is isolated; copies of a token come before it."""
    X = [[0, 0], [1, 0], [1, 0], [0, 1], [-1, -0.1]]
    assert farthest_first(X, 5).tolist() == [4, 1, 3, 2, 0]


def test_start_may_differ_within_a_batch():
    """One start for all samples, or one each; a zero row may be asked for."""
    X = np.random.default_rng(4).normal(size=(2, 9, 3))
    assert farthest_first(X, 4, start=[2, 7])[:, 0].tolist() == [2, 7]
    assert farthest_first(X, 4, start=3)[:, 0].tolist() == [3, 3]
    assert farthest_first(X[0], 4, start=2).tolist() == farthest_first(X, 4, start=[2, 7])[0].tolist()
    assert farthest_first([[0, 1], [0, 0], [1, 0]], 3, start=1).tolist() == [1, 0, 2]


def test_start_is_counted_in_the_whole_sample_when_some_tokens_are_padding():
    """The start is a token of the sample, not a position among its valid ones."""
    X = np.random.default_rng(5).normal(size=(6, 3))
    valid = np.array([False, True, True, False, True, True])
    assert farthest_first(X, 3, valid=valid, start=4)[0] == 4
    with pytest.raises(ValueError, match="start must be a valid token, between 0 and 5, got 3 in sample 0"):
        farthest_first(X, 3, valid=valid, start=3)


@pytest.mark.parametrize(("start", "error"), [(10, ValueError), (-1, ValueError), (1.0, TypeError), (True, TypeError)])
def test_bad_starts_are_refused(start, error):
    """A start outside the ground set, or not a whole number."""
    problem = MaxMinDiversity.from_features(np.eye(10), 3)
    with pytest.raises(error, match="start must be"):
        solve(problem, "farthest_first", backend="naive", start=start)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), k=st.integers(2, 6))
def test_a_quarter_of_the_optimum_is_guaranteed(seed, k):
    """min (1 - cos) is at least a quarter of the optimum, and half of it for the chord, from any start."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(9, 3))
    start = int(rng.integers(9))
    for metric, factor in (("cosine", 0.25), ("chordal", 0.5)):
        problem = MaxMinDiversity.from_features(X, k, metric)
        optimum = solve(problem, "brute_force").objective
        assert solve(problem, "farthest_first", backend="naive", start=start).objective >= factor * optimum * (
            1 - 1e-12
        )


def test_takes_only_its_own_objective():
    """Another objective is refused by name."""
    with pytest.raises(ValueError, match="does not take the objective 'conditional-dpp'"):
        solve(ConditionalDPP.from_features(np.eye(3), 2), "farthest_first")

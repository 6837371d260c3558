"""The best among the optimal sets of max-min diversity by a second criterion."""

import itertools

import numpy as np
import pytest

from mmdp import Constraints, MaxMinDiversity, Status, check
from mmdp.instances import gaussian, gkd, load, som
from solvers import refined, solve
from solvers.ensemble import refine as module
from solvers.ensemble.refine import CRITERIA


def measure(distances, tokens, criterion):
    """What a criterion compares, by its definition."""
    tokens = list(tokens)
    pairs = sorted(float(distances[i, j]) for i, j in itertools.combinations(tokens, 2))
    if criterion == "leximin":
        return pairs
    if criterion == "max_sum":
        return [sum(pairs)]
    nearest = distances[:, tokens].min(axis=1)
    nearest[tokens] = 0.0
    return [-nearest.max(), -nearest.mean()]


def best_by_enumeration(problem, criterion, value):
    subsets = [s for s in itertools.combinations(range(problem.n), problem.k) if problem.value(s) >= value]
    return max(measure(problem.distances, subset, criterion) for subset in subsets)


PROBLEMS = [
    *(pytest.param(lambda s=s: som(12, s).problem("max-min", 4), id=f"som-{s}") for s in range(4)),
    *(pytest.param(lambda s=s: gkd(12, s).problem("max-min", 5), id=f"gkd-{s}") for s in range(4)),
    pytest.param(lambda: gaussian(12, 4, seed=1).problem("max-min", 3), id="gaussian"),
    pytest.param(lambda: MaxMinDiversity.from_features(np.repeat(np.eye(4), 3, axis=0), 6), id="duplicates, value 0"),
]


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("build", PROBLEMS)
def test_small_problems_agree_with_brute_force(build, criterion):
    """The refined set is still optimal and no optimal set is better by the criterion."""
    problem = build()
    best = solve(problem, "exact")
    answer = refined(problem, best, criterion)
    check(problem, answer)
    assert answer.objective == best.objective
    assert answer.status is Status.OPTIMAL
    assert answer.stats["refined"] == "exact"
    assert answer.stats["refine"] == criterion
    reached = measure(problem.distances, answer.indices, criterion)
    np.testing.assert_allclose(reached, best_by_enumeration(problem, criterion, best.objective), rtol=1e-12)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_search_finds_the_best_of_small_problems(criterion, monkeypatch):
    """Where listing is forbidden, the swap search finds the same quality on nearly all small problems."""
    monkeypatch.setattr(module, "MOST", 0)
    hits = 0
    for seed in range(12):
        problem = gkd(14, seed).problem("max-min", 4)
        start = solve(problem, "greedy")
        answer = refined(problem, start, criterion, seed=seed)
        check(problem, answer)
        assert answer.stats["refined"] == "local search"
        assert answer.objective >= start.objective
        reached = measure(problem.distances, answer.indices, criterion)
        best = best_by_enumeration(problem, criterion, start.objective)
        assert reached <= [x + 1e-9 for x in best]
        hits += np.allclose(reached, best, rtol=1e-9)
    assert hits >= 9


@pytest.mark.parametrize("criterion", CRITERIA)
def test_photo_tokens_improve_and_no_swap_is_left(criterion, monkeypatch):
    """On a photo the criterion rises above the greedy set, the value does not fall, and the set is a local optimum."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    problem = load("photo/coffee/daisy/200").problem("max-min", 12)
    best = solve(problem, "greedy")
    monkeypatch.setattr(module, "MOST", 0)
    answer = refined(problem, best, criterion, time_limit=60)
    assert answer.objective >= best.objective
    D, kept = problem.distances, answer.kept
    reached = measure(D, kept, criterion)
    assert reached > measure(D, best.kept, criterion)
    for out, new in itertools.product(kept, np.setdiff1d(np.arange(200), kept)):
        other = np.append(kept[kept != out], new)
        if D[new, other[:-1]].min() >= best.objective:
            assert measure(D, other, criterion) <= [x + 1e-9 for x in reached]
    assert refined(problem, best, criterion, time_limit=60).indices.tolist() == answer.indices.tolist()


def test_the_bound_stays():
    """A heuristic's set keeps its bound, and one that rises to it becomes optimal."""
    problem = gkd(30).problem("max-min", 5)
    start = solve(problem, "greedy")
    answer = refined(problem, start, "leximin")
    assert answer.bound == max(start.bound, answer.objective)
    assert answer.objective >= start.objective


def test_solve_refines():
    """`solve(..., refine=...)` is the two steps in one, and refuses what they refuse."""
    problem = som(12, 0).problem("max-min", 4)
    answer = solve(problem, "exact", refine="max_sum")
    assert answer.stats["refine"] == "max_sum"
    assert answer.indices.tolist() == refined(problem, solve(problem, "exact"), "max_sum").indices.tolist()
    with pytest.raises(ValueError, match="refine must be one of leximin, cover, max_sum, got 'sum'"):
        solve(problem, "exact", refine="sum")
    with pytest.raises(TypeError, match="refine is for max-min diversity"):
        solve(gaussian(8, 3).problem("conditional-dpp", 3), "exact", refine="cover")


def test_nothing_to_choose():
    """One token, and all tokens."""
    for k in (1, 6):
        problem = gaussian(6, 3).problem("max-min", k)
        answer = refined(problem, solve(problem, "exact"), "cover")
        assert len(answer.indices) == k


def test_bad_input():
    """Refused in one sentence."""
    problem = gaussian(8, 3).problem("max-min", 3)
    best = solve(problem, "exact")
    with pytest.raises(ValueError, match="refine must be one of leximin, cover, max_sum, got 'mean'"):
        refined(problem, best, "mean")
    other = gaussian(8, 3).problem("conditional-dpp", 3)
    with pytest.raises(TypeError, match="refine is for max-min diversity"):
        refined(other, best, "cover")
    with pytest.raises(ValueError, match="cannot honour constraints"):
        refined(MaxMinDiversity.from_features(np.eye(4), 2, constraints=Constraints(keep=(0,))), best, "cover")

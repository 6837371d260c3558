"""Samples of optimal and near-optimal sets."""

import itertools
import math
import time

import numpy as np
import pytest

from mmdp import ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity, check
from mmdp.instances import clustered, gaussian, gkd, load, som
from solvers import optimal_sets, solve
from solvers.ensemble import far_sets
from solvers.ensemble.far_sets import all_cliques, wander
from solvers.ensemble.sample import level_of
from solvers.exact.max_min.far_graph import far_graph

SMALL = [
    pytest.param(lambda: som(11).problem("max-min", 4), id="max-min with ties"),
    pytest.param(lambda: gkd(12, 3).problem("max-min", 5), id="max-min"),
    pytest.param(lambda: clustered(10, 6, 3).problem("conditional-dpp", 3), id="conditional-dpp"),
    pytest.param(lambda: clustered(10, 6, 3).problem("implicit-weight", 4), id="implicit-weight"),
]


def brute_level(problem, eps):
    """(threshold, every set on the level) by looking at each subset."""
    subsets = list(itertools.combinations(range(problem.n), problem.k))
    values = np.array([problem.value(subset) for subset in subsets])
    best = values.max()
    slack = {"max-min": eps * best, "conditional-dpp": eps + 1e-9, "implicit-weight": (eps + 1e-9) * abs(best)}
    threshold = best - slack[problem.name] if problem.name != "max-min" else (1 - eps) * best
    return threshold, {subset for subset, value in zip(subsets, values, strict=True) if value >= threshold}


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("build", SMALL)
def test_small_levels_are_listed_whole(build, eps):
    """On small problems the list is the level set by brute force, and says that it is complete."""
    problem = build()
    threshold, everything = brute_level(problem, eps)
    found = optimal_sets(problem, eps, count=1000)
    assert {tuple(selection.indices.tolist()) for selection in found} == everything
    assert all(selection.stats["complete"] and selection.stats["distribution"] == "all" for selection in found)
    assert found[0].stats["threshold"] == pytest.approx(threshold, rel=1e-12)
    assert found[0].stats["reference"] == "optimum"
    for selection in found:
        check(problem, selection)


def test_a_sample_of_a_listed_level_is_uniform():
    """Each optimal set is drawn about equally often."""
    problem = MaxMinDiversity.from_features(np.repeat(np.eye(4), 3, axis=0), 4)
    everything = [tuple(s.indices.tolist()) for s in optimal_sets(problem, count=10_000)]
    assert len(everything) == 81
    best = solve(problem, "exact")
    counts = dict.fromkeys(everything, 0)
    for seed in range(300):
        for selection in optimal_sets(problem, count=5, seed=seed, best=best):
            assert not selection.stats["complete"]
            assert selection.stats["distribution"] == "uniform"
            counts[tuple(selection.indices.tolist())] += 1
    expected = 1500 / len(everything)
    chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
    assert chi2 < len(everything) + 5 * math.sqrt(2 * len(everything))


@pytest.mark.parametrize(
    ("name", "objective", "k", "eps"),
    [
        ("photo/astronaut/daisy/200", "max-min", 16, 0.1),
        ("photo/astronaut/daisy/200", "max-min", 16, 0.05),
        ("photo/chelsea/daisy/100", "conditional-dpp", 10, 0.3),
        ("photo/chelsea/daisy/100", "implicit-weight", 10, 0.002),
    ],
)
def test_samples_of_large_levels_keep_the_value(name, objective, k, eps):
    """Sets are distinct, on the level by the problem's own value, repeatable by seed, and do not claim to be all."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    problem = load(name).problem(objective, k)
    best = solve(problem, "exact", time_limit=20)
    found = optimal_sets(problem, eps, count=12, best=best, time_limit=60)
    rows = [tuple(selection.indices.tolist()) for selection in found]
    assert len(set(rows)) == len(rows) == 12
    for selection in found:
        check(problem, selection)
        assert selection.objective >= selection.stats["threshold"]
        assert selection.bound == max(best.bound, selection.objective)
    again = optimal_sets(problem, eps, count=12, best=best, time_limit=60)
    assert [tuple(selection.indices.tolist()) for selection in again] == rows
    other = optimal_sets(problem, eps, count=12, best=best, time_limit=60, seed=1)
    assert [tuple(selection.indices.tolist()) for selection in other] != rows


def test_one_pair_fixes_the_optimum_and_the_rest_is_free():
    """Optimal sets of photo-patch tokens share few members: a sample covers many tokens."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    problem = load("photo/coffee/daisy/300").problem("max-min", 16)
    found = optimal_sets(problem, 0.1, count=20)
    together = set.intersection(*({*selection.indices.tolist()} for selection in found))
    anywhere = set.union(*({*selection.indices.tolist()} for selection in found))
    assert len(together) < 8
    assert len(anywhere) > 40


@pytest.mark.parametrize("seed", range(30))
def test_cliques_are_those_of_networkx(seed, monkeypatch):
    """Every clique of size k, once each, however often the clock is looked at; no answer that was cut is complete."""
    networkx = pytest.importorskip("networkx")
    rng = np.random.default_rng(seed)
    n, k = int(rng.integers(2, 30)), int(rng.integers(1, 6))
    D = rng.uniform(size=(n, n))
    D = np.triu(D, 1) + np.triu(D, 1).T
    threshold = float(rng.uniform(0.3, 0.9))
    graph = far_graph(D, threshold, k)
    found, complete = all_cliques(graph.far, graph.close, k, 500_000, 10**9)
    assert complete
    G = networkx.from_numpy_array(threshold <= D)
    G.remove_edges_from(networkx.selfloop_edges(G))
    sizes = (clique for clique in networkx.enumerate_all_cliques(G) if len(clique) <= k)
    expected = {
        tuple(sorted(clique)) for clique in itertools.takewhile(lambda c: len(c) <= k, sizes) if len(clique) == k
    }
    assert {tuple(sorted(graph.tokens[row].tolist())) for row in found} == expected
    assert len(found) == len(expected)
    if expected:
        assert not all_cliques(graph.far, graph.close, k, len(expected) - 1, 10**9)[1]
        assert not all_cliques(graph.far, graph.close, k, 500_000, 0)[1]
        assert not all_cliques(graph.far, graph.close, k, 500_000, 10**9, deadline=-math.inf)[1]
    monkeypatch.setattr(far_sets, "SLICE", 1)
    again, complete = all_cliques(graph.far, graph.close, k, 500_000, 10**9)
    assert complete
    assert np.array_equal(again, found)


def test_listing_leaves_half_of_the_time_to_the_sampling(monkeypatch):
    """A list that is never finished in time: its deadline is halfway, and the sample still comes from restarts."""
    from solvers.ensemble import max_min_level

    asked = []

    def unfinished(far, close, k, most, max_nodes, deadline):
        asked.append((time.perf_counter(), deadline))
        return np.empty((0, k), np.int64), False

    monkeypatch.setattr(max_min_level, "all_cliques", unfinished)
    problem = gaussian(60, 8, seed=0).problem("max-min", 6)
    found = optimal_sets(problem, 0.3, count=5, time_limit=4.0, best=solve(problem, "exact"))
    ((now, deadline),) = asked
    assert 0 < deadline - now <= 2.0
    assert len(found) == 5
    assert not found[0].stats["complete"]


def test_the_walk_is_uniform_on_its_component():
    """Long walks between independent sets of a small graph end in each reachable set about equally often."""
    rng = np.random.default_rng(0)
    rows = np.zeros((7, 7), np.int16)
    for i, j in ((0, 1), (2, 3), (4, 5)):
        rows[i, j] = rows[j, i] = 1
    counts = {}
    for _ in range(6000):
        tokens = np.array([0, 2, 4])
        wander(rows, tokens, rng.integers(0, 3, 200), rng.integers(0, 7, 200))
        key = tuple(sorted(tokens.tolist()))
        counts[key] = counts.get(key, 0) + 1
    possible = [set_ for set_ in itertools.combinations(range(7), 3) if not rows[np.ix_(set_, set_)].any()]
    assert set(counts) == set(possible)
    expected = 6000 / len(possible)
    assert sum((counts[key] - expected) ** 2 / expected for key in possible) < len(possible) + 5 * math.sqrt(
        2 * len(possible)
    )


@pytest.mark.parametrize("objective", ["conditional-dpp", "implicit-weight"])
def test_swap_walks_reach_every_set_of_a_small_level(objective):
    """The walk of single swaps wanders over a level set that it knows only by values."""
    problem = gaussian(9, 5, seed=2).problem(objective, 3)
    threshold, everything = brute_level(problem, 1.5 if objective == "conditional-dpp" else 2.0)
    best = solve(problem, "exact").kept
    level = level_of(problem, threshold, best)
    rng = np.random.default_rng(0)
    reached = {tuple(level.walk(best, rng).tolist()) for _ in range(40 * len(everything))}
    assert reached <= everything
    assert len(reached) > 0.9 * len(everything) > 5


@pytest.mark.parametrize("k", [0, 1, 6])
@pytest.mark.parametrize("objective", ["max-min", "conditional-dpp", "implicit-weight"])
def test_nothing_to_choose(objective, k):
    """k = 0 and k = n have one set; a single token is optimal for max-min, whichever it is."""
    problem = gaussian(6, 3).problem(objective, k) if k < 6 else gaussian(3, 6).problem(objective, 3)
    found = optimal_sets(problem, count=100)
    assert len(found) == (6 if (objective, k) == ("max-min", 1) else 1)
    assert found[0].stats["complete"]
    for selection in found:
        check(problem, selection)


def test_bad_input():
    """Refused early, in one sentence."""
    problem = gaussian(8, 3).problem("max-min", 3)
    with pytest.raises(ValueError, match="eps must be >= 0 and below 1, got 1"):
        optimal_sets(problem, 1)
    with pytest.raises(ValueError, match=r"eps must be >= 0 and below inf, got -0\.1"):
        optimal_sets(gaussian(8, 3).problem("conditional-dpp", 3), -0.1)
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        optimal_sets(problem, count=0)
    with pytest.raises(TypeError, match=r"count must be a whole number, got 2\.5"):
        optimal_sets(problem, count=2.5)
    with pytest.raises(ValueError, match="time_limit must be a finite number of seconds >= 0, got -1"):
        optimal_sets(problem, time_limit=-1)
    with pytest.raises(ValueError, match="cannot honour constraints"):
        optimal_sets(MaxMinDiversity.from_features(np.eye(4), 2, constraints=Constraints(keep=(0,))))
    with pytest.raises(ValueError, match="no set of 3 tokens has a finite value"):
        optimal_sets(ConditionalDPP.from_features(np.ones((5, 2)), 3))


def test_no_time_still_gives_one_set():
    """With a limit of 0 seconds there is at least one set, of the value it says."""
    for problem in (
        gaussian(60, 8).problem("max-min", 12),
        ImplicitWeight.from_gram(np.eye(40) + 0.5, 9),
    ):
        found = optimal_sets(problem, time_limit=0)
        assert found
        check(problem, found[0])

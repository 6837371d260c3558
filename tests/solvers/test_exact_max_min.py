"""Node packing, Kuby and Sayah-Irnich: the proof is about the distances given, whatever the solver's tolerances."""

import itertools
import math

import numpy as np
import pytest

from mmdp import Constraints, MaxMinDiversity, Status, check
from mmdp.instances import gaussian
from solvers import solve
from solvers.answer import Request
from solvers.exact import node_packing
from solvers.exact.packing import Packing

MODELS = [
    pytest.param("node_packing", {}, id="node_packing"),
    pytest.param("node_packing", {"piece": 3}, id="node_packing-split"),
    pytest.param("kuby", {"solver": "highs"}, id="kuby-highs"),
    pytest.param("kuby", {"solver": "scip"}, id="kuby-scip"),
    pytest.param("kuby", {"solver": "cp_sat"}, id="kuby-cp_sat"),
    pytest.param("kuby", {"solver": "highs", "seeded": True}, id="kuby-seeded"),
    pytest.param("sayah_irnich", {"solver": "highs"}, id="sayah_irnich-highs"),
    pytest.param("sayah_irnich", {"solver": "scip"}, id="sayah_irnich-scip"),
    pytest.param("sayah_irnich", {"solver": "scip", "seeded": True}, id="sayah_irnich-seeded"),
]


def symmetric(rng: np.random.Generator, n: int, draw) -> np.ndarray:
    upper = np.triu(draw(size=(n, n)), 1)
    return upper + upper.T


def some_distances(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Distances of one kind; none but the first need obey the triangle inequality."""
    if kind == "plane":
        points = rng.random((n, 2))
        return np.linalg.norm(points[:, None] - points[None], axis=2)
    if kind == "few values":
        return symmetric(rng, n, lambda size: rng.integers(0, 4, size).astype(float))
    if kind == "all equal":
        return symmetric(rng, n, lambda size: np.full(size, 0.7))
    if kind == "copies":
        points = rng.random((max(1, n // 2), 2))[rng.integers(0, max(1, n // 2), n)]
        return np.linalg.norm(points[:, None] - points[None], axis=2)
    if kind == "hair's breadth":  # closer together than any MILP solver's tolerance
        return symmetric(rng, n, lambda size: 1 + 1e-9 * rng.permutation(size[0] * size[1]).reshape(size))
    return symmetric(rng, n, lambda size: 10.0 ** rng.uniform(-8, 8, size))  # "wide range"


KINDS = ["plane", "few values", "all equal", "copies", "hair's breadth", "wide range"]


def optimum(problem: MaxMinDiversity) -> float:
    """By the definition, over all subsets."""
    subsets = map(list, itertools.combinations(range(problem.n), problem.k))
    return max(problem.value(subset) for subset in subsets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("method", "options"), MODELS)
def test_equals_enumeration_to_the_last_bit(method, options, kind):
    """The value is the optimum itself, not a number near it, and it is proved."""
    rng = np.random.default_rng(len(kind))
    for _ in range(8):
        n = int(rng.integers(3, 9))
        problem = MaxMinDiversity.from_distances(some_distances(kind, rng, n), int(rng.integers(2, n)))
        answer = solve(problem, method, **options)
        check(problem, answer)
        assert answer.status is Status.OPTIMAL
        assert answer.objective == answer.bound == optimum(problem)


@pytest.mark.parametrize(("method", "options"), MODELS)
@pytest.mark.parametrize("k", [0, 1, 6])
def test_nothing_to_choose(method, options, k):
    """Without two tokens, or without a choice, every allowed set is optimal."""
    distances = some_distances("plane", np.random.default_rng(0), 6)
    answer = solve(MaxMinDiversity.from_distances(distances, k), method, **options)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == (math.inf if k < 2 else distances[np.triu_indices(6, 1)].min())
    kept_one = MaxMinDiversity.from_distances(distances, min(k, 1), constraints=Constraints(keep=(3,)))
    if k:
        assert solve(kept_one, method, **options).indices.tolist() == [3]
    else:
        assert solve(kept_one, method, **options).status is Status.INFEASIBLE


@pytest.mark.parametrize("n", [50, 90])
def test_split_and_whole_models_agree(n):
    """Splitting a graph into pieces for CP-SAT changes no verdict, at the optimum and right above it."""
    problem = gaussian(n, 16, seed=1).problem("max-min", n // 10)
    best = solve(problem, "node_packing", piece=n)
    levels = np.unique(problem.distances[np.triu_indices(n, 1)])
    above = levels[np.searchsorted(levels, best.objective) + 1]
    for piece in (20, n):
        packing = Packing(problem, piece=piece)
        found = packing.at_least(best.objective, Request())
        assert found is not None
        assert problem.value(found) == best.objective
        assert packing.at_least(above, Request()) is None
        assert packing.tokens <= piece


def test_a_photo_size_instance_is_proved_at_once():
    """n = 100, k = 10 photo tokens take about a second where the textbook models need tens of seconds."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    from mmdp.instances import load

    problem = load("photo/astronaut/pca/100").problem("max-min", 10)
    answer = solve(problem, "node_packing", time_limit=30)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == pytest.approx(0.823807, abs=1e-6)


@pytest.mark.parametrize("limit", [0, 0.3, 2])
@pytest.mark.alone
def test_time_limit_leaves_a_set_and_a_bound(limit):
    """On an instance out of reach the answer is on time, and a proof of the same instance for fewer tokens does not contradict it."""
    problem = gaussian(200, 64, seed=0).problem("max-min", 20)
    answer = solve(problem, "node_packing", time_limit=limit)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.seconds < limit + 1.5
    assert answer.objective <= 0.9096836687 + 1e-9 <= answer.bound  # the optimum, proved once in a minute
    assert answer.bound in problem.distances


@pytest.mark.parametrize(
    ("method", "options"), [("kuby", {"solver": "scip"}), ("kuby", {"solver": "cp_sat"}), ("sayah_irnich", {})]
)
@pytest.mark.alone
def test_textbook_models_keep_the_time_limit(method, options):
    """They come back on time with a set, and a bound that the optimum does not pass."""
    problem = gaussian(100, 64, seed=0).problem("max-min", 10)
    answer = solve(problem, method, time_limit=1, **options)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.seconds < 3.5
    assert answer.objective <= 0.9773820276567361 <= answer.bound
    assert answer.bound in problem.distances


def test_ctrl_c_keeps_what_is_known(monkeypatch):
    """An interruption in the middle of the levels gives the best set and the bound of that moment."""
    problem = gaussian(100, 16, seed=3).problem("max-min", 10)
    optimal = solve(problem, "node_packing")
    calls = []

    def stop_at_second_level(self, threshold, request):
        calls.append(threshold)
        if len(calls) > 1:
            raise KeyboardInterrupt
        raise TimeoutError

    monkeypatch.setattr(Packing, "at_least", stop_at_second_level)
    answer = solve(problem, "node_packing", time_limit=60)
    check(problem, answer)
    assert answer.status is Status.INTERRUPTED
    assert answer.objective <= optimal.objective <= answer.bound


@pytest.mark.parametrize(
    ("method", "options", "error"),
    [
        ("node_packing", {"workers": 0}, ValueError),
        ("node_packing", {"workers": 1.5}, TypeError),
        ("node_packing", {"piece": 0}, ValueError),
        ("node_packing", {"cuts": 1}, TypeError),
        ("kuby", {"solver": "gurobi"}, ValueError),
        ("sayah_irnich", {"solver": "cp_sat"}, ValueError),
    ],
)
def test_wrong_options_are_refused(method, options, error):
    """A wrong name or value is an error, never silently another run."""
    problem = gaussian(8, 4, seed=0).problem("max-min", 3)
    with pytest.raises(error):
        solve(problem, method, **options)


def test_more_workers_prove_the_same():
    """CP-SAT with two threads finds the same optimum."""
    problem = gaussian(60, 16, seed=2).problem("max-min", 8)
    one, two = (node_packing.run(problem, Request(), workers=workers) for workers in (1, 2))
    assert problem.value(one.indices) == problem.value(two.indices) == one.bound == two.bound

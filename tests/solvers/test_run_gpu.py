"""The gpu rows of the catalogue through `solve`, on whatever device there is."""

import numpy as np
import pytest
import torch

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, check
from solvers import CATALOG, solve
from solvers.answer import Request
from solvers.rank1.gpu import run as run_rank1
from solvers.solve import find_solver

RNG = np.random.default_rng(0)
X, K, V = RNG.normal(size=(30, 8)), RNG.normal(size=(2, 30, 4)), RNG.normal(size=(2, 30, 5))
RELEVANCE = RNG.uniform(0.1, 1, size=30)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else []), None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    ("method", "problem", "options"),
    [
        ("farthest_first", MaxMinDiversity.from_features(X, 12), {}),
        ("farthest_first", MaxMinDiversity.from_features(X.astype(np.float16), 12, "chordal"), {"start": 4}),
        ("farthest_first", MaxMinDiversity.from_features(X, 12, "euclidean"), {}),
        ("farthest_first", MaxMinDiversity.from_features(X.astype(np.float16), 12, "euclidean"), {}),
        ("farthest_first", MaxMinDiversity.from_features(X, 12, "euclidean"), {"start": 4}),
        ("greedy_map", ConditionalDPP.from_features(X, 12, RELEVANCE), {}),
        ("greedy_map", ConditionalDPP.from_features(X.astype(np.float32), 12, RELEVANCE, theta=0.99), {}),
        ("rank1", ImplicitWeight.from_keys_values(K, V, 12), {}),
        ("mmr", ImplicitWeight.from_keys_values(K, V, 12), {"lam": 0.3}),
        ("pc_mmr", ImplicitWeight.from_keys_values(K, V, 12), {"chunk": 1, "strength": 2.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_same_selection_as_naive(method, problem, options, device):
    """Same tokens, same order, for every metric and weight; the device is told."""
    answer = solve(problem, method, backend="gpu", device=device, **options)
    check(problem, answer)
    assert answer.indices.tolist() == solve(problem, method, backend="naive", **options).indices.tolist()
    assert answer.solver == f"{method}:gpu"
    assert answer.stats["device"].startswith(device or "")


@pytest.mark.parametrize("method", ["rank1", "mmr", "pc_mmr"])
def test_autocast_reaches_no_problem_either(method):
    """The rows of the catalogue compute their Gram matrices beside the operators, and as exactly."""
    problem = ImplicitWeight.from_keys_values(RNG.normal(size=(2, 90, 8)), RNG.normal(size=(2, 90, 8)), 40)
    expected = solve(problem, method, backend="gpu", device="cpu").indices.tolist()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert solve(problem, method, backend="gpu", device="cpu").indices.tolist() == expected


@pytest.mark.parametrize("k", [0, 8, 13])
def test_rank_and_filled_places(k):
    """Eight independent directions: eight greedy picks, the rest fills up, as `naive` reports."""
    problem = ConditionalDPP.from_features(X, k, np.append(RELEVANCE[:29], 0.0))
    stats = solve(problem, "greedy_map", backend="gpu").stats
    naive = solve(problem, "greedy_map", backend="naive").stats
    assert (stats["rank"], stats["filled"]) == (naive["rank"], naive["filled"]) == (min(k, 8), max(0, k - 8))


@pytest.mark.parametrize(
    ("method", "problem", "message"),
    [
        ("farthest_first", MaxMinDiversity.from_distances(1 - np.eye(4), 2), "starts from features"),
        ("greedy_map", ConditionalDPP.from_kernel(np.eye(4), 2), "starts from features"),
        ("rank1", ImplicitWeight.from_gram(np.eye(4), 2), "starts from keys and values"),
        ("mmr", ImplicitWeight.from_keys_values(K, V, 2, kernel="softmax"), "got kernel 'softmax' and form 'trunc"),
        ("pc_mmr", ImplicitWeight.from_keys_values(K, V, 2, form="squared"), "got kernel 'linear' and form 'squared'"),
    ],
)
def test_problems_without_features_are_refused(method, problem, message):
    """The gpu backend computes its own Gram matrix, and says so."""
    with pytest.raises(ValueError, match=message):
        solve(problem, method, backend="gpu")


@pytest.mark.parametrize("name", sorted({row.name for row in CATALOG if row.backend == "gpu"}))
def test_auto_never_chooses_the_gpu(name):
    """A problem lives in host memory: gpu only where it is named."""
    row = next(row for row in CATALOG if row.name == name)
    problem = {
        "max-min": MaxMinDiversity.from_features(X, 3),
        "conditional-dpp": ConditionalDPP.from_features(X, 3),
        "implicit-weight": ImplicitWeight.from_keys_values(K, V, 3),
    }[next(iter(row.solves))]
    assert find_solver(problem, name).backend != "gpu"
    assert find_solver(problem, name, "gpu").backend == "gpu"


def test_nothing_to_keep():
    """k = 0 through the row that has its own Gram path."""
    answer = run_rank1(ImplicitWeight.from_keys_values(K, V, 0), Request())
    assert len(answer.indices) == 0
    assert len(solve(ImplicitWeight.from_keys_values(K, V, 0), "pc_mmr", backend="gpu").indices) == 0

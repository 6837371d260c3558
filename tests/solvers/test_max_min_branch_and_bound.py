"""Max-min branch and bound: the optimum and its proof, on degenerate instances, against CP-SAT, when stopped."""

import itertools
import math

import networkx as nx
import numpy as np
import pytest

from mmdp import Constraints, MaxMinDiversity, Status, check
from mmdp.instances import gaussian, load
from solvers import solve
from solvers.exact.max_min import branch_and_bound, theta
from solvers.exact.max_min.clique import CliqueSearch, Outcome, clique_of_size
from solvers.exact.max_min.splitting import Splitting
from solvers.exact.max_min.tabu import Climber
from solvers.exact.max_min.theta_prime import ThetaPrime
from solvers.exact.packing import Packing


def distances(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """Symmetric, zero diagonal; the triangle inequality need not hold."""
    if kind in ("plane", "copies", "grid"):
        points = rng.random((n, 2))
        if kind == "copies":
            points = points[rng.integers(0, max(1, n // 2), n)]
        if kind == "grid":
            points = rng.integers(0, 3, (n, 2)).astype(float)
        return np.linalg.norm(points[:, None] - points, axis=2)
    if kind == "all equal":
        return 0.7 * (1 - np.eye(n))
    draws = {
        "two values": lambda: rng.integers(1, 3, (n, n)).astype(float),
        "few values": lambda: rng.integers(0, 4, (n, n)).astype(float),
        "hair's breadth": lambda: 1 + 1e-15 * rng.integers(0, 50, (n, n)),
        "wide range": lambda: 10.0 ** rng.uniform(-12, 12, (n, n)),
    }
    upper = np.triu(draws[kind](), 1)
    return upper + upper.T


KINDS = ["plane", "copies", "grid", "all equal", "two values", "few values", "hair's breadth", "wide range"]


@pytest.mark.parametrize("kind", KINDS)
def test_equals_enumeration_to_the_last_bit(kind):
    """The value is the optimum by definition, and the certificate proves exactly that, whatever ties there are."""
    rng = np.random.default_rng(KINDS.index(kind))
    for _ in range(50):
        n = int(rng.integers(3, 15))
        k = int(rng.integers(2, n + 1))
        problem = MaxMinDiversity.from_distances(distances(kind, rng, n), k)
        i, j = np.triu_indices(k, 1)
        subsets = np.array(list(itertools.combinations(range(n), k)))
        optimum = problem.distances[subsets[:, i], subsets[:, j]].min(axis=1).max()
        answer = solve(problem, "branch_and_bound", certify=True)
        check(problem, answer)
        assert answer.status is Status.OPTIMAL
        assert answer.objective == answer.bound == optimum == answer.certificate.verify(problem)


@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_cp_sat(seed):
    """Two methods that share no code prove the same optimum, n up to 60."""
    rng = np.random.default_rng(seed)
    n = 30 + 6 * seed
    k = int(rng.integers(3, n // 5))
    problem = gaussian(n, 8 if seed % 2 else 32, seed=seed).problem("max-min", k)
    ours, theirs = (solve(problem, method) for method in ("branch_and_bound", "node_packing"))
    assert ours.status is theirs.status is Status.OPTIMAL
    assert ours.objective == theirs.objective


def test_clique_decisions_agree_with_networkx():
    """At the clique number there is one, and it is one; one above there is none. Sparse to dense graphs."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 45))
        upper = np.triu(rng.random((n, n)) < rng.uniform(0.1, 0.95), 1)
        adjacent = upper | upper.T
        number = max(map(len, nx.find_cliques(nx.from_numpy_array(adjacent))))
        found = clique_of_size(adjacent, number)
        assert found.outcome is Outcome.CLIQUE
        assert adjacent[np.ix_(found.clique, found.clique)].sum() == number * (number - 1)
        assert clique_of_size(adjacent, number + 1).outcome is Outcome.NONE


@pytest.mark.parametrize("seed", range(4))
def test_theta_and_splitting_never_refute_what_is_reached(seed):
    """Both refute levels above the optimum only; splitting goes further down than theta' alone."""
    problem = gaussian(70, 12, seed=seed).problem("max-min", 9)
    optimum = solve(problem, "branch_and_bound").objective
    top = float(problem.distances.max())
    bound, certificate = theta.theta_bound(problem.distances, 9, optimum, top)
    assert optimum <= bound == certificate.verify(problem)
    splitting = Splitting(math.inf)
    assert not splitting.refutes(ThetaPrime(theta.close_pairs(problem.distances, optimum), 9))
    levels = np.unique(problem.distances)
    lowest = next(
        t
        for t in np.linspace(optimum, bound, 12)[1:]
        if splitting.refutes(ThetaPrime(theta.close_pairs(problem.distances, levels[levels >= t][0]), 9))
    )
    assert optimum < lowest < bound


def test_grouping_keeps_the_bound_valid():
    """More tokens than theta' takes as they are: near-duplicates share a group, and the certificate still checks."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, 4))
    X = np.repeat(centres, 2, axis=0) + 1e-4 * rng.normal(size=(120, 4))
    problem = MaxMinDiversity.from_features(X, 12)
    optimum = solve(problem, "branch_and_bound").objective
    groups, found = theta.GroupedTokens(problem.distances, 12, optimum, 80), []
    top = float(problem.distances.max())
    lowest = theta.theta_descent(groups, 12, optimum, top, math.inf, found.append)
    assert len(found[-1].multiplier) == 80
    assert optimum <= lowest < found[-1].threshold < top
    assert optimum < found[-1].verify(problem) < top


def test_heuristics_stop_when_the_dual_bound_closes():
    """Where colouring meets the first set, no tabu search is made; the proof takes no branching."""
    line = np.arange(12.0)[:, None]
    problem = MaxMinDiversity.from_distances(np.abs(line - line.T), 12 // 2)
    answer = solve(problem, "branch_and_bound")
    assert answer.status is Status.OPTIMAL
    assert answer.stats["tabu_iterations"] == 0


@pytest.mark.parametrize(("owner", "method"), [(Climber, "climb"), (CliqueSearch, "advance"), (ThetaPrime, "iterate")])
@pytest.mark.parametrize("call", [1, 2])
def test_ctrl_c_keeps_the_best_set_and_bound(monkeypatch, owner, method, call):
    """Wherever it comes, the answer holds: value <= optimum <= bound, and the certificate supports the bound."""
    problem = gaussian(120, 24, seed=1).problem("max-min", 14)
    optimal = solve(problem, "branch_and_bound").objective
    original = getattr(owner, method)
    calls = []

    def interrupted(self, *arguments):
        calls.append(method)
        if len(calls) == call:
            raise KeyboardInterrupt
        return original(self, *arguments)

    monkeypatch.setattr(owner, method, interrupted)
    monkeypatch.setattr(branch_and_bound, "QUICK", 0.0)  # so that theta' is reached, too
    monkeypatch.setattr(branch_and_bound, "STALLED", 0.0)
    answer = solve(problem, "branch_and_bound", certify=True)
    check(problem, answer)
    assert len(calls) == call
    assert answer.status is Status.INTERRUPTED
    assert answer.objective <= optimal <= answer.bound
    assert optimal <= answer.certificate.verify(problem) <= answer.bound


def test_time_limit_leaves_a_certified_bound():
    """Out of reach in the time: a set, a bound, and a certificate of that bound."""
    problem = gaussian(300, 64, seed=0).problem("max-min", 30)
    answer = solve(problem, "branch_and_bound", time_limit=1.0, certify=True)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.objective < answer.certificate.verify(problem) == answer.bound


def test_the_bound_of_theta_is_certified_by_default():
    """Where theta' carries the final bound, its certificate is there without being asked for."""
    problem = load("gaussian/160x64/0").problem("max-min", 64)
    answer = solve(problem, "branch_and_bound", time_limit=0.0)
    assert answer.certificate.verify(problem) == answer.bound


def test_without_certificate_the_reason_is_given():
    """A search that was not logged says so."""
    problem = gaussian(60, 16, seed=0).problem("max-min", 10)
    plain, logged = (solve(problem, "branch_and_bound", certify=certify) for certify in (False, True))
    assert plain.certificate is None
    assert plain.stats["certificate"] == "the search keeps its log with certify=True"
    assert logged.certificate.kind == "clique-tree"
    assert "certificate" not in logged.stats


def test_too_long_a_log_is_dropped_and_said(monkeypatch):
    """Above the limit the search goes on without its log."""
    from solvers.exact.max_min import refuter

    monkeypatch.setattr(refuter, "MOST_BYTES", 500)
    problem = gaussian(60, 16, seed=0).problem("max-min", 10)
    answer = solve(problem, "branch_and_bound", certify=True)
    assert answer.status is Status.OPTIMAL
    assert answer.certificate is None
    assert answer.stats["certificate"] == "its log exceeds 100 MB"


def test_verify_asks_or_tools_again(monkeypatch):
    """One level above the optimum is refuted by CP-SAT, or not in the time; a better set is an error."""
    problem = gaussian(60, 16, seed=0).problem("max-min", 10)
    answer = solve(problem, "branch_and_bound", verify=True)
    assert answer.stats["verified"] is True

    def late(self, threshold, request):
        assert answer.objective < threshold
        raise TimeoutError

    monkeypatch.setattr(Packing, "at_least", late)
    assert solve(problem, "branch_and_bound", verify=True).stats["verified"] == "not within the time"
    monkeypatch.setattr(Packing, "at_least", lambda self, threshold, request: answer.indices)
    with pytest.raises(RuntimeError, match="OR-Tools finds"):
        solve(problem, "branch_and_bound", verify=True)


@pytest.mark.parametrize(("options", "error"), [({"certify": 1}, TypeError), ({"verify": "yes"}, TypeError)])
def test_wrong_options_are_refused(options, error):
    """Flags are True or False."""
    with pytest.raises(error, match="must be True or False"):
        solve(gaussian(8, 4, seed=0).problem("max-min", 3), "branch_and_bound", **options)


def test_constraints_are_sent_elsewhere():
    """The clique search has no place for them and says who has."""
    problem = gaussian(8, 4, seed=0).problem("max-min", 3)
    problem.constraints = Constraints(keep=(1,))
    with pytest.raises(ValueError, match="node_packing"):
        branch_and_bound.run(problem, branch_and_bound.Request())

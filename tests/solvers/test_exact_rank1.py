"""The linearised and the quadratic model of the rank-1 energy, and the root that fixes most of it."""

import itertools

import numpy as np
import pytest

from mmdp import ImplicitWeight, Status, check
from mmdp.instances import gaussian
from solvers import solve
from solvers.answer import Request
from solvers.exact import rank1_proof
from solvers.exact.residual import enumerate_residual, reduce

MODELS = {"linearised": 1e-9, "miqp": 1e-7}  # and the relative tolerance that they state


def some_gram(kind: str, rng: np.random.Generator, n: int) -> np.ndarray:
    """A Gram matrix of one kind."""
    if kind == "linear":
        keys, values = rng.normal(size=(2, n, 3))
        return (keys @ keys.T) * (values @ values.T)
    if kind == "squared":
        rows = rng.normal(size=(n, 3))
        return (rows @ rows.T) ** 2
    if kind == "common mean":
        rows = 1 + 0.1 * rng.normal(size=(n, 5))
        return rows @ rows.T
    if kind == "sixteen decades":
        rows = rng.normal(size=(n, 4)) * 10.0 ** rng.uniform(-4, 4, size=(n, 1))
        return rows @ rows.T
    if kind == "nearly equal":
        rows = np.hstack([np.eye(n), 1e-5 * rng.normal(size=(n, 3))])
        return rows @ rows.T
    rows = rng.integers(-1, 2, size=(n, 3)).astype(float)  # "whole numbers": ties, copies, zero updates, low rank
    return rows @ rows.T


KINDS = ["linear", "squared", "common mean", "sixteen decades", "nearly equal", "whole numbers"]


def least_energy(problem: ImplicitWeight) -> float:
    """By the definition, over all subsets."""
    subsets = map(list, itertools.combinations(range(problem.n), problem.k))
    return min(-problem.value(subset) for subset in subsets)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", MODELS)
def test_equals_enumeration(method, kind):
    """The energy is the least there is, up to the tolerance stated, and the bound never claims more."""
    rng = np.random.default_rng(len(kind))
    for _ in range(12):
        n = int(rng.integers(2, 10))
        problem = ImplicitWeight.from_gram(some_gram(kind, rng, n), int(rng.integers(0, n + 1)))
        answer = solve(problem, method)
        check(problem, answer)
        assert answer.status is Status.OPTIMAL
        assert -answer.objective - least_energy(problem) <= answer.stats.get("tolerance", 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_fixing_at_the_root_keeps_every_better_set(kind):
    """Whatever the target, sets of less energy survive the fixing, with their energy, and lie above the residual's bound."""
    rng = np.random.default_rng(1 + len(kind))
    for _ in range(10):
        n = int(rng.integers(3, 9))
        problem = ImplicitWeight.from_gram(some_gram(kind, rng, n), int(rng.integers(1, n)))
        subsets = [np.array(subset) for subset in itertools.combinations(range(n), problem.k)]
        energies = np.array([-problem.value(subset) for subset in subsets])
        target = float(np.quantile(energies, 0.5))
        residual = reduce(problem, target, Request())
        for subset, energy in zip(subsets, energies, strict=True):
            if energy >= target * (1 - 1e-12):
                continue
            pruned = np.setdiff1d(np.arange(n), subset)
            assert not residual.closed
            assert np.isin(residual.ones, pruned).all()
            y = np.isin(residual.free, pruned).astype(float)
            assert y.sum() == residual.m == len(pruned) - len(residual.ones)
            rounding = 1e-12 * float(np.abs(problem.gram).sum())
            assert y @ residual.quadratic @ y + residual.constant == pytest.approx(energy, abs=rounding)
            assert residual.lower <= energy + rounding


@pytest.mark.parametrize("method", MODELS)
def test_bound_is_honest_when_the_model_stops_early(method, monkeypatch):
    """Without the enumeration that closes the last gap, and with a coarse model, the bound still holds."""
    monkeypatch.setattr(
        rank1_proof,
        "enumerate_residual",
        lambda problem, residual, request: rank1_proof.Searched(None, residual.lower, True, False),
    )
    monkeypatch.setattr("solvers.exact.linearised.LARGEST", 2.0**12)
    rng = np.random.default_rng(5)
    coarse = 0
    for kind in KINDS * 3:
        problem = ImplicitWeight.from_gram(some_gram(kind, rng, 9), 4)
        answer = solve(problem, method)
        check(problem, answer)
        least = least_energy(problem)
        assert -answer.bound <= least + answer.stats["tolerance"]
        coarse += answer.status is Status.FEASIBLE
    assert coarse or method == "miqp"


def test_enumeration_of_what_is_left_is_exact():
    """The referee values every set that the fixing left, and finds the optimum."""
    rng = np.random.default_rng(2)
    problem = ImplicitWeight.from_gram(some_gram("linear", rng, 9), 4)
    searched = enumerate_residual(problem, reduce(problem, np.inf, Request(time_limit=0)), Request())
    assert searched.finished
    assert searched.lower == -problem.value(searched.kept) == least_energy(problem)


@pytest.mark.parametrize("method", MODELS)
def test_real_size_is_proved(method):
    """Full-size tokens: the root fixes nearly everything, so that n = 300 takes a second or two."""
    problem = gaussian(300, 64, seed=0).problem("implicit-weight", 30)
    answer = solve(problem, method, time_limit=60)
    assert answer.status is Status.OPTIMAL
    assert answer.stats["free"] < 40
    assert answer.stats["relative_tolerance"] == MODELS[method]


@pytest.mark.parametrize("method", MODELS)
@pytest.mark.parametrize("limit", [0, 0.5])
@pytest.mark.alone
def test_time_limit(method, limit):
    """A limit too short for the root leaves the local optimum and the bound 0, on time."""
    problem = gaussian(576, 64, seed=0).problem("implicit-weight", 192)
    problem.gram  # noqa: B018 - formed outside the clock
    answer = solve(problem, method, time_limit=limit)
    check(problem, answer)
    assert answer.seconds < limit + 1.5
    assert answer.status is Status.TIME_LIMIT
    assert answer.objective <= answer.bound <= 0


@pytest.mark.parametrize("method", MODELS)
def test_ctrl_c_keeps_what_is_known(method, monkeypatch):
    """An interruption during the search of what is left gives the best set, and the bound of the root."""
    problem = ImplicitWeight.from_gram(some_gram("linear", np.random.default_rng(3), 40), 20)

    def interrupted(problem, residual, request, search):
        raise KeyboardInterrupt

    monkeypatch.setattr(rank1_proof, "_search", interrupted)
    answer = solve(problem, method)
    check(problem, answer)
    assert answer.status is Status.INTERRUPTED
    monkeypatch.undo()
    optimum = solve(problem, "branch_and_bound")
    assert answer.objective <= optimum.objective * (1 - 1e-7) <= answer.bound


def test_a_zero_energy_is_optimal():
    """Nothing has less energy than 0."""
    problem = ImplicitWeight.from_gram(np.diag([0.0, 0.0, 1.0, 2.0]), 2)
    for method in MODELS:
        answer = solve(problem, method)
        assert answer.status is Status.OPTIMAL
        assert answer.objective == answer.bound == 0

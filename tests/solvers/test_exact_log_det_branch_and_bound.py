"""Branch and bound for log det: against enumeration, its bounds at every node, its limits."""

import itertools
import math
import time

import numpy as np
import pytest

from mmdp import ConditionalDPP, Status, check
from mmdp.instances import gaussian, load
from solvers import solve
from solvers.answer import Request
from solvers.exact.log_det import branch_and_bound, linx, relaxation
from solvers.exact.log_det.branch_and_bound import Search
from solvers.exact.log_det.concave_loss import chord, furthest, loss
from solvers.exact.log_det.ddfact import maximise
from solvers.exact.log_det.second_order import of_ddfact, of_linx, strengthen
from solvers.exact.log_det.swap import Kicks

KINDS = ["full rank", "relevance", "zero relevance", "low rank", "copies", "nearly dependent", "scales", "orthogonal"]


def some_problem(kind: str, rng: np.random.Generator, n: int, k: int) -> ConditionalDPP:
    """A problem of one kind."""
    if kind == "full rank":
        return ConditionalDPP.from_features(rng.normal(size=(n, 14)), k)
    if kind == "relevance":
        return ConditionalDPP.from_features(rng.normal(size=(n, 8)), k, rng.random(n))
    if kind == "zero relevance":
        return ConditionalDPP.from_features(rng.normal(size=(n, 8)), k, rng.integers(0, 2, n))
    if kind == "low rank":
        return ConditionalDPP.from_features(rng.normal(size=(n, 4)), k, 0.1 + rng.random(n))
    if kind == "copies":
        rows = rng.normal(size=(n // 2 + 1, 6))[rng.integers(0, n // 2 + 1, n)]
        return ConditionalDPP.from_features(rows, k, rng.choice([0.5, 1.0], n))
    if kind == "nearly dependent":
        rows = rng.normal(size=(n, 3)) @ rng.normal(size=(3, 8)) + 1e-4 * rng.normal(size=(n, 8))
        return ConditionalDPP.from_features(rows, k)
    if kind == "orthogonal":
        return ConditionalDPP.from_features(np.eye(n)[rng.permutation(n)], k, rng.choice([0.5, 1.0], n))
    rows = rng.normal(size=(n, 6)) * 10.0 ** rng.uniform(-4, 4, size=(n, 1))  # "scales"
    return ConditionalDPP.from_kernel(rows @ rows.T, k)


def best_of(problem: ConditionalDPP) -> float:
    """The optimum, by enumeration."""
    subsets = itertools.combinations(range(problem.n), problem.k)
    return max(problem.value(list(subset)) for subset in subsets)


@pytest.mark.parametrize("kind", KINDS)
def test_equals_enumeration(kind):
    """The value is the largest log det there is, -inf included, and it is proved."""
    rng = np.random.default_rng(len(kind))
    for _ in range(30):
        n = int(rng.integers(2, 11))
        problem = some_problem(kind, rng, n, int(rng.integers(0, n + 1)))
        answer = solve(problem, "branch_and_bound")
        check(problem, answer)
        assert answer.status is Status.OPTIMAL
        best = best_of(problem)
        assert answer.objective == best or abs(answer.objective - best) <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_both_relaxations_equal_enumeration(kind, monkeypatch):
    """The same at n = 12 to 14 with linx forced and with DDFact forced."""
    monkeypatch.setattr(relaxation, "LINX_GAP", -math.inf)
    rng = np.random.default_rng(100 + len(kind))
    for prefer in (0.0, math.inf):
        monkeypatch.setattr(relaxation, "PREFER_LINX", prefer)
        problem = some_problem(kind, rng, int(rng.integers(12, 15)), int(rng.integers(3, 6)))
        answer = solve(problem, "branch_and_bound")
        best = best_of(problem)
        assert answer.status is Status.OPTIMAL
        assert answer.objective == best or abs(answer.objective - best) <= 1e-9


def test_agrees_with_outer_approximation():
    """Two proofs that share no bound code end with the same value."""
    for seed in range(4):
        problem = gaussian(28, 16, seed=seed).problem("conditional-dpp", 5 + seed)
        one, other = solve(problem, "branch_and_bound"), solve(problem, "outer_approximation")
        assert one.status is other.status is Status.OPTIMAL
        assert one.objective == pytest.approx(other.objective, abs=1e-9)


def test_loss_is_the_least_for_its_squares():
    """h(q) is below the sum of m - log(1 + m), lies above its chords, and `furthest` inverts it upwards."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        m = np.concatenate((rng.uniform(-0.99, 0, 3), rng.exponential(rng.choice([0.1, 1, 10]), 3)))
        assert (m - np.log1p(m)).sum() >= loss(float((m * m).sum())) - 1e-12
        gap = float(10 ** rng.uniform(-6, 1.5))
        high = furthest(gap)
        assert gap <= loss(high) <= gap * (1 + 1e-8)
        low = float(rng.random() * high)
        a, b = chord(low, gap)
        q = np.linspace(low, high, 30)
        assert (a + b * q <= np.sqrt(q) - np.log1p(np.sqrt(q)) + 1e-12 * (1 + q)).all()


@pytest.mark.parametrize("relaxation", ["ddfact", "linx"])
def test_strengthened_bounds_hold(relaxation):
    """No set above the cutoff, mostly one just above it, exceeds the bound or what its quadratic gives it."""
    rng = np.random.default_rng(3)
    for turn in range(60):
        problem = some_problem(("relevance", "full rank")[turn % 2], rng, 9, 4)
        values = {subset: problem.value(list(subset)) for subset in itertools.combinations(range(9), 4)}
        ranked = sorted(value for value in values.values() if value > -math.inf)
        cutoff = ranked[-int(rng.choice([1, 1, 1, 2, 5, 20]))] - float(10 ** rng.uniform(-7, -2))
        rows = np.ascontiguousarray(problem.factor)
        if relaxation == "ddfact":
            squares = (rows**2).sum(axis=1)
            x = maximise(rows, squares, 0.0, 4, np.full(9, 4 / 9), -math.inf, 1e-6, int(rng.integers(1, 20)))[1]
            tangent = of_ddfact(rows, squares, 0.0, x, 4, float(rng.choice([0.01, 0.3, math.inf])))
        else:
            found = linx.maximise(problem.kernel, 4, np.full(9, 4 / 9), np.zeros(9), -math.inf, 1e-6, 10)
            x, tangent = found.x, of_linx(found)
        better = strengthen(tangent, 4, x, cutoff, None, patient=True)
        above = {subset: value for subset, value in values.items() if value > cutoff}
        assert better is not None or not above
        for subset, value in above.items():
            y = np.isin(np.arange(9), subset).astype(float)
            assert value <= tangent.constant + tangent.gradient @ y + 1e-9
            assert value <= better.upper + 1e-9
            assert value <= better.upper - _most(better.gradient, 4) + better.gradient @ y + 1e-9


def _most(gradient, s):
    """The largest gradient.y over binary y with sum y = s."""
    return float(np.sort(gradient)[len(gradient) - s :].sum())


@pytest.mark.parametrize("limit", [0, 0.3, 2])
def test_time_limit_leaves_a_set_and_a_bound(limit):
    """At full size the answer comes with a set, and a bound where there was time for one."""
    problem = gaussian(300, 64, seed=0).problem("conditional-dpp", 32)
    answer = solve(problem, "branch_and_bound", time_limit=limit)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.objective <= answer.bound
    assert limit < 2 or answer.bound < answer.objective + 32


@pytest.mark.parametrize("where", ["_root", "_unfold", "_expand", "_close", "_kick"])
def test_ctrl_c_keeps_what_is_known(where, monkeypatch):
    """An interruption anywhere gives the best set so far and a bound that holds."""
    problem = gaussian(40, 32, seed=2).problem("conditional-dpp", 12)
    optimum = solve(problem, "branch_and_bound")
    assert optimum.stats["nodes"] > 20
    inner, calls = getattr(Search, where), []
    for patience in (0, 5):

        def interrupted(self, *arguments, patience=patience):
            calls.append(where)
            if len(calls) > patience:
                raise KeyboardInterrupt
            return inner(self, *arguments)

        calls.clear()
        monkeypatch.setattr(Search, where, interrupted)
        answer = solve(problem, "branch_and_bound")
        monkeypatch.setattr(Search, where, inner)
        if len(calls) > patience:
            check(problem, answer)
            assert answer.status is Status.INTERRUPTED
            assert answer.objective <= optimum.objective <= answer.bound


def test_kicks_reach_what_local_search_finds():
    """The incumbent before any proof is no worse than that of local search, which has its restarts too."""
    for name, k in (("photo/motorcycle_left/pca/150", 24), ("photo/astronaut/daisy/150", 32), ("gaussian/150x64", 32)):
        problem = load(name).problem("conditional-dpp", k)
        kicks = Kicks(problem.kernel, k, 0)
        best = kicks.climb(kicks.greedy()[0])
        for _ in range(150):
            members = kicks.kicked(best)
            if members is not None and problem.value(members) > problem.value(best):
                best = members
                kicks.succeeded()
        assert problem.value(best) >= solve(problem, "local_search").objective - 1e-9


def test_a_poor_start_is_repaired():
    """Where greedy ends in a singular set, local search may not, and the proof goes on from there."""
    problem = some_problem("scales", np.random.default_rng(1), 12, 5)
    answer = branch_and_bound.run(problem, Request(started=time.perf_counter()))
    assert problem.value(answer.indices) == pytest.approx(best_of(problem), abs=1e-9)


@pytest.mark.parametrize("tolerance", [-1e-9, math.nan, math.inf])
def test_tolerance_is_checked(tolerance):
    """A tolerance is a finite number of nats."""
    problem = ConditionalDPP.from_kernel(np.eye(3), 2)
    with pytest.raises(ValueError, match="tolerance must be a finite number of nats >= 0"):
        solve(problem, "branch_and_bound", tolerance=tolerance)


def test_a_bound_does_not_wait_for_the_search_of_a_set():
    """At n = 576, k = 128 the swap searches alone would take the whole limit."""
    problem = load("photo/astronaut/raw").problem("conditional-dpp", 128)
    answer = solve(problem, "branch_and_bound", time_limit=3)
    assert answer.gap < 100

"""Outer approximation of log det: its cuts, its root, and what it does where determinants vanish."""

import itertools
import math

import numpy as np
import pytest

from mmdp import ConditionalDPP, Constraints, Status, check
from mmdp.instances import gaussian
from solvers import solve
from solvers.answer import Request
from solvers.exact.conditional_bound import ConditionalBounds
from solvers.exact.conditional_cuts import Proof


def some_problem(kind: str, rng: np.random.Generator, n: int, k: int) -> ConditionalDPP:
    """A problem of one kind."""
    if kind == "full rank":
        return ConditionalDPP.from_features(rng.normal(size=(n, 12)), k)
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
    rows = rng.normal(size=(n, 6)) * 10.0 ** rng.uniform(-4, 4, size=(n, 1))  # "kernel"
    return ConditionalDPP.from_kernel(rows @ rows.T, k)


KINDS = ["full rank", "relevance", "zero relevance", "low rank", "copies", "nearly dependent", "kernel"]


def values_of(problem: ConditionalDPP) -> dict[tuple[int, ...], float]:
    """Every subset's value, by the definition."""
    subsets = itertools.combinations(range(problem.n), problem.k)
    return {subset: problem.value(list(subset)) for subset in subsets}


@pytest.mark.parametrize("kind", KINDS)
def test_equals_enumeration(kind):
    """The value is the largest log det there is, -inf included, and it is proved."""
    rng = np.random.default_rng(len(kind))
    for _ in range(25):
        n = int(rng.integers(2, 10))
        problem = some_problem(kind, rng, n, int(rng.integers(0, n + 1)))
        answer = solve(problem, "outer_approximation")
        check(problem, answer)
        assert answer.status is Status.OPTIMAL
        best = max(values_of(problem).values())
        assert answer.objective == best or abs(answer.objective - best) <= 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_conditional_bounds_hold(kind):
    """No set that holds the given tokens, and otherwise only those allowed, exceeds the bound, wherever the ascent stops."""
    rng = np.random.default_rng(2 + len(kind))
    for _ in range(15):
        problem = some_problem(kind, rng, 7, int(rng.integers(1, 6)))
        values = values_of(problem)
        bounds = ConditionalBounds(problem)
        inside = rng.permutation(7)[: rng.integers(0, problem.k + 1)]
        among = rng.random(7) < 0.8
        among[inside] = True
        below = [value for subset, value in values.items() if set(inside) <= set(subset) and among[list(subset)].all()]
        for target in (-math.inf, -5.0, math.inf):
            bound = bounds.bound(inside, among, target).value
            assert bound >= max(below, default=-math.inf)


@pytest.mark.parametrize("kind", KINDS)
def test_every_step_keeps_the_better_sets(kind):
    """Given a poor best set, whatever is fixed or cut off leaves all better sets alone."""
    rng = np.random.default_rng(3 + len(kind))
    for _ in range(8):
        problem = some_problem(kind, rng, 8, 3)
        values = values_of(problem)
        ranked = sorted(values, key=lambda subset: values[subset])
        poor = ranked[int(0.8 * len(ranked))]
        proof = Proof(problem, np.array(poor), workers=1)
        better = [subset for subset in values if values[subset] > proof.target]
        done = proof.at_root(Request()) or proof.by_single_tokens(Request())
        copies = {  # of copies only the first stays: any better set has a twin among them
            tuple(sorted(np.flatnonzero((problem.kernel == problem.kernel[i]).all(axis=1))[0] for i in subset))
            for subset in better
        }
        assert not (done and better)
        for subset in copies:
            assert proof.alive[list(subset)].all()
            assert set(np.flatnonzero(proof.needed)) <= set(subset)
        assert proof.bound >= max(values.values()) or done
        if not done:
            assert proof.by_cuts(Request())
            assert proof.lower == pytest.approx(max(values.values()), abs=1e-9)


def test_thirty_tokens_are_proved():
    """n = 30, k = 6 with relevance, and n = 20, k = 5 without, are a matter of a second."""
    for n, k, relevance in ((30, 6, np.linspace(0.1, 1, 30)), (20, 5, None)):
        problem = ConditionalDPP.from_features(np.random.default_rng(0).normal(size=(n, 16)), k, relevance)
        answer = solve(problem, "outer_approximation", time_limit=45)
        assert answer.status is Status.OPTIMAL
        assert answer.objective >= solve(problem, "local_search").objective


@pytest.mark.parametrize("limit", [0, 0.5, 2])
@pytest.mark.alone
def test_time_limit_leaves_a_set_and_a_bound(limit):
    """At full size the answer is on time: the local optimum, and a finite bound."""
    problem = gaussian(400, 64, seed=0).problem("conditional-dpp", 32)
    problem.kernel  # noqa: B018 - formed outside the clock
    answer = solve(problem, "outer_approximation", time_limit=limit)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.seconds < limit + 1.5
    assert answer.objective <= answer.bound < 0


def test_more_time_never_loosens_the_bound():
    """The bound of a longer run is at least as good."""
    problem = gaussian(60, 32, seed=1).problem("conditional-dpp", 15)
    short, long = (solve(problem, "outer_approximation", time_limit=limit) for limit in (0, 2))
    assert short.objective <= long.objective <= long.bound <= short.bound


def test_rank_too_small_means_minus_infinity():
    """With k above the rank every set is optimal, at -inf; constraints still hold."""
    rng = np.random.default_rng(4)
    constraints = Constraints(keep=(5,), forbidden_pairs=((0, 1),))
    problem = ConditionalDPP.from_features(rng.normal(size=(8, 3)), 4, constraints=constraints)
    answer = solve(problem, "outer_approximation")
    check(problem, answer)
    assert answer.status is Status.OPTIMAL
    assert answer.objective == answer.bound == -math.inf


def test_only_singular_sets_satisfy_the_constraints():
    """Where the constraints leave singular sets alone, -inf is optimal too."""
    rows = np.eye(5)[[0, 0, 1, 2, 3]]
    problem = ConditionalDPP.from_features(rows, 3, constraints=Constraints(keep=(0, 1)))
    answer = solve(problem, "outer_approximation")
    assert answer.status is Status.OPTIMAL
    assert answer.objective == -math.inf


def test_ctrl_c_keeps_what_is_known(monkeypatch):
    """An interruption during the cuts gives the best set and the root's bound."""
    problem = gaussian(40, 32, seed=2).problem("conditional-dpp", 8)
    optimum = solve(problem, "outer_approximation")

    def interrupted(self, request):
        raise KeyboardInterrupt

    monkeypatch.setattr(Proof, "by_single_tokens", interrupted)
    answer = solve(problem, "outer_approximation")
    check(problem, answer)
    assert answer.status is Status.INTERRUPTED
    assert answer.objective <= optimum.objective <= answer.bound < math.inf

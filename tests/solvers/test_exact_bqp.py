"""Branch and bound for cardinality-constrained binary quadratic programs, against enumeration."""

import itertools
import math

import numpy as np
import pytest

from mmdp import Constraints, ImplicitWeight, MaxSumDiversity, Problem, Status, check
from mmdp.instances import gaussian
from solvers import solve
from solvers.exact.rank1 import branch_and_bound, search
from solvers.exact.rank1.quotas import exchanges, is_feasible, least_set, least_sum, project_within


def some_constraints(rng: np.random.Generator, n: int) -> Constraints:
    """Quotas on up to three groups, and perhaps a token that must be kept; often infeasible."""
    groups = tuple(int(g) for g in rng.integers(0, 3, size=n))
    labels = sorted(set(groups))
    return Constraints(
        keep=tuple(int(i) for i in rng.permutation(n)[: int(rng.integers(0, 2))]),
        groups=groups,
        min_per_group={g: int(rng.integers(0, 3)) for g in labels if rng.random() < 0.5},
        max_per_group={g: int(rng.integers(1, 4)) for g in labels if rng.random() < 0.5},
    )


def some_rows(rng: np.random.Generator, n: int) -> np.ndarray:
    """Vectors of one kind; copies, zero rows, ties and a common mean among them."""
    kind = int(rng.integers(4))
    if kind == 0:
        return rng.integers(-1, 2, size=(n, 3)).astype(float)
    if kind == 1:
        return rng.normal(size=(n, 3))[rng.integers(0, max(1, n // 2), size=n)]  # each several times
    if kind == 2:
        return 1 + 0.2 * rng.normal(size=(n, 5))
    return rng.normal(size=(n, 4))


def some_problem(objective: str, rng: np.random.Generator, constraints: Constraints | None, n: int) -> Problem:
    """A small problem; Gram entries of both signs, distances of every metric and of none."""
    k, rows = int(rng.integers(0, n + 1)), some_rows(rng, n)
    if objective == "implicit-weight":
        return ImplicitWeight.from_gram(rows @ rows.T, k, constraints=constraints)
    options = {"relevance": rng.normal(size=n) if rng.random() < 0.3 else None, "constraints": constraints}
    if rng.random() < 0.2:
        D = np.triu(rng.random((n, n)) ** 3, 1)
        return MaxSumDiversity.from_distances(D + D.T, k, **options)
    return MaxSumDiversity.from_features(rows, k, ("cosine", "chordal", "euclidean")[int(rng.integers(3))], **options)


def best_value(problem: Problem) -> float | None:
    """By the definition, over all subsets that satisfy the constraints."""
    subsets = (np.array(s, dtype=np.int64) for s in itertools.combinations(range(problem.n), problem.k))
    values = [problem.value(s) for s in subsets if problem.constraints.violation(s) is None]
    return max(values, default=None)


@pytest.mark.parametrize("quotas", [False, True], ids=["free", "quotas"])
@pytest.mark.parametrize("objective", ["implicit-weight", "max-sum"])
def test_equals_enumeration(objective, quotas):
    """The value is the best there is, up to the tolerance stated; what cannot be satisfied is said to be so."""
    rng = np.random.default_rng(10 * quotas + len(objective))
    infeasible = 0
    for _ in range(120):
        n = int(rng.integers(1, 10))
        problem = some_problem(objective, rng, some_constraints(rng, n) if quotas else None, n)
        best, answer = best_value(problem), solve(problem, "branch_and_bound")
        check(problem, answer)
        if best is None:
            infeasible += 1
            assert answer.status is Status.INFEASIBLE
            continue
        assert answer.status is Status.OPTIMAL
        assert best - answer.objective <= answer.stats["tolerance"] + 1e-12 * abs(best)
    assert (infeasible > 5) == quotas


@pytest.mark.parametrize("objective", ["implicit-weight", "max-sum"])
def test_equals_enumeration_at_fourteen(objective):
    """Trees with many nodes."""
    rng = np.random.default_rng(5)
    for trial in range(4):
        problem = some_problem(objective, rng, some_constraints(rng, 14) if trial % 2 else None, 14).with_k(7)
        answer = solve(problem, "branch_and_bound")
        best = best_value(problem)
        assert answer.status is (Status.INFEASIBLE if best is None else Status.OPTIMAL)
        if best is not None:
            assert answer.objective == pytest.approx(best, rel=1e-8)


def test_agrees_with_the_models_under_quotas():
    """Linearised and quadratic models of the same constrained problem have the same optimum."""
    rng = np.random.default_rng(6)
    groups = tuple(int(g) for g in np.arange(26) % 3)
    constraints = Constraints(keep=(3,), groups=groups, min_per_group={1: 4}, max_per_group={0: 2, 2: 3})
    for _ in range(2):
        F = rng.normal(size=(26, 6))
        problem = ImplicitWeight.from_gram((F @ F.T) ** 3, 8, constraints=constraints)
        answers = [solve(problem, method, time_limit=60) for method in ("branch_and_bound", "linearised", "miqp")]
        assert [answer.status for answer in answers] == [Status.OPTIMAL] * 3
        for answer in answers:
            check(problem, answer)
            assert answer.objective == pytest.approx(answers[0].objective, rel=1e-6)


@pytest.mark.parametrize("objective", ["implicit-weight", "max-sum"])
def test_a_quota_per_image_at_real_size(objective):
    """Three images of 64 tokens, at least ten kept of each: obeyed, and bounded as tightly as without quotas."""
    instance = gaussian(192, 64, seed=1)
    groups = tuple(int(g) for g in np.arange(192) // 64)
    problem = instance.problem(objective, 40)
    problem.constraints = Constraints(groups=groups, min_per_group={0: 10, 1: 10, 2: 10}, max_per_group={0: 14})
    answer = solve(problem, "exact", time_limit=1.0)
    check(problem, answer)
    assert answer.solver == "branch_and_bound:cpu"
    assert answer.gap < 0.02


def test_forbidden_pairs_are_refused():
    """It says who takes them."""
    problem = ImplicitWeight.from_gram(np.eye(3), 2, constraints=Constraints(forbidden_pairs=((0, 1),)))
    with pytest.raises(ValueError, match="cannot honour forbidden pairs; auto, brute_force, linearised, miqp can"):
        solve(problem, "branch_and_bound")


@pytest.mark.parametrize("limit", [0, 0.2])
def test_time_limit_keeps_set_and_bound(limit):
    """Too short for the proof: a set within the constraints, an honest bound, in time."""
    problem = gaussian(100, 64, seed=0).problem("max-sum", 20)
    problem.distances  # noqa: B018 - formed outside the clock
    answer = solve(problem, "branch_and_bound", time_limit=limit)
    check(problem, answer)
    assert answer.status is Status.TIME_LIMIT
    assert answer.objective <= answer.bound
    if limit:
        assert answer.gap < 0.05


@pytest.mark.parametrize("calls", [0, 1, 2, 30])
def test_ctrl_c_keeps_set_and_bound(calls, monkeypatch):
    """An interruption in the middle of the tree leaves the best set and a bound that the full run confirms."""
    problem = unit_norm_weights(40, 20)
    optimum = solve(problem, "branch_and_bound")
    assert optimum.stats["nodes"] > 30
    tighten, seen = search.tighten, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) > calls:
            raise KeyboardInterrupt
        return tighten(*arguments)

    branch_and_bound._compile()
    monkeypatch.setattr(search, "tighten", interrupted)
    answer = solve(problem, "branch_and_bound")
    check(problem, answer)
    assert answer.status is Status.INTERRUPTED
    assert answer.objective <= optimum.objective <= answer.bound
    assert calls < 2 or answer.bound < 0


def test_ctrl_c_before_the_first_bound_keeps_a_set(monkeypatch):
    """An interruption of the first swap search: the greedy set within the quotas, and what holds of any energy."""

    def interrupted(*arguments):
        raise KeyboardInterrupt

    branch_and_bound._compile()
    monkeypatch.setattr(search, "multi_start", interrupted)
    groups = tuple(i % 2 for i in range(12))
    for objective, bound in (("implicit-weight", 0.0), ("max-sum", math.inf)):
        problem = gaussian(12, 4).problem(objective, 5)
        problem.constraints = Constraints(groups=groups, max_per_group={0: 1})
        answer = solve(problem, "branch_and_bound", bound="none")
        check(problem, answer)
        assert answer.status is Status.INTERRUPTED
        assert answer.bound == bound


def unit_norm_weights(n: int, k: int) -> ImplicitWeight:
    """Keys and values of unit norm: the hardest energies known."""
    K, V = np.random.default_rng(0).normal(size=(2, n, 24))
    K, V = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (K, V))
    return ImplicitWeight.from_keys_values(K, V, k)


def small_matroid(rng: np.random.Generator) -> tuple[np.ndarray, int, np.ndarray, np.ndarray, np.ndarray]:
    """(cost, s, labels, low, high), and now and then no quotas."""
    n = int(rng.integers(1, 8))
    cost, s = rng.integers(-3, 4, size=n).astype(float), int(rng.integers(0, n + 1))
    labels = rng.integers(0, 3, size=n)
    if rng.random() < 0.2:
        return cost, s, labels, np.arange(0), np.arange(0)
    low = rng.integers(0, 2, size=3)
    return cost, s, labels, low, low + rng.integers(0, 3, size=3)


def bases(s: int, labels: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[np.ndarray]:
    """All 0/1 vectors of sum s within the quotas."""
    found = []
    for ones in itertools.combinations(range(len(labels)), s):
        y = np.isin(np.arange(len(labels)), ones)
        count = np.bincount(labels[y], minlength=3)
        if not len(low) or ((count >= low) & (count <= high)).all():
            found.append(y)
    return found


def test_quotas_against_enumeration():
    """Feasibility, the cheapest vector, and the cheapest one on the other side of every coordinate."""
    rng = np.random.default_rng(7)
    for _ in range(300):
        cost, s, labels, low, high = small_matroid(rng)
        vectors = bases(s, labels, low, high)
        assert is_feasible(s, labels, low, high) == bool(vectors)
        if not vectors:
            continue
        least = min(cost[y].sum() for y in vectors)
        chosen = least_set(cost, s, labels, low, high)
        assert any((chosen == y).all() for y in vectors)
        assert cost[chosen].sum() == least == least_sum(cost, s, labels, low, high)
        rise = exchanges(cost, chosen, labels, low, high)
        for i in range(len(cost)):
            others = [cost[y].sum() - least for y in vectors if y[i] != chosen[i]]
            assert rise[i] == min(others, default=np.inf)


def test_projection_onto_quotas():
    """The projection is feasible, and no feasible vector lies beyond its tangent plane."""
    rng = np.random.default_rng(8)
    for _ in range(200):
        cost, s, labels, low, high = small_matroid(rng)
        vectors = bases(s, labels, low, high)
        if not vectors:
            continue
        y = cost + rng.normal(size=len(cost))
        x = project_within(y, s, labels, low, high)
        assert x.sum() == pytest.approx(s, abs=1e-9)
        assert ((x >= 0) & (x <= 1)).all()
        if len(low):
            sums = np.bincount(labels, weights=x, minlength=3)
            assert (sums >= low - 1e-9).all()
            assert (sums <= high + 1e-9).all()
        assert max((y - x) @ (v - x) for v in vectors) <= 1e-8


@pytest.mark.parametrize(("method", "trials"), [("linearised", 30), ("miqp", 12)])
def test_models_of_max_sum_equal_enumeration(method, trials):
    """With must-keep tokens, quotas and forbidden pairs, which branch and bound leaves to them."""
    rng = np.random.default_rng(9)
    infeasible = 0
    for trial in range(trials):
        n = int(rng.integers(2, 10))
        constraints = some_constraints(rng, n) if trial % 3 == 0 else None
        if trial % 3 == 1:
            pairs = {tuple(sorted(rng.permutation(n)[:2].tolist())) for _ in range(3)}
            constraints = Constraints(forbidden_pairs=tuple(sorted(pairs)))
        problem = some_problem("max-sum", rng, constraints, n)
        best, answer = best_value(problem), solve(problem, method)
        check(problem, answer)
        if best is None:
            infeasible += 1
            assert answer.status is Status.INFEASIBLE
            continue
        assert answer.status is Status.OPTIMAL
        assert best - answer.objective <= answer.stats.get("tolerance", 0.0)
    assert infeasible < trials / 2


def test_models_agree_on_max_sum_without_enumeration():
    """n = 24: three ways to the same optimum; with a forbidden pair, `exact` takes the linearised model."""
    rng = np.random.default_rng(10)
    problem = MaxSumDiversity.from_features(rng.normal(size=(24, 4)), 6, relevance=rng.random(24), lam=3.0)
    answers = [solve(problem, method, time_limit=60) for method in ("branch_and_bound", "linearised", "miqp")]
    assert [answer.status for answer in answers] == [Status.OPTIMAL] * 3
    for answer in answers:
        assert answer.objective == pytest.approx(answers[0].objective, rel=1e-7)
    i, j = answers[0].kept[:2].tolist()
    problem.constraints = Constraints(forbidden_pairs=((i, j),))
    answer = solve(problem, "exact", time_limit=60)
    check(problem, answer)
    assert answer.solver == "linearised:cpu"
    assert answer.objective <= answers[0].objective

"""The first use of the package: how far is a solver from the proven optimum?

Every row of the catalogue meets the exact optimum of its objective on small instances (n <= 30), photos among them.
"""

import math

import numpy as np
import pytest

import mmdp
from mmdp import OBJECTIVES, Status, check, upper_bounds
from mmdp.guarantees import GUARANTEES
from mmdp.instances import load
from solvers import CATALOG, solve

INSTANCES = {
    "gaussian": "gaussian/20x8/0",
    "clustered": "clustered/20x8x4/0",
    "duplicates": "duplicates/20x8x12/0",
    "photo": "photo/coffee/pca/20",
}
BUDGETS = (3, 6)


def instance(name: str) -> mmdp.instances.Instance:
    if name == "photo":
        pytest.importorskip("skimage", reason="photos need scikit-image")
    return load(INSTANCES[name])


OPTIMA: dict[tuple[str, str, int], mmdp.Selection] = {}


def optimum(name: str, objective: str, k: int) -> mmdp.Selection:
    """The optimum by enumeration, the slowest and plainest proof, computed once."""
    key = (name, objective, k)
    if key not in OPTIMA:
        OPTIMA[key] = solve(instance(name).problem(objective, k), "brute_force")
    return OPTIMA[key]


CASES = [
    pytest.param(name, objective, k, id=f"{name}-{objective}-{k}")
    for name in INSTANCES
    for objective in OBJECTIVES
    for k in BUDGETS
]


@pytest.mark.parametrize(("name", "objective", "k"), CASES)
def test_objective_optimum_bound(name, objective, k):
    """For every solver: objective <= optimum <= bound, and equality where it claims a proof."""
    problem = instance(name).problem(objective, k)
    best = optimum(name, objective, k)
    assert best.status is Status.OPTIMAL
    for row in CATALOG:
        if objective not in row.solves or row.missing or row.name in ("kuby", "sayah_irnich"):
            continue  # the textbook models have their own, smaller tests: they need minutes here
        answer = solve(problem, row.name, backend=row.backend, time_limit=20)
        check(problem, answer)
        slack = 1e-7 * max(1.0, abs(best.objective)) if math.isfinite(best.objective) else 0.0
        assert answer.objective <= best.objective + slack, row.full_name
        assert answer.bound >= best.objective - slack, row.full_name
        if row.exact:
            assert answer.status is Status.OPTIMAL, row.full_name
            assert answer.objective == pytest.approx(best.objective, rel=1e-7), row.full_name


@pytest.mark.parametrize(("name", "objective", "k"), CASES)
def test_bounds_need_only_the_problem(name, objective, k):
    """Every cheap upper bound is at least the optimum."""
    best = optimum(name, objective, k).objective
    bounds = upper_bounds(instance(name).problem(objective, k))
    assert bounds
    for bound_name, bound in bounds.items():
        assert bound >= best - 1e-9 * max(1.0, abs(best)) if math.isfinite(best) else bound >= best, bound_name


@pytest.mark.parametrize(("name", "objective", "k"), CASES)
def test_guarantees_hold(name, objective, k):
    """What is promised a priori is kept, by every solver it is promised for."""
    problem = instance(name).problem(objective, k)
    best = optimum(name, objective, k).objective
    for guarantee in GUARANTEES:
        if not guarantee.applies(problem):
            continue
        for row in CATALOG:
            if row.name in guarantee.solvers and objective in row.solves and not row.missing:
                answer = solve(problem, row.name, backend=row.backend)
                assert guarantee.holds(problem, answer.objective, best), f"{guarantee.name} by {row.full_name}"


@pytest.mark.parametrize("objective", sorted(OBJECTIVES))
def test_order_of_tokens_does_not_matter(objective):
    """Permuted tokens give the same optimum, and without ties the same greedy set."""
    base = instance("gaussian")
    order = np.random.default_rng(0).permutation(base.n)
    shuffled = mmdp.instances.Instance(
        "shuffled",
        features=base.features[order],
        relevance=base.relevance[order],
        keys=np.asarray(base.keys)[..., order, :],
        values=np.asarray(base.values)[..., order, :],
    )
    here, there = base.problem(objective, 5), shuffled.problem(objective, 5)
    assert solve(there, "exact").objective == pytest.approx(solve(here, "exact").objective, rel=1e-9)
    assert order[solve(there, "greedy").indices].tolist() == solve(here, "greedy").indices.tolist()


@pytest.mark.parametrize("objective", ["max-min", "conditional-dpp"])
def test_length_of_tokens_does_not_matter(objective):
    """Both angular objectives see directions only."""
    base = instance("gaussian")
    scale = np.random.default_rng(1).uniform(0.01, 100, size=(base.n, 1))
    scaled = mmdp.instances.Instance("scaled", features=base.features * scale, relevance=base.relevance)
    for method in ("greedy", "exact"):
        here, there = (solve(tokens.problem(objective, 5), method) for tokens in (base, scaled))
        assert there.indices.tolist() == here.indices.tolist()
        assert there.objective == pytest.approx(here.objective, rel=1e-9)

"""What `solve` does by default."""

import math

import numpy as np
import pytest

from mmdp import Constraints, ImplicitWeight, MaxMinDiversity, Status, check
from mmdp.instances import gaussian
from solvers import solve
from solvers.exact.best import best_method

OBJECTIVES = ["max-min", "conditional-dpp", "implicit-weight"]


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (5, 1), (9, 4), (9, 9), (60, 6)])
def test_proves_small_problems(objective, n, k):
    """Within its ten seconds auto gives a proof, and says by which method."""
    problem = gaussian(n, 16, seed=0).problem(objective, k)
    answer = solve(problem)
    check(problem, answer)
    assert answer.status is Status.OPTIMAL
    assert answer.solver == "auto:cpu"
    assert answer.stats["method"] == best_method(problem)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("limit", [0, 0.2, 1.5])
@pytest.mark.alone
def test_any_time_limit_gives_a_good_set_and_a_bound(objective, limit):
    """However short: on time, at least as good as the greedy, with a finite bound."""
    problem = gaussian(300, 64, seed=0).problem(objective, 40)
    greedy = solve(problem, "greedy")
    answer = solve(problem, time_limit=limit)
    check(problem, answer)
    assert answer.status in (Status.TIME_LIMIT, Status.OPTIMAL)
    assert answer.seconds < limit + 1.5
    assert greedy.objective <= answer.objective <= answer.bound < math.inf


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_small_problems_do_not_need_time(objective):
    """Enumeration of a few sets is not cut short by the limit."""
    problem = gaussian(12, 8, seed=1).problem(objective, 3)
    assert solve(problem, time_limit=0).status is Status.OPTIMAL


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_constraints(objective):
    """Keep, forbidden pairs and quotas at a size that cannot be enumerated; and none satisfies contradictory ones."""
    problem = gaussian(40, 16, seed=2).problem(objective, 8)
    free = solve(problem)
    problem.constraints = Constraints(
        keep=(3,),
        forbidden_pairs=((0, 1), (5, 6)),
        groups=tuple(i % 2 for i in range(40)),
        min_per_group={0: 3},
        max_per_group={1: 4},
    )
    answer = solve(problem)
    check(problem, answer)
    assert answer.status is Status.OPTIMAL
    assert answer.objective <= free.objective + 1e-9
    problem.constraints = Constraints(keep=(0, 1), forbidden_pairs=((0, 1),))
    assert solve(problem).status is Status.INFEASIBLE


def test_degenerate_problems():
    """Copies, zero distances, a zero Gram matrix."""
    same = MaxMinDiversity.from_features(np.ones((30, 4)), k=8)
    assert solve(same).objective == 0
    assert solve(same).status is Status.OPTIMAL
    nothing = ImplicitWeight.from_gram(np.zeros((30, 30)), k=8)
    assert solve(nothing).objective == 0
    assert solve(nothing).status is Status.OPTIMAL


def test_it_has_no_options():
    """Options belong to named methods."""
    with pytest.raises(TypeError):
        solve(gaussian(9, 4, seed=0).problem("max-min", 3), workers=2)

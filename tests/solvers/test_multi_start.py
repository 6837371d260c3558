"""The greedy from many first tokens."""

import numpy as np
import pytest

from mmdp import Status, check
from mmdp.instances import clustered, gaussian, gkd
from solvers import solve
from solvers.answer import Request
from solvers.multi_start import run
from solvers.solve import selection_of

OBJECTIVES = ("max-min", "conditional-dpp", "implicit-weight")


def multi_start(problem, **options):
    return selection_of(problem, "multi_start:naive", run(problem, Request(), **options), 0.0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_between_the_greedy_and_the_optimum(objective):
    """Never worse than the greedy, never better than the optimum, and better than the greedy on some instance."""
    better = 0
    for seed in range(6):
        problem = clustered(14, 5, 4, seed=seed).problem(objective, 5)
        answer, greedy, optimum = multi_start(problem), solve(problem, "greedy"), solve(problem, "brute_force")
        check(problem, answer)
        assert greedy.objective <= answer.objective <= optimum.objective + 1e-12
        better += answer.objective > greedy.objective + 1e-9
    assert better


def test_every_first_token_is_tried():
    """On max-min, the answer is the best of the traversals from each token."""
    problem = gkd(15, 2).problem("max-min", 5)
    each = [solve(problem, "farthest_first", backend="naive", start=start).objective for start in range(15)]
    assert multi_start(problem).objective == max(*each, solve(problem, "greedy").objective)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("k", [0, 1, 9])
def test_ends_of_the_range(objective, k):
    """k = 0, 1 and n."""
    problem = gaussian(9, 12).problem(objective, k)
    check(problem, multi_start(problem))


def test_starts_and_time():
    """No start is the greedy; no time stops after it; negative and fractional numbers are refused."""
    problem = gaussian(40, 6).problem("max-min", 8)
    assert multi_start(problem, starts=0).objective == solve(problem, "greedy").objective
    hurried = run(problem, Request(time_limit=0.0))
    assert hurried.status is Status.TIME_LIMIT
    assert hurried.stats["starts"] == 0
    assert len(np.unique(hurried.indices)) == 8
    with pytest.raises(ValueError, match="starts must be >= 0, got -1"):
        multi_start(problem, starts=-1)
    with pytest.raises(TypeError, match=r"starts must be a whole number, got 1\.5"):
        multi_start(problem, starts=1.5)

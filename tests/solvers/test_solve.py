"""The door: looking up, checking, and what it refuses."""

import math

import numpy as np
import pytest

from mmdp import ConditionalDPP, Constraints, MaxMinDiversity, Status
from solvers import solve
from solvers.answer import Answer, Request
from solvers.solve import find_solver, selection_of

X = np.random.default_rng(0).normal(size=(10, 4))
PROBLEM = MaxMinDiversity.from_features(X, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "farthest_frist"}, "unknown method 'farthest_frist'; did you mean 'farthest_first'"),
        ({"method": "zzz"}, "unknown method 'zzz'; there are auto, "),
        ({"method": "greedy_map"}, "'greedy_map' does not take the objective 'max-min'; there are auto, "),
        ({"method": "greedy", "backend": "cuda"}, "backend must be one of gpu, cpu, naive, auto, got 'cuda'"),
        ({"method": "brute_force", "backend": "gpu"}, "'brute_force' has no backend 'gpu'"),
        ({"method": "greedy", "time_limit": -1}, "time_limit must be >= 0 seconds, got -1"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    """One sentence with the value and what is allowed, before anything runs."""
    with pytest.raises(ValueError, match=message):
        solve(PROBLEM, **arguments)


def test_unknown_options_are_named():
    """An option that the method does not have names those that it has."""
    with pytest.raises(TypeError, match="no option 'begin'; its options: start"):
        solve(PROBLEM, "farthest_first", backend="naive", begin=3)


def test_solvers_that_cannot_honour_constraints_raise():
    """A constraint is never silently ignored."""
    problem = MaxMinDiversity.from_features(X, 4, constraints=Constraints(keep=(1,)))
    with pytest.raises(ValueError, match=r"'farthest_first' cannot honour constraints; auto, brute_force, .* can"):
        solve(problem, "farthest_first")
    assert 1 in solve(problem, "exact").indices


@pytest.mark.parametrize("constraints", [None, Constraints(keep=(1,))])
def test_greedy_and_exact_are_aliases(constraints):
    """ "greedy" is the greedy of the objective, "exact" proves."""
    assert find_solver(PROBLEM, "greedy").name == "farthest_first"
    assert find_solver(ConditionalDPP.from_features(X, 3), "greedy").name == "greedy_map"
    problem = MaxMinDiversity.from_features(X, 4, constraints=constraints)
    answer = solve(problem, "exact")
    assert answer.status is Status.OPTIMAL
    assert answer.gap == 0


def test_missing_extra_names_its_pip_command(monkeypatch):
    """A row whose package is absent says how to get it."""
    from dataclasses import replace

    row = replace(find_solver(PROBLEM, "greedy"), requires=("no_such_package",), extra="torch")
    with pytest.raises(ImportError, match=r"needs no_such_package: pip install 'mmdp\[torch\]'"):
        row.load()


def test_objective_is_recomputed_and_false_bounds_are_caught():
    """A solver's word on quality is never taken."""
    with pytest.raises(RuntimeError, match="below the objective"):
        selection_of(PROBLEM, "liar:naive", Answer([0, 1, 2, 3], bound=0.0), 0.1)
    with pytest.raises(RuntimeError, match="3 tokens instead of 4"):
        selection_of(PROBLEM, "liar:naive", Answer([0, 1, 2]), 0.1)
    honest = selection_of(PROBLEM, "test:naive", Answer([0, 1, 2, 3], bound=2.0, compile_seconds=0.04), 0.1)
    assert honest.objective == PROBLEM.value([0, 1, 2, 3])
    assert honest.bound == 2.0
    assert honest.seconds == pytest.approx(0.06)
    assert honest.status is Status.FEASIBLE


def test_a_met_bound_is_a_proof():
    """Objective = bound is optimal, whoever found it; fewer than two tokens have no distance to minimise."""
    assert solve(PROBLEM.with_k(1), "farthest_first").status is Status.OPTIMAL
    assert solve(PROBLEM.with_k(1), "farthest_first").objective == math.inf


def test_infeasible_is_an_answer():
    """Constraints that no set satisfies are proved, not raised."""
    rules = Constraints(keep=(0, 1), forbidden_pairs=((0, 1),))
    answer = solve(MaxMinDiversity.from_features(X, 4, constraints=rules), "exact")
    assert answer.status is Status.INFEASIBLE
    assert answer.proved
    assert len(answer.indices) == 0


def test_request_counts_down():
    """`left` is the time to the limit, never negative, infinite without one."""
    assert Request(None).left == math.inf
    assert Request(0.0).left == 0.0
    assert 0 < Request(100.0).left <= 100.0


def test_a_search_holds_linear_algebra_to_one_thread(monkeypatch):
    """Many small decompositions on several threads are tenfold slower where other work runs; afterwards all is as before."""
    from threadpoolctl import ThreadpoolController

    from solvers.exact.log_det import branch_and_bound

    def threads() -> set[int]:
        return {lib["num_threads"] for lib in ThreadpoolController().select(user_api="blas").info()}

    seen: list[set[int]] = []
    plain = branch_and_bound.run

    def run(problem, request, tolerance=1e-9, certify=False):
        seen.append(threads())
        return plain(problem, request, tolerance, certify)

    monkeypatch.setattr(branch_and_bound, "run", run)
    problem = ConditionalDPP.from_features(np.eye(4), 2)
    before = threads()
    solve(problem, "branch_and_bound")
    assert seen == [{1}]
    assert threads() == before

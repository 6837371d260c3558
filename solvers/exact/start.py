"""Where every exact solver starts: is there a set at all, is there anything to choose, and a good set to beat."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from ortools.sat.python import cp_model

from mmdp import MaxMinDiversity, Problem, Status
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.exact.constrained_swaps import improve_within
from solvers.exact.constraint_rows import add_to_cp_sat
from solvers.exact.cp_sat import FOUND, new_solver, solve_cp_sat
from solvers.local_search.naive import run as local_search

SHARE = 0.25  # of the time left, for the first set


def settled(problem: Problem, request: Request) -> Answer | None:
    """The answer where no search is needed: no set satisfies the constraints, or all that do have the same value."""
    subset = nearest_feasible(problem, np.arange(problem.k), request)
    if subset is None:
        return Answer((), bound=-math.inf, status=Status.INFEASIBLE)
    alike = problem.k in (0, problem.n) or (problem.k == 1 and isinstance(problem, MaxMinDiversity))
    return Answer(subset, bound=problem.value(subset), status=Status.OPTIMAL) if alike else None


def first_set(problem: Problem, request: Request) -> Int:
    """Greedy and local search; under constraints the nearest set that satisfies them, then swaps. Ascending."""
    if request.time_limit is not None:
        request = replace(request, time_limit=request.time_limit - (1 - SHARE) * request.left)
    subset = np.asarray(local_search(problem, request).indices, dtype=np.int64)
    if not problem.constraints:
        return subset
    feasible = nearest_feasible(problem, subset, request)
    if feasible is None:
        raise ValueError("the constraints cannot be satisfied")
    return improve_within(problem, feasible, request)


def nearest_feasible(problem: Problem, wanted: Int, request: Request) -> Int | None:
    """A set that satisfies the constraints with as many of the `wanted` tokens as time allows; None when there is none.

    The clock does not stop the search for a first one.
    """
    if not problem.constraints:
        return wanted
    model = cp_model.CpModel()
    x = [model.new_bool_var("") for _ in range(problem.n)]
    add_to_cp_sat(model, x, problem.k, problem.constraints)
    model.maximize(sum(x[i] for i in wanted))
    solver = new_solver(1, request.seed, request.left)
    status, interrupted = solve_cp_sat(solver, model)
    if status == cp_model.UNKNOWN and not interrupted:
        model.clear_objective()  # type: ignore[no-untyped-call]
        solver = new_solver(1, request.seed)
        status, interrupted = solve_cp_sat(solver, model)
    if status == cp_model.INFEASIBLE:
        return None
    if status not in FOUND:
        raise KeyboardInterrupt
    return np.array([i for i in range(problem.n) if solver.value(x[i])], dtype=np.int64)

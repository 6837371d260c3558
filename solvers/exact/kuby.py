"""Kuby's big-M model of max-min diversity: the textbook baseline."""

from __future__ import annotations

import math

import numpy as np
from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from mmdp import MaxMinDiversity
from mmdp.checks import Float, Int
from solvers.answer import Answer, Request
from solvers.exact.constraint_rows import add_to_cp_sat, add_to_mathopt
from solvers.exact.cp_sat import FOUND, new_solver, solve_cp_sat
from solvers.exact.levels import conclude, distance_levels, seeds
from solvers.exact.mathopt_solve import Outcome, solve_mathopt
from solvers.exact.options import one_of
from solvers.exact.start import settled


def run(problem: MaxMinDiversity, request: Request, solver: str = "highs", seeded: bool = False) -> Answer:
    """max z  s.t.  z <= d_ij + (U - d_ij)(2 - x_i - x_j) for i < j,  sum x = k,  x binary; U the largest distance.

    The model of :cite:t:`kuby1987programming`, kept as a teaching baseline: half an x_i lifts every bound on z, so its
    relaxation says little, and it stalls between n = 50 and 100. Use ``node_packing``.

    A MILP solver works to tolerances, so its bound is not taken at its word: see `conclude`. For CP-SAT the distances
    are replaced by their ranks, which are whole numbers and have the same optimal sets; its answer is exact.

    Parameters
    ----------
    solver : "highs" or "scip" through MathOpt, or "cp_sat".
    seeded : give the model what greedy, local search and `upper_bounds` know: pairs below the known value become
        conflicts, and U the bound.
    """
    one_of(solver, "solver", ("highs", "scip", "cp_sat"))
    answer = settled(problem, request)
    if answer is not None:
        return answer
    levels = distance_levels(problem)
    known, low, high = seeds(problem, levels, request, seeded)
    if solver == "cp_sat":
        outcome = _by_ranks(problem, levels, low, high, request)
    else:
        outcome = _big_m(problem, float(levels[low]), float(levels[high]), solver, request)
    return conclude(problem, levels, known, high, outcome, request)


def _big_m(problem: MaxMinDiversity, low: float, high: float, solver: str, request: Request) -> Outcome:
    model = mathopt.Model()
    x = [model.add_binary_variable() for _ in range(problem.n)]
    z = model.add_variable(lb=low, ub=high)
    add_to_mathopt(model, x, problem.k, problem.constraints)
    for i, j in zip(*np.triu_indices(problem.n, 1), strict=True):
        d = float(problem.distances[i, j])
        if d < low:
            model.add_linear_constraint(x[i] + x[j] <= 1)
        elif d < high:
            model.add_linear_constraint(z + (high - d) * (x[i] + x[j]) <= d + 2 * (high - d))
    model.maximize(z)
    return solve_mathopt(model, x, solver, request)


def _by_ranks(problem: MaxMinDiversity, levels: Float, low: int, high: int, request: Request) -> Outcome:
    model = cp_model.CpModel()
    x = [model.new_bool_var("") for _ in range(problem.n)]
    z = model.new_int_var(low, high, "")
    add_to_cp_sat(model, x, problem.k, problem.constraints)
    ranks = np.searchsorted(levels, problem.distances)
    for i, j in zip(*np.triu_indices(problem.n, 1), strict=True):
        if ranks[i, j] < low:
            model.add_bool_or(~x[i], ~x[j])
        elif ranks[i, j] < high:
            model.add(z <= int(ranks[i, j])).only_enforce_if(x[i], x[j])
    model.maximize(z)
    engine = new_solver(1, request.seed, request.left)
    status, interrupted = solve_cp_sat(engine, model)
    kept: Int | None = None
    bound = math.inf
    if status in FOUND:
        kept = np.array([i for i in range(problem.n) if engine.value(x[i])], dtype=np.int64)
        bound = float(levels[round(engine.best_objective_bound)])
    return Outcome(kept, bound, status == cp_model.OPTIMAL, interrupted)

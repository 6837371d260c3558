"""The compact model of Sayah and Irnich over the sorted distances: the second textbook baseline."""

from __future__ import annotations

import numpy as np
from ortools.math_opt.python import mathopt

from mmdp import MaxMinDiversity
from solvers.answer import Answer, Request
from solvers.exact.constraint_rows import add_to_mathopt
from solvers.exact.levels import conclude, distance_levels, seeds
from solvers.exact.mathopt_solve import solve_mathopt
from solvers.exact.options import one_of
from solvers.exact.start import settled


def run(problem: MaxMinDiversity, request: Request, solver: str = "scip", seeded: bool = False) -> Answer:
    """max v_1 + sum_l (v_{l+1} - v_l) z_l  s.t.  z_l >= z_{l+1},  x_i + x_j + z_l <= 2 where d_ij = v_l,  sum x = k.

    v_1 < v_2 < ... are the distinct distances and z_l = 1 says that every chosen pair has d_ij >= v_{l+1}; x and z are
    binary. The model of :cite:t:`sayah2017new` lives on good bounds, which leave few levels; without them it has as
    many as there are pairs. A teaching baseline: use ``node_packing``.

    A MILP solver works to tolerances, so its bound is not taken at its word: see `conclude`.

    Parameters
    ----------
    solver : "highs" or "scip", through MathOpt.
    seeded : keep only the levels between the values of local search and `upper_bounds`.
    """
    one_of(solver, "solver", ("highs", "scip"))
    answer = settled(problem, request)
    if answer is not None:
        return answer
    levels = distance_levels(problem)
    known, low, high = seeds(problem, levels, request, seeded)
    model = mathopt.Model()
    x = [model.add_binary_variable() for _ in range(problem.n)]
    z = {level: model.add_binary_variable() for level in range(low, high)}
    add_to_mathopt(model, x, problem.k, problem.constraints)
    for level in range(low, high - 1):
        model.add_linear_constraint(z[level] >= z[level + 1])
    ranks = np.searchsorted(levels, problem.distances)
    for i, j in zip(*np.triu_indices(problem.n, 1), strict=True):
        rank = int(ranks[i, j])
        if rank < low:
            model.add_linear_constraint(x[i] + x[j] <= 1)
        elif rank < high:
            model.add_linear_constraint(x[i] + x[j] + z[rank] <= 2)
    steps = [float(levels[level + 1] - levels[level]) * z[level] for level in z]
    model.maximize(float(levels[low]) + mathopt.fast_sum(steps))
    return conclude(problem, levels, known, high, solve_mathopt(model, x, solver, request), request)

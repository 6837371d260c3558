"""Rank-1 energies and max-sum diversity as a linearised binary QP, with CP-SAT."""

from __future__ import annotations

import itertools
import math

import numpy as np
from ortools.sat.python import cp_model

from mmdp.bounds import qp_bound
from solvers.answer import Answer, Request
from solvers.exact.constraint_rows import add_to_cp_sat
from solvers.exact.cp_sat import FOUND, new_solver, solve_cp_sat
from solvers.exact.options import whole
from solvers.exact.rank1_proof import Quadratic, prove
from solvers.exact.reduced_costs import UNITS, cost_row
from solvers.exact.residual import Residual, Searched

RELATIVE = 1e-9  # tolerance of the proof, of the energy
LARGEST = 2.0**58  # sum of the whole-number coefficients: CP-SAT counts in 64 bits


def run(problem: Quadratic, request: Request, workers: int = 1) -> Answer:
    """min sum_i Q_ii y_i + 2 sum_{i<j} Q_ij z_ij  s.t.  z_ij = y_i y_j,  sum y = m,  where the root leaves a choice.

    Q and y are those of `mmdp.cardinality_bqp.CardinalityBQP`: for rank-1 energies the Gram matrix and the pruned tokens.

    At the root, local search gives an upper bound on the energy and `qp_bound` a lower one, whose reduced costs fix
    tokens until nothing changes (`reduce`): on photo tokens few or none stay free. For those, z_ij = y_i y_j becomes
    z_ij <= y_i, z_ij <= y_j and sum_{j != i} z_ij = (m - 1) y_i: the last row, the product of the budget with y_i,
    forces z_ij = 1 where both are 1, and tightens the relaxation. So does a row of reduced costs (`cost_row`).

    CP-SAT needs whole numbers. The coefficients are scaled so that their rounding, half a unit for each of the
    m (m + 1) / 2 products that are 1, costs an eighth of the tolerance (as far as 64 bits allow), and the bound is lowered by
    that much: rounding never makes a claim wrong. Where 64 bits do not suffice, up to 20,000 sets that are left are
    valued one by one; with more, the bound stays apart from the objective and the status is FEASIBLE.

    Parameters
    ----------
    workers : threads of CP-SAT, >= 1; with 1 the answer is reproducible.

    Notes
    -----
    Optimal means within 1e-9 of the energy, and its rounding: see `prove`. NP-hard; without the fixing, photo tokens
    stop at about n = 30.

    Examples
    --------
    >>> from mmdp import ImplicitWeight
    >>> from solvers import solve
    >>> problem = ImplicitWeight.from_gram([[1, -1, 0], [-1, 2, 0], [0, 0, 3]], k=1)
    >>> solve(problem, "linearised").indices.tolist()  # the two left over cancel
    [2]
    """
    whole(workers, "workers", 1)

    def search(problem: Quadratic, residual: Residual, request: Request) -> Searched:
        return _search(problem, residual, request, workers)

    return prove(problem, request, search, RELATIVE)


def _search(problem: Quadratic, residual: Residual, request: Request, workers: int) -> Searched:
    size, m = len(residual.free), residual.m
    single = (residual.A.diagonal() + residual.c).tolist()
    pairs = list(itertools.combinations(range(size), 2))
    double = (2 * residual.A[np.triu_indices(size, 1)]).tolist()  # in the order of the pairs
    rounding = (m + m * (m - 1) / 2) / 2
    largest = sum(map(abs, single)) + sum(map(abs, double))
    scale = min(8 * rounding / (RELATIVE * residual.unit), LARGEST / max(largest, np.finfo(float).tiny))

    model = cp_model.CpModel()
    y = [model.new_bool_var("") for _ in range(size)]
    z = {}
    for i, j in pairs:
        z[i, j] = z[j, i] = model.new_bool_var("")
        model.add_implication(z[i, j], y[i])
        model.add_implication(z[i, j], y[j])
    for i in range(size):
        model.add(sum([z[i, j] for j in range(size) if j != i]) == (m - 1) * y[i])
    add_to_cp_sat(model, residual.kept_terms(y), problem.k, problem.constraints)
    energy = sum([round(scale * value) * y[i] for i, value in enumerate(single)])
    energy += sum([round(scale * value) * z[pair] for pair, value in zip(pairs, double, strict=True)])
    model.add(energy <= math.floor(scale * (residual.target - residual.constant) + rounding))
    bound = qp_bound(residual.quadratic, size - m)
    costs, low = cost_row(-bound.gradient, m, max(0.0, residual.target - residual.constant - bound.value))
    terms = zip(y, costs.tolist(), low.tolist(), strict=True)
    model.add(sum([cost * (1 - one if least else one) for one, cost, least in terms]) <= UNITS)
    model.minimize(energy)

    solver = new_solver(workers, request.seed, request.left)
    solver.parameters.linearization_level = 2  # five times faster than the default
    status, interrupted = solve_cp_sat(solver, model)
    if status == cp_model.INFEASIBLE:
        return Searched(None, residual.target, True, interrupted)
    if status not in FOUND:
        return Searched(None, residual.lower, False, interrupted)
    chosen = np.array([bool(solver.value(variable)) for variable in y])
    lower = residual.constant + (solver.best_objective_bound - rounding) / scale
    return Searched(residual.kept(chosen), max(lower, residual.lower), status == cp_model.OPTIMAL, interrupted)

"""Rank-1 energies and max-sum diversity as the convex binary QP that they are, with SCIP."""

from __future__ import annotations

import numpy as np
from ortools.math_opt.python import mathopt

from mmdp.bounds import qp_bound
from solvers.answer import Answer, Request
from solvers.exact.constraint_rows import add_to_mathopt
from solvers.exact.mathopt_solve import solve_mathopt
from solvers.exact.rank1_proof import Quadratic, prove
from solvers.exact.residual import Residual, Searched

RELATIVE = 1e-7  # tolerance of the proof, of the energy
UNITS = 10.0  # the size of the energy in the units SCIP works with
FEASIBILITY = 1e-9  # SCIP's tolerance, in those units
PADDING = 5e-7  # what its dual bound is lowered by, in those units


def run(problem: Quadratic, request: Request) -> Answer:
    """min y^T (A - Diag(delta)) y + (c + delta).y  s.t.  sum y = m,  y binary, over what the root leaves free.

    The root is that of ``linearised``: local search, `qp_bound`, fixing. delta is the shift of that bound: y_i^2 = y_i
    makes it cost nothing at binary points, it keeps the quadratic form convex, and the relaxation it gives is the bound
    itself :cite:p:`billionnet2007using`. SCIP, through MathOpt, branches on what is left.

    Notes
    -----
    Optimal means within 1e-7 of the energy, and its rounding: see `prove`. SCIP's dual bound is lowered by half of
    that.
    """
    return prove(problem, request, _search, RELATIVE)


def _search(problem: Quadratic, residual: Residual, request: Request) -> Searched:
    size = len(residual.free)
    delta = qp_bound(residual.quadratic, size - residual.m).shift
    if delta is None:
        raise RuntimeError("the QP bound came without a shift")
    unit = residual.unit / UNITS
    convex = (residual.quadratic - np.diag(delta)) / unit
    model = mathopt.Model()
    y = [model.add_binary_variable() for _ in range(size)]
    add_to_mathopt(model, residual.kept_terms(y), problem.k, problem.constraints)
    squares = mathopt.fast_sum([float(convex[i, i]) * y[i] * y[i] for i in range(size)])
    products = mathopt.fast_sum(
        [2 * float(convex[i, j]) * y[i] * y[j] for i, j in zip(*np.triu_indices(size, 1), strict=True)]
    )
    linear = mathopt.fast_sum([float(delta[i] / unit) * y[i] for i in range(size)])
    model.minimize(squares + products + linear)
    outcome = solve_mathopt(model, y, "scip", request, FEASIBILITY)
    best = None
    if outcome.kept is not None:
        found = residual.kept(np.isin(np.arange(size), outcome.kept))
        best = found if len(found) == problem.k and problem.constraints.violation(found) is None else None
    lower = residual.constant + (outcome.bound - PADDING) * unit
    return Searched(best, max(lower, residual.lower), outcome.finished, outcome.interrupted)

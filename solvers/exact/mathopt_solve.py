"""One way to call HiGHS and SCIP through MathOpt: its clock, its thread, and Ctrl-C."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ortools.math_opt.python import mathopt

from mmdp.checks import Int
from solvers.answer import Request
from solvers.exact.interruptible import interruptible

SOLVERS = {"highs": mathopt.SolverType.HIGHS, "scip": mathopt.SolverType.GSCIP}


@dataclass(frozen=True)
class Outcome:
    """What a MILP solver says.

    Attributes
    ----------
    kept : the tokens whose binaries are nearest to 1, ascending; None when it found no solution.
    bound : its dual bound; infinite when it has none.
    finished : it closed the gap, up to its tolerances.
    interrupted : Ctrl-C came.
    """

    kept: Int | None
    bound: float
    finished: bool
    interrupted: bool


def solve_mathopt(
    model: mathopt.Model,
    x: Sequence[mathopt.Variable],
    solver: str,
    request: Request,
    feasibility: float | None = None,
) -> Outcome:
    """Run "highs" or "scip" on one thread; x are the binaries that say which tokens are kept.

    SCIP listens for Ctrl-C itself and stops; HiGHS cannot be stopped in OR-Tools 9.15, so there Ctrl-C takes effect
    when it returns. A few models end in an internal error of HiGHS (it rejects its own solution by a hair of
    tolerance); then SCIP takes over. `feasibility` is SCIP's feasibility tolerance, 1e-6 by default.
    """
    try:
        result, interrupted = interruptible(lambda: _call(model, solver, request, feasibility), lambda: None)
    except (mathopt.InternalMathOptError, AttributeError):  # the latter from MathOpt translating the former
        if solver == "scip":
            raise
        return solve_mathopt(model, x, "scip", request, feasibility)
    termination = result.termination
    kept = None
    if result.has_primal_feasible_solution():
        kept = np.flatnonzero(np.array(result.variable_values(list(x))) > 0.5)
    return Outcome(
        kept,
        float(termination.objective_bounds.dual_bound),
        termination.reason is mathopt.TerminationReason.OPTIMAL,
        interrupted or termination.limit is mathopt.Limit.INTERRUPTED,
    )


def _call(model: mathopt.Model, solver: str, request: Request, feasibility: float | None) -> mathopt.SolveResult:
    parameters = mathopt.SolveParameters(
        time_limit=None if request.left == math.inf else datetime.timedelta(seconds=max(request.left, 0.01)),
        threads=1 if solver == "scip" else None,  # HiGHS rejects the parameter
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=0.0,
    )
    if solver == "scip":
        parameters.gscip.bool_params["misc/catchctrlc"] = True
        if feasibility is not None:
            parameters.gscip.real_params["numerics/feastol"] = feasibility
    return mathopt.solve(model, SOLVERS[solver], params=parameters)

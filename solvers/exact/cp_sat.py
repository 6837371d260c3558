"""One way to call CP-SAT: its clock, its seed, its threads, and Ctrl-C."""

from __future__ import annotations

import math

from ortools.sat.python import cp_model

from solvers.answer import Request
from solvers.exact.interruptible import interruptible

FOUND = (cp_model.OPTIMAL, cp_model.FEASIBLE)


def new_solver(workers: int, seed: int, seconds: float = math.inf) -> cp_model.CpSolver:
    """A solver with `workers` threads (1 is reproducible) and at most `seconds` of time."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed % 2**31
    solver.parameters.catch_sigint_signal = False  # Python's handler stays in charge, see `interruptible`
    if seconds < math.inf:
        solver.parameters.max_time_in_seconds = max(seconds, 0.001)
    return solver


def solve_cp_sat(solver: cp_model.CpSolver, model: cp_model.CpModel) -> tuple[cp_model.CpSolverStatus, bool]:
    """(status, whether Ctrl-C came)."""
    return interruptible(lambda: solver.solve(model), solver.stop_search)


def decide(
    model: cp_model.CpModel, workers: int, request: Request, seconds: float = math.inf
) -> cp_model.CpSolver | None:
    """The solver holding a solution of a model without objective; None when there is none.

    Raises
    ------
    TimeoutError : time was up before either was known.
    KeyboardInterrupt : Ctrl-C came before either was known.
    """
    solver = new_solver(workers, request.seed, min(seconds, request.left))
    status, interrupted = solve_cp_sat(solver, model)
    if status in FOUND:
        return solver
    if status == cp_model.INFEASIBLE:
        return None
    if interrupted:
        raise KeyboardInterrupt
    raise TimeoutError

"""Depth policies as integer programs: the same cells for CP-SAT, and the knapsack without the depth-wise rule."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from ortools.sat.python import cp_model

from mmdp.checks import Bool, Float, as_real
from mmdp.depth_policy import DepthPolicyProblem
from solvers.exact.cp_sat import new_solver, solve_cp_sat

UNITS = 2**40  # the largest loss or cost, as a whole number


def best_cell(problem: DepthPolicyProblem) -> tuple[int, int, int]:
    """(a, p, b) of least loss: min loss.c subject to cost.c <= budget, sum c = 1, c binary, one c per allowed cell.

    Losses and costs are scaled to whole numbers of 2^-40 of the largest: the answer is optimal up to that share, and
    costs are rounded up, so that the budget is kept.
    """
    cells = np.argwhere(problem.allowed)
    where = tuple(cells.T)
    loss, _ = _whole(problem.loss[where])
    cost, limit = _whole(problem.cost[where], problem.budget)
    model = cp_model.CpModel()
    chosen = [model.new_bool_var("") for _ in cells]
    model.add_exactly_one(chosen)
    model.add(cp_model.LinearExpr.weighted_sum(chosen, cost.tolist()) <= limit)
    model.minimize(cp_model.LinearExpr.weighted_sum(chosen, loss.tolist()))
    solver = new_solver(1, 0)
    _solve(solver, model)
    a, p, b = cells[next(i for i, variable in enumerate(chosen) if solver.value(variable))].tolist()
    return a, p, b


def knapsack(loss: Any, cost: Any, fixed_cost: float, budget: float) -> tuple[Bool, float]:
    """(kept, lost) for operations chosen one by one, without the rule that deeper ones go first.

    min sum of the losses of what is not kept, subject to fixed_cost + sum of the costs of what is kept <= budget: a
    0/1 knapsack over layers x modules, the natural ablation of depth-wise pruning. Solved by CP-SAT, numbers scaled as
    in `best_cell`.

    Parameters
    ----------
    loss : (L, M) what leaving out the operation of layer l and module m alone loses, >= 0.
    cost : (L, M) or (M,) what it costs.

    Examples
    --------
    >>> kept, lost = knapsack([[3.0, 0.1], [0.2, 2.0]], [4.0, 6.0], fixed_cost=1.0, budget=11.0)
    >>> kept.tolist(), round(lost, 6)
    ([[True, False], [False, True]], 0.3)
    """
    losses = as_real(loss, "loss", (2,)).astype(np.float64)
    costs = np.broadcast_to(as_real(cost, "cost", (1, 2)).astype(np.float64), losses.shape)
    if losses.size and min(losses.min(), costs.min()) < 0:
        raise ValueError(f"losses and costs must be >= 0, got {min(losses.min(), costs.min())}")
    if budget < fixed_cost:
        raise ValueError(f"budget must be at least the fixed cost {fixed_cost:.6g}, got {budget:.6g}")
    gains, _ = _whole(losses.reshape(-1))
    weights, limit = _whole(costs.reshape(-1), budget - fixed_cost)
    model = cp_model.CpModel()
    kept = [model.new_bool_var("") for _ in gains]
    model.add(cp_model.LinearExpr.weighted_sum(kept, weights.tolist()) <= limit)
    model.maximize(cp_model.LinearExpr.weighted_sum(kept, gains.tolist()))
    solver = new_solver(1, 0)
    _solve(solver, model)
    mask = np.array([bool(solver.value(variable)) for variable in kept]).reshape(losses.shape)
    return mask, float(losses[~mask].sum())


def _solve(solver: cp_model.CpSolver, model: cp_model.CpModel) -> None:
    """To the proven optimum; there is one, since the cheapest choice fits the budget."""
    status, interrupted = solve_cp_sat(solver, model)
    if interrupted:
        raise KeyboardInterrupt
    if status != cp_model.OPTIMAL:
        raise RuntimeError(f"CP-SAT ended with {solver.status_name(status)} on a program that has an optimum")


def _whole(values: Float, limit: float = 0.0) -> tuple[npt.NDArray[np.int64], int]:
    """Values >= 0 and a limit as whole numbers; whole ones below 2^40 stay as they are, others are scaled and rounded up."""
    top = max(float(values.max(initial=0.0)), 1e-300)
    exact = top < UNITS and bool((values == np.round(values)).all())
    scale = 1.0 if exact else UNITS / top
    whole = np.ceil(values * scale).astype(np.int64)
    return whole, int(min(np.floor(limit * scale), float(whole.sum())))

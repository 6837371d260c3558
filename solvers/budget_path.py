"""One greedy run against the bounds for every budget: a prefix of its picks answers every smaller k."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mmdp import Problem, bound_path, optimality_gap
from mmdp.certify import TOLERANCE
from mmdp.checks import as_budget
from mmdp.problem import GapKind
from solvers.solve import find_solver, solve


@dataclass(frozen=True)
class BudgetPath:
    """Values and bounds by budget.

    Attributes
    ----------
    objective, n, solver : what was run.
    gap_kind : "relative" or "absolute".
    budgets : ascending.
    values : of the first k picks, by the definition.
    bounds : no k tokens have a larger value.
    """

    objective: str
    n: int
    solver: str
    gap_kind: GapKind
    budgets: tuple[int, ...]
    values: tuple[float, ...]
    bounds: tuple[float, ...]

    @property
    def gaps(self) -> tuple[float, ...]:
        """By budget, as in `Selection.gap`; 0 where value and bound agree to 1e-9."""
        return tuple(map(self._gap, self.values, self.bounds))

    def _gap(self, value: float, bound: float) -> float:
        slack = TOLERANCE if self.gap_kind == "absolute" else 0.0
        if math.isclose(value, bound, rel_tol=TOLERANCE, abs_tol=slack):
            return 0.0
        return optimality_gap(value, bound, self.gap_kind)

    def to_dict(self) -> dict[str, Any]:
        """Plain types."""
        columns = zip(self.budgets, self.values, self.bounds, self.gaps, strict=True)
        path = [{"k": k, "value": value, "bound": bound, "gap": gap} for k, value, bound, gap in columns]
        return {
            "objective": self.objective,
            "n": self.n,
            "solver": self.solver,
            "gap_kind": self.gap_kind,
            "path": path,
        }


def budget_path(
    problem: Problem, budgets: Iterable[int] | None = None, method: str = "greedy", *, seed: int = 0
) -> BudgetPath:
    """Run a method once, for the largest budget, and hold each of its prefixes against `mmdp.bound_path`.

    Parameters
    ----------
    problem : without constraints; its own k plays no part.
    budgets : values of k, 0 <= k <= n; None means 1 .. n.
    method : "greedy", "name" or "name:backend" of a solver whose picks come in order.

    Raises
    ------
    ValueError : a method that picks in no order, constraints, a budget outside 0 .. n.

    Examples
    --------
    >>> from mmdp import MaxMinDiversity
    >>> square = MaxMinDiversity.from_features([[1, 0], [0, 1], [-1, 0], [0, -1]], k=2)
    >>> path = budget_path(square, [2, 3, 4])
    >>> path.values, path.gaps
    ((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    """
    if problem.constraints:
        raise ValueError("a budget path takes no constraints: the prefixes of a run need not satisfy them")
    asked = range(1, problem.n + 1) if budgets is None else budgets
    wanted = sorted({as_budget(k, problem.n) for k in asked})
    name, _, backend = method.partition(":")
    largest = problem.with_k(max(wanted, default=0))
    if not find_solver(largest, name, backend or "auto").ordered:
        raise ValueError(f"method {method!r} has no order of picks; a prefix of its answer answers nothing")
    run = solve(largest, name, backend=backend or "auto", seed=seed, bound="none")
    values = tuple(problem.value(run.indices[:k]) for k in wanted)
    bounds = bound_path(problem, wanted)
    for k, value in zip(wanted, values, strict=True):
        if bounds[k] < value and not math.isclose(bounds[k], value, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            raise RuntimeError(f"the bound {bounds[k]} for k = {k} is below the value {value} of {run.solver}")
    return BudgetPath(
        objective=problem.name,
        n=problem.n,
        solver=run.solver,
        gap_kind=problem.gap_kind,
        budgets=tuple(wanted),
        values=values,
        bounds=tuple(max(bounds[k], value) for k, value in zip(wanted, values, strict=True)),
    )

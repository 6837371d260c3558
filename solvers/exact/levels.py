"""From the bound of a floating-point MILP solver to a proof about the distances themselves."""

from __future__ import annotations

import numpy as np

from mmdp import MaxMinDiversity, Status, upper_bounds
from mmdp.checks import Float, Int
from solvers.answer import Answer, Request
from solvers.exact.mathopt_solve import Outcome
from solvers.exact.packing import Packing
from solvers.exact.start import first_set, nearest_feasible

TOLERANCE = 1e-5  # of the largest distance: room for the feasibility tolerances (1e-6) of MILP solvers


def distance_levels(problem: MaxMinDiversity) -> Float:
    """The distinct distances, ascending: the optimum is one of them."""
    levels: Float = np.unique(problem.distances[np.triu_indices(problem.n, 1)])
    return levels


def seeds(problem: MaxMinDiversity, levels: Float, request: Request, seeded: bool) -> tuple[Int, int, int]:
    """(a set, the index of its level, the index of the highest level that can be reached).

    Unseeded, as published: the first set there is, and all levels. Seeded: local search, and the bounds of
    `upper_bounds`.
    """
    if not seeded:
        some = nearest_feasible(problem, np.arange(problem.k), request)
        if some is None:
            raise ValueError("the constraints cannot be satisfied")
        return some, 0, len(levels) - 1
    subset = first_set(problem, request)
    low = int(np.searchsorted(levels, problem.value(subset)))
    high = int(np.searchsorted(levels, min(upper_bounds(problem).values()), side="right")) - 1
    return subset, low, max(low, high)


def conclude(
    problem: MaxMinDiversity, levels: Float, known: Int, high: int, outcome: Outcome, request: Request
) -> Answer:
    """The better of the known set and the one found, with a bound that holds for the original distances.

    The bound of the solver plus 1e-5 of the largest distance is rounded down to a distance. When the solver has
    finished, the levels that its tolerances leave open are decided exactly, by `Packing`.
    """
    subset = known
    if outcome.kept is not None and _valid(problem, outcome.kept):
        subset = max(known, outcome.kept, key=problem.value)
    low = int(np.searchsorted(levels, problem.value(subset)))
    reach = outcome.bound + TOLERANCE * float(levels[-1])
    high = max(low, min(high, int(np.searchsorted(levels, reach, side="right")) - 1))
    status = Status.INTERRUPTED if outcome.interrupted else Status.TIME_LIMIT
    packing = Packing(problem)
    stats = {"levels": len(levels), "solver_bound": outcome.bound}
    try:
        while high > low and outcome.finished:
            better = packing.at_least(float(levels[low + 1]), request)
            if better is None:
                high = low
            else:
                subset, low = better, int(np.searchsorted(levels, problem.value(better)))
                high = max(low, high)
    except TimeoutError:
        pass
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    if high == low:
        status = Status.OPTIMAL
    return Answer(subset, bound=float(levels[high]), status=status, stats=stats)


def _valid(problem: MaxMinDiversity, kept: Int) -> bool:
    return len(kept) == problem.k and problem.constraints.violation(kept) is None

"""Upper bounds that need only the problem."""

from __future__ import annotations

from mmdp.problem import Problem


def upper_bounds(problem: Problem) -> dict[str, float]:
    """Every cheap upper bound on the optimum, by name."""
    return {}

"""The best depth policy by looking at every cell."""

from __future__ import annotations

import numpy as np

from mmdp.depth_policy import DepthPolicy, DepthPolicyProblem
from solvers.exact.options import one_of


def solve_depth_policy(problem: DepthPolicyProblem, method: str = "enumeration") -> DepthPolicy:
    """The policy of least loss within the budget: exact.

    Ties go to the smaller cost, then to more tokens, more attention, more MLP.

    Parameters
    ----------
    problem : what is asked.
    method : "enumeration", every cell in numpy (33 x 33 x 20 cells in about a millisecond); or "cp_sat", the same
        program for OR-Tools, as an independent check.

    Examples
    --------
    >>> problem = DepthPolicyProblem.additive(
    ...     [2.0, 0.5, 0.0], [1.0, 0.2, 0.0], [3.0, 0.0], tokens=[0, 10],
    ...     attention_cost=[0, 4], mlp_cost=[0, 6], fixed_cost=1, budget=12)
    >>> policy = solve_depth_policy(problem)
    >>> policy.attention_depth, policy.mlp_depth, policy.tokens, policy.loss
    (1, 0, 10, 0.5)
    """
    if one_of(method, "method", ("enumeration", "cp_sat")) == "cp_sat":
        from solvers.exact.depth_policy import best_cell  # late: OR-Tools takes 0.4 s to import

        return problem.policy(*best_cell(problem))
    a, p, b = np.nonzero(problem.allowed & (problem.cost <= problem.budget))
    order = np.lexsort((-p, -a, -problem.tokens[b], problem.cost[a, p, b], problem.loss[a, p, b]))
    best = order[0]
    return problem.policy(int(a[best]), int(p[best]), int(b[best]))

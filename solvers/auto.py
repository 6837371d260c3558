"""What `solve` does when nobody says how: prove what the time allows."""

from __future__ import annotations

import math
from dataclasses import replace

from mmdp import Problem, upper_bounds
from solvers.answer import Answer, Request
from solvers.exact.best import best_method, few_subsets
from solvers.solve import find_solver


def run(problem: Problem, request: Request) -> Answer:
    """The best proving method of the problem, see `best_method`.

    It starts with greedy and local search (or, under constraints, with a set that satisfies them and swaps), computes
    the upper bounds of the objective for which there is time, and searches until it has a proof or time is up. So the
    answer is at least as good as the greedy's where there are no constraints, and it comes with the best bound found.
    `stats["method"]` names the method.
    """
    method = best_method(problem)
    solver = find_solver(problem, method)
    if few_subsets(problem):
        request = replace(request, time_limit=None)  # a tenth of a second at most
    answer = solver.load()(problem, request)
    if answer.bound == math.inf:  # time was up before the method had a bound of its own
        answer = replace(answer, bound=min(upper_bounds(problem).values(), default=math.inf))
    return replace(answer, stats={"method": method, **answer.stats})

"""What `solve` does when nobody says how: prove what the time allows."""

from __future__ import annotations

import math
from dataclasses import replace

from mmdp import Problem, Status
from mmdp.certificates import best_certificate
from solvers.answer import Answer, Request
from solvers.exact.best import best_method, few_subsets
from solvers.solve import find_solver, options_of


def run(problem: Problem, request: Request, *, certify: bool = False) -> Answer:
    """The best proving method of the problem, see `best_method`.

    It starts with greedy and local search (or, under constraints, with a set that satisfies them and swaps), computes
    the upper bounds of the objective for which there is time, and searches until it has a proof or time is up. So the
    answer is at least as good as the greedy's where there are no constraints, and it comes with the best bound found.
    `stats["method"]` names the method; `certify` asks it for a certificate, where it can give one.
    """
    method = best_method(problem, certify)
    solver = find_solver(problem, method)
    if few_subsets(problem):
        request = replace(request, time_limit=None)  # a tenth of a second at most
    solve = solver.load()
    options = {"certify": True} if certify and "certify" in options_of(solve) else {}
    answer = solve(problem, request, **options)
    if answer.bound == math.inf and answer.status is not Status.OPTIMAL:  # time was up before it had a bound of its own
        bound, certificate = best_certificate(problem, "full")
        answer = replace(answer, bound=bound, certificate=certificate)
    return replace(answer, stats={"method": method, **answer.stats})

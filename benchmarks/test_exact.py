"""pytest-benchmark over the exact methods (`make bench`): small cases, with the OR-Tools models beside.

The formulations of `benchmarks.exact_formulations` up to n = 50, then the package's own method on the faster rows of
`benchmarks.exact_floors`.
"""

from __future__ import annotations

import pytest

from benchmarks.exact_formulations import CASES, METHODS, label
from benchmarks.floors import FLOORS
from benchmarks.vit_tokens import load_any
from mmdp import Status
from mmdp.instances import load
from solvers import solve

LIMIT = 30.0
FORMULATIONS = [
    pytest.param(name, objective, k, method, options, id=f"{name}-{objective}-{label(method, options)}")
    for name, objective, k in CASES
    if load(name).n <= 50
    for method, options in METHODS[objective]
]
OWN = [
    pytest.param(case.instance, case.objective, case.k, "exact", {}, id=f"{case.instance}-{case.objective}-{case.k}")
    for floor in FLOORS
    if floor.quick
    for case in floor.cases[::3]
]


@pytest.mark.parametrize(("name", "objective", "k", "method", "options"), FORMULATIONS + OWN)
def test_time_to_proof(benchmark, name, objective, k, method, options):
    """Seconds from the problem to its proven optimum (matrices computed once, outside)."""
    problem = load_any(name).problem(objective, k)
    solve(problem, method, time_limit=LIMIT, **options)
    answer = benchmark.pedantic(lambda: solve(problem, method, time_limit=LIMIT, **options), rounds=3, iterations=1)
    benchmark.extra_info.update(value=answer.objective, bound=answer.bound)
    if answer.status is not Status.OPTIMAL:
        pytest.skip(f"{method} proves nothing in {LIMIT:.0f} s here: a time would mislead")

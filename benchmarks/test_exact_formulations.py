"""pytest-benchmark over the exact formulations (`make bench`): every cell of `benchmarks.exact_formulations` up to n = 50."""

from __future__ import annotations

import pytest

from benchmarks.exact_formulations import CASES, METHODS, label
from mmdp import Status
from mmdp.instances import load
from solvers import solve

CELLS = [
    pytest.param(name, objective, k, method, options, id=f"{name}-{objective}-{label(method, options)}")
    for name, objective, k in CASES
    if load(name).n <= 50
    for method, options in METHODS[objective]
]


@pytest.mark.parametrize(("name", "objective", "k", "method", "options"), CELLS)
def test_time_to_proof(benchmark, name, objective, k, method, options):
    """Seconds from the problem to its proven optimum (matrices computed once, outside)."""
    problem = load(name).problem(objective, k)
    solve(problem, method, time_limit=30, **options)
    answer = benchmark.pedantic(lambda: solve(problem, method, time_limit=30, **options), rounds=3, iterations=1)
    benchmark.extra_info.update(value=answer.objective, bound=answer.bound)
    if answer.status is not Status.OPTIMAL:
        pytest.skip(f"{method} proves nothing in 30 s here: a time would mislead")

"""The catalogue is the test matrix: every row resolves, and every row solves what it says it solves."""

import importlib
import inspect
import math

import numpy as np
import pytest

from mmdp import OBJECTIVES, Status, check
from mmdp.instances import Instance
from solvers import CATALOG, solve
from solvers.catalog import ANY


def tokens(n: int = 12, seed: int = 0) -> Instance:
    """A small instance with data for every objective."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, 6))
    return Instance(
        "tokens",
        features=features,
        relevance=rng.uniform(0.2, 1, size=n),
        keys=rng.normal(size=(n, 4)),
        values=rng.normal(size=(n, 4)),
    )


ROWS = [pytest.param(row, name, id=f"{row.full_name}-{name}") for row in CATALOG for name in sorted(row.solves)]


def skip_if_missing(row) -> None:
    if row.missing:
        pytest.skip(f"{row.full_name} needs {row.missing}")


def test_any_means_every_objective():
    """The set ANY names exactly the objectives of mmdp."""
    assert set(OBJECTIVES) == ANY


def test_names_are_unique():
    """No two rows solve the same objective under the same full name."""
    names = [(row.full_name, objective) for row in CATALOG for objective in row.solves]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("row", CATALOG, ids=lambda row: f"{row.full_name}-{row.module}")
def test_every_module_resolves(row):
    """A row's module exists and has run(problem, request, **options)."""
    skip_if_missing(row)
    parameters = list(inspect.signature(importlib.import_module(row.module).run).parameters)
    assert parameters[:2] == ["problem", "request"]


@pytest.mark.parametrize("k", [0, 1, 4, 12])
@pytest.mark.parametrize(("row", "objective"), ROWS)
def test_every_row_solves_what_it_says(row, objective, k):
    """k distinct tokens, an objective that `check` confirms, a bound not below it, and a proof from the exact rows."""
    skip_if_missing(row)
    problem = tokens().problem(objective, k)
    answer = solve(problem, row.name, backend=row.backend, time_limit=60)
    check(problem, answer)
    assert answer.solver == row.full_name
    assert answer.objective <= answer.bound
    if row.exact:
        assert answer.status is Status.OPTIMAL
        assert answer.gap == 0


@pytest.mark.parametrize(("row", "objective"), ROWS)
def test_same_seed_same_answer(row, objective):
    """Two calls with one seed agree."""
    skip_if_missing(row)
    problem = tokens(seed=3).problem(objective, 5)
    first, second = (solve(problem, row.name, backend=row.backend, seed=7, time_limit=60) for _ in range(2))
    assert first.indices.tolist() == second.indices.tolist()


@pytest.mark.parametrize(("row", "objective"), [row for row in ROWS if row.values[0].ordered])
def test_order_of_selection_is_a_prefix(row, objective):
    """Rows that say so return indices whose prefix answers every smaller k."""
    skip_if_missing(row)
    problem = tokens(seed=5).problem(objective, 8)
    longer = solve(problem, row.name, backend=row.backend)
    for k in (1, 3, 7):
        shorter = solve(problem.with_k(k), row.name, backend=row.backend)
        assert shorter.indices.tolist() == longer.indices[:k].tolist()


@pytest.mark.parametrize(("row", "objective"), ROWS)
def test_duplicates_and_zero_rows_are_legal(row, objective):
    """Copies and tokens without direction never repeat an index and never break a solver."""
    skip_if_missing(row)
    base = tokens(n=5, seed=2)
    double = [0, 1, 2, 3, 4, 0, 1, 2]
    features = np.vstack([base.features[double], np.zeros((1, 6))])
    keys, values = (np.vstack([part[double], np.zeros((1, 4))]) for part in (base.keys, base.values))
    problem = Instance("copies", features=features, keys=keys, values=values).problem(objective, 7)
    answer = solve(problem, row.name, backend=row.backend, time_limit=60)
    check(problem, answer)
    if objective == "conditional-dpp":
        assert answer.objective == -math.inf

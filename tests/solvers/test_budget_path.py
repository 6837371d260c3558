"""A greedy run against the bounds of every budget."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mmdp import ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity
from solvers import solve
from solvers.budget_path import budget_path

RNG = np.random.default_rng(0)
X = RNG.standard_normal((14, 9))
PROBLEMS = [
    MaxMinDiversity.from_features(X, 3),
    ConditionalDPP.from_features(X, 3, RNG.random(14)),
    ImplicitWeight.from_keys_values(X, X[:, :4], 3),
]
by_objective = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)


@by_objective
def test_a_prefix_is_the_greedy_answer_of_its_budget(problem):
    """Values are those of a run for each budget alone; the optimum lies between value and bound."""
    path = budget_path(problem, method="greedy:naive")
    assert path.budgets == tuple(range(1, 15))
    for k, value, bound, gap in zip(path.budgets, path.values, path.bounds, path.gaps, strict=True):
        assert value == solve(problem.with_k(k), "greedy", backend="naive").objective
        best = solve(problem.with_k(k), "brute_force").objective
        assert value <= best
        assert best <= bound or best == pytest.approx(bound, rel=1e-12)
        assert gap >= 0
    assert path.gaps[-1] == 0


def test_it_becomes_json():
    """Plain types, by budget."""
    facts = budget_path(PROBLEMS[0], [5, 2]).to_dict()
    assert [entry["k"] for entry in facts["path"]] == [2, 5]
    assert json.loads(json.dumps(facts)) == facts


def test_what_has_no_order_has_no_path():
    """Local search answers one budget; constraints need not hold for prefixes."""
    with pytest.raises(ValueError, match="method 'local_search' has no order of picks"):
        budget_path(PROBLEMS[0], [2], "local_search")
    held = MaxMinDiversity.from_features(X, 3, constraints=Constraints(keep=(1,)))
    with pytest.raises(ValueError, match="takes no constraints"):
        budget_path(held)

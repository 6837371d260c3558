"""An objective that the package does not know."""

import itertools
from typing import ClassVar

import numpy as np
import pytest

from mmdp import Constraints, GroundSet, MaxMinDiversity, Problem, Status, check
from mmdp.problem import GapKind
from solvers import solve


class TotalDistance(Problem):
    """Sum of pairwise distances."""

    name: ClassVar[str] = "total-distance"
    gap_kind: ClassVar[GapKind] = "relative"

    def _value(self, subset):
        return float(self.ground.distances[np.ix_(subset, subset)].sum() / 2)


class Farthest(MaxMinDiversity):
    """A subclass of a known objective under its own definition: the largest distance instead of the smallest."""

    def _value(self, subset):
        return float(self.distances[np.ix_(subset, subset)].max(initial=0.0))


GROUND = GroundSet(np.random.default_rng(0).normal(size=(9, 3)))


def test_brute_force_takes_any_objective():
    """It asks for nothing but values, with constraints as well."""
    for constraints in (None, Constraints(keep=(4,), forbidden_pairs=((0, 1),))):
        problem = TotalDistance(GROUND, 4, constraints)
        selection = solve(problem, "brute_force")
        check(problem, selection)
        allowed = (
            subset
            for subset in itertools.combinations(range(9), 4)
            if problem.constraints.violation(np.array(subset)) is None
        )
        assert selection.indices.tolist() == list(max(allowed, key=problem.value))
        assert selection.status is Status.OPTIMAL


def test_brute_force_believes_the_definition_of_a_subclass():
    """The fast valuation of max-min is not used for a class that redefines the value."""
    problem = Farthest.from_features(GROUND.features, 3)
    selection = solve(problem, "brute_force")
    assert selection.objective == problem.distances.max()
    assert selection.status is Status.OPTIMAL


def test_random_takes_any_objective():
    """The random set is valued by the problem."""
    problem = TotalDistance(GROUND, 4)
    selection = solve(problem, "random", seed=1)
    check(problem, selection)
    assert selection.objective == problem.value(selection.indices)


def test_the_greedy_of_an_unknown_objective_is_an_error():
    """The alias names the objectives that have a greedy."""
    with pytest.raises(ValueError, match="there is no greedy for the objective 'total-distance', only for max-min, "):
        solve(TotalDistance(GROUND, 4), "greedy")


def test_other_solvers_say_what_takes_the_objective():
    """A solver for other objectives refuses, and names those that would do."""
    with pytest.raises(ValueError, match="does not take the objective 'total-distance'; there are brute_force, random"):
        solve(TotalDistance(GROUND, 4), "local_search")

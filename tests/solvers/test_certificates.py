"""Answers of `solve` and their certificates: attached, kept in files, and found again by kind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mmdp import (
    CertificateError,
    ConditionalDPP,
    Constraints,
    ImplicitWeight,
    MaxMinDiversity,
    MaxSumDiversity,
    Status,
    check,
)
from mmdp.certificates import load, save
from solvers import CATALOG, solve
from solvers.certificates import TREES, certificate_kind

RNG = np.random.default_rng(1)
X = RNG.standard_normal((40, 12))
PROBLEMS = [
    MaxMinDiversity.from_features(X[:, :4], 9),
    ConditionalDPP.from_features(X, 6, RNG.random(40)),
    ImplicitWeight.from_keys_values(X[:, :6], X[:, 6:], 12),
    MaxSumDiversity.from_features(X, 9),
]
by_objective = pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
HEURISTICS = [
    pytest.param(problem, row, id=f"{problem.name}-{row.full_name}")
    for problem in PROBLEMS
    for row in CATALOG
    if not row.exact and row.backend != "gpu" and row.takes(problem.name)
]


@pytest.mark.parametrize("kind", TREES)
def test_every_kind_of_the_solvers_is_found(kind):
    """A row that is renamed or moved fails here."""
    assert certificate_kind(kind).kind == kind


def test_an_unknown_kind_is_refused():
    """With the kinds there are, those of the solvers included."""
    with pytest.raises(ValueError, match=r"unknown kind of certificate 'oak'; there are angle, .*clique-tree"):
        certificate_kind("oak")


@pytest.mark.parametrize(("problem", "row"), HEURISTICS)
def test_every_heuristic_answer_has_a_certificate_that_holds(problem, row):
    """For each objective that the row takes; without a bound where none is asked for."""
    answer = solve(problem, row.name, backend=row.backend)
    assert answer.certificate is not None
    assert check(problem, answer) <= answer.bound < math.inf
    bare = solve(problem, row.name, backend=row.backend, bound="none")
    assert (bare.bound, bare.certificate) == (math.inf, None)
    assert bare.indices.tolist() == answer.indices.tolist()


@by_objective
def test_more_effort_never_gives_a_worse_bound(problem):
    """Full is at most cheap; an unknown effort is refused."""
    assert solve(problem, "greedy", bound="full").bound <= solve(problem, "greedy").bound
    with pytest.raises(ValueError, match="bound must be one of none, cheap, full, got 'best'"):
        solve(problem, "greedy", bound="best")


def test_full_effort_tightens_what_a_stopped_search_proved():
    """And gives it a certificate; a proved optimum is left alone."""
    small = MaxMinDiversity.from_features(X[:20, :4], 5)
    stopped = solve(small, "brute_force", time_limit=0.0, bound="full")
    assert stopped.status in (Status.TIME_LIMIT, Status.OPTIMAL)
    assert check(small, stopped) <= stopped.bound < math.inf
    proved = solve(small, "brute_force", bound="full")
    assert (proved.status, proved.certificate) == (Status.OPTIMAL, None)


def test_bounds_ignore_constraints_and_stay_valid():
    """A heuristic answer under constraints is bounded by the unconstrained problem."""
    held = MaxMinDiversity.from_features(X[:14, :4], 4, constraints=Constraints(keep=(0, 1)))
    answer = solve(held, "brute_force", time_limit=0.0)
    assert check(held, answer) >= solve(held, "brute_force").objective


@pytest.mark.parametrize("method", ["exact", "auto"])
def test_a_small_problem_is_not_enumerated_where_a_proof_is_wanted(method):
    """Enumeration is faster, but has nothing to show."""
    small = MaxMinDiversity.from_features(X[:9, :4], 4)
    answer = solve(small, method, certify=True)
    assert answer.status is Status.OPTIMAL
    assert check(small, answer) == pytest.approx(answer.objective)
    assert solve(small, "exact").solver == "brute_force:naive"


@pytest.mark.parametrize("method", ["exact", "auto"])
@by_objective
def test_a_search_that_wrote_its_proof_down_is_checked_from_a_file(problem, method, tmp_path):
    """The optimum, its tree, a file, and a verifier that knows nothing of the search."""
    answer = solve(problem, method, certify=True, time_limit=60)
    assert answer.status is Status.OPTIMAL
    assert answer.certificate is not None, answer.stats
    save(tmp_path / "a.npz", problem, answer)
    same, again = load(tmp_path / "a.npz", resolve=certificate_kind)
    assert check(same, again) == pytest.approx(answer.objective, rel=1e-8)
    worse = problem.with_k(problem.k - 1)
    with pytest.raises(CertificateError):
        check(worse, again)

"""Trees of the branch and bound for quadratic objectives as certificates: they verify, and what is changed does not."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from mmdp import CertificateError, Constraints, ImplicitWeight, MaxMinDiversity, MaxSumDiversity, Problem, Status, check
from mmdp.certificates import OnlyChoiceCertificate, QPCertificate
from mmdp.instances import gaussian
from solvers import solve
from solvers.certificates import certificate_kind
from solvers.exact.rank1 import branch_and_bound, search, tree_log
from solvers.exact.rank1.tree_log import Rank1Tree


def unit_norm_weights(n: int, k: int, **options) -> ImplicitWeight:
    """Keys and values of unit norm: the hardest energies known."""
    K, V = np.random.default_rng(0).normal(size=(2, n, 24))
    K, V = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (K, V))
    return ImplicitWeight.from_keys_values(K, V, k, **options)


def some_problem(rng: np.random.Generator, trial: int) -> Problem:
    """Small, of either objective, every other one with quotas and a must-keep token."""
    n = int(rng.integers(2, 10))
    constraints = None
    if trial % 2:
        groups = tuple(int(g) for g in rng.integers(0, 2, size=n))
        constraints = Constraints(
            keep=(int(rng.integers(n)),), groups=groups, min_per_group={groups[0]: 1}, max_per_group={groups[0]: n - 1}
        )
    rows, k = rng.normal(size=(n, 3)), int(rng.integers(1, n + 1))
    rows[-1] = rows[0]
    if trial % 4 < 2:
        return ImplicitWeight.from_gram(rows @ rows.T, k, constraints=constraints)
    return MaxSumDiversity.from_features(rows, k, constraints=constraints)


def best_value(problem: Problem) -> float:
    """By the definition, over all subsets that satisfy the constraints; -inf when there are none."""
    subsets = (np.array(s, dtype=np.int64) for s in itertools.combinations(range(problem.n), problem.k))
    return max((problem.value(s) for s in subsets if problem.constraints.violation(s) is None), default=-math.inf)


def test_small_trees_verify():
    """The bound proved lies between the optimum and the bound claimed; only values near 0 go without."""
    rng = np.random.default_rng(0)
    verified = 0
    for trial in range(120):
        problem = some_problem(rng, trial)
        answer = solve(problem, "branch_and_bound", certify=True)
        if answer.status is Status.INFEASIBLE:
            continue
        if answer.certificate is None:
            assert "too small" in answer.stats["certificate"]
            continue
        verified += 1
        assert check(problem, answer) >= best_value(problem) - 1e-12
    assert verified > 70


@pytest.mark.parametrize("objective", ["implicit-weight", "max-sum"])
def test_large_trees_verify(objective):
    """Hundreds of nodes; the search that was stopped proves its bound as well."""
    if objective == "implicit-weight":
        problem, limit = unit_norm_weights(44, 22), None
    else:
        problem, limit = gaussian(60, 16, seed=0).problem("max-sum", 8), 0.7
    answer = solve(problem, "branch_and_bound", certify=True, time_limit=limit)
    assert len(answer.certificate.branch_nodes) > 20
    assert answer.status is (Status.TIME_LIMIT if limit else Status.OPTIMAL)
    assert check(problem, answer) == pytest.approx(answer.bound, rel=1e-9)


def test_the_kind_is_known_and_its_arrays_are_all_of_it():
    """Written as plain arrays and read again, it proves the same."""
    problem = unit_norm_weights(30, 15)
    certificate = solve(problem, "branch_and_bound", certify=True).certificate
    again = certificate_kind("rank1-tree").from_arrays(certificate.arrays())
    assert isinstance(again, Rank1Tree)
    assert again.verify(problem) == certificate.verify(problem)


def test_an_interrupted_search_proves_what_it_says(monkeypatch):
    """Ctrl-C in the middle of the tree."""
    problem = unit_norm_weights(40, 20)
    tighten, seen = search.tighten, []

    def interrupted(*arguments):
        seen.append(1)
        if len(seen) > 60:
            raise KeyboardInterrupt
        return tighten(*arguments)

    branch_and_bound._compile()
    monkeypatch.setattr(search, "tighten", interrupted)
    answer = solve(problem, "branch_and_bound", certify=True)
    assert answer.status is Status.INTERRUPTED
    assert answer.bound > answer.objective
    assert check(problem, answer) <= answer.bound * (1 - 1e-9)


def test_a_log_that_is_too_long_is_given_up(monkeypatch):
    """The proof goes on without it, and the reason is said."""
    monkeypatch.setattr(tree_log, "MOST_BYTES", 20_000)
    answer = solve(unit_norm_weights(40, 20), "branch_and_bound", certify=True)
    assert answer.status is Status.OPTIMAL
    assert answer.certificate is None
    assert "exceeds" in answer.stats["certificate"]


def test_without_time_there_is_nothing_to_certify():
    """No bound, no tree, and the reason; what `solve` proves by itself is another kind."""
    answer = solve(gaussian(60, 16).problem("max-sum", 8), "branch_and_bound", certify=True, time_limit=0)
    assert not isinstance(answer.certificate, Rank1Tree)
    assert "before a bound was proved" in answer.stats["certificate"]


def test_plain_certificates_where_no_tree_is_needed():
    """An integral relaxation is a qp certificate, nothing to choose is its own; a tree is written only when asked for."""
    rows = 1 + 0.05 * np.random.default_rng(1).normal(size=(30, 4)) * np.arange(1, 31)[:, None] / 30
    problem = ImplicitWeight.from_gram((rows * np.arange(1, 31)[:, None]) @ (rows * np.arange(1, 31)[:, None]).T, 10)
    answer = solve(problem, "branch_and_bound")
    assert isinstance(answer.certificate, QPCertificate)
    check(problem, answer)
    assert isinstance(solve(problem.with_k(30), "branch_and_bound").certificate, OnlyChoiceCertificate)
    problem = gaussian(200, 64, seed=0).problem("implicit-weight", 6)
    answer = solve(problem, "branch_and_bound")
    assert isinstance(answer.certificate, Rank1Tree)  # of one node, several times reduced
    assert not len(answer.certificate.branch_nodes)
    check(problem, answer)
    assert solve(unit_norm_weights(30, 15), "branch_and_bound").certificate is None


TREE = unit_norm_weights(30, 15)


@pytest.fixture(scope="module")
def tree() -> Rank1Tree:
    """A tree to be changed."""
    certificate = solve(TREE, "branch_and_bound", certify=True).certificate
    assert len(certificate.branch_nodes) > 3
    return certificate


def changed(tree: Rank1Tree, **fields: object) -> Rank1Tree:
    return dataclasses.replace(tree, **fields)


def test_a_higher_claim_fails(tree):
    """What was fixed against the old one cannot be fixed against the new one."""
    optimum = -solve(TREE, "branch_and_bound").objective
    with pytest.raises(CertificateError, match="does not hold"):
        changed(tree, lower=optimum * 1.01).verify(TREE)


def test_a_larger_shift_fails(tree):
    """The matrix is no longer semidefinite."""
    with pytest.raises(CertificateError, match="not positive semidefinite"):
        changed(tree, shift_values=tree.shift_values + 0.05).verify(TREE)


def test_no_change_proves_more_than_the_optimum(tree):
    """Points, shifts, fixings and branchings changed at random: an error, or a bound that is still one."""
    optimum = solve(TREE, "branch_and_bound").objective
    rng = np.random.default_rng(2)
    refused = 0
    for name in ("points", "fixed", "branch_coordinates", "step_shifts", "step_nodes", "shift_coordinates"):
        for _ in range(6):
            array = getattr(tree, name).copy()
            where = rng.integers(len(array), size=3)
            array[where] = rng.permutation(array)[:3]
            if name == "fixed":
                array[where[0]] = -tree.fixed[where[0]]
            try:
                assert changed(tree, **{name: array}).verify(TREE) >= optimum
            except CertificateError:
                refused += 1
    assert refused > 12


@pytest.mark.parametrize("drop", ["step_sizes", "points", "fixed", "branch_children", "shift_values"])
def test_missing_parts_fail(tree, drop):
    """Cut by one."""
    with pytest.raises(CertificateError):
        changed(tree, **{drop: getattr(tree, drop)[:-1]}).verify(TREE)


def test_a_tree_whose_leaf_was_left_out_proves_less(tree):
    """The steps of the last node removed: its leaf has only the bound of its parent, or fails."""
    last = int(tree.step_nodes.max())
    keep = tree.step_nodes != last
    parts = {name: getattr(tree, name)[keep] for name in ("step_nodes", "step_shifts", "step_sizes", "step_fixed")}
    points = np.concatenate([tree.points[:0], *_parts(tree.points, tree.step_sizes, keep)])
    fixed = np.concatenate([tree.fixed[:0], *_parts(tree.fixed, tree.step_fixed, keep)])
    assert changed(tree, **parts, points=points, fixed=fixed).verify(TREE) > tree.verify(TREE)


def _parts(array: np.ndarray, sizes: np.ndarray, keep: np.ndarray) -> list[np.ndarray]:
    return [part for part, kept in zip(np.split(array, np.cumsum(sizes)[:-1]), keep, strict=True) if kept]


def test_another_problem_fails(tree):
    """Other weights, another objective, forbidden pairs."""
    with pytest.raises(CertificateError):
        tree.verify(ImplicitWeight.from_gram(TREE.gram[::-1, ::-1].copy() * 0.5, 15))
    with pytest.raises(CertificateError, match="quadratic objectives"):
        tree.verify(MaxMinDiversity.from_features(np.eye(30), 15))
    with pytest.raises(CertificateError, match="forbidden_pairs"):
        tree.verify(unit_norm_weights_with_pair())
    with pytest.raises(CertificateError):
        tree.verify(ImplicitWeight.from_gram(np.eye(5), 2))


def unit_norm_weights_with_pair() -> ImplicitWeight:
    return ImplicitWeight.from_gram(TREE.gram, 15, constraints=Constraints(forbidden_pairs=((0, 1),)))

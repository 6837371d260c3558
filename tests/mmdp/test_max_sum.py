"""Max-sum diversity: its value, its form as a quadratic program, its bounds."""

import itertools

import numpy as np
import pytest

from mmdp import Constraints, ImplicitWeight, MaxMinDiversity, MaxSumDiversity, upper_bounds
from mmdp.bounds.max_sum import quadratic_bounds, row_sum_bound
from mmdp.cardinality_bqp import CardinalityBQP


def some_problem(rng: np.random.Generator, n: int, k: int, constraints: Constraints | None = None) -> MaxSumDiversity:
    """Features of some metric (copies and zero rows among them), or distances that are no metric at all."""
    kind = int(rng.integers(5))
    relevance = rng.normal(size=n) if rng.random() < 0.4 else None
    options = {"relevance": relevance, "lam": float(rng.uniform(0, 3)), "constraints": constraints}
    if kind == 0:
        D = np.triu(rng.random((n, n)) ** 4, 1)
        return MaxSumDiversity.from_distances(D + D.T, k, **options)
    X = rng.integers(-1, 2, size=(n, 3)) if kind == 1 else rng.normal(size=(n, 3))
    return MaxSumDiversity.from_features(X, k, ("cosine", "chordal", "euclidean")[int(rng.integers(3))], **options)


def test_value_by_the_definition():
    """The sum over pairs, each once, and the weighted relevance."""
    rng = np.random.default_rng(0)
    X, r = rng.normal(size=(7, 3)), rng.normal(size=7)
    problem = MaxSumDiversity.from_features(X, 3, relevance=r, lam=2.0)
    d = problem.distances
    for subset in ([], [4], [0, 2, 5], list(range(7))):
        expected = sum(d[i, j] for i, j in itertools.combinations(subset, 2)) + 2 * sum(r[i] for i in subset)
        assert problem.value(subset) == pytest.approx(expected, abs=1e-12)


def test_cosine_case_is_the_length_of_the_sum():
    """2 sum_{i<j} (1 - cos) = k^2 - || sum of unit vectors ||^2: representativeness."""
    X = np.random.default_rng(1).normal(size=(9, 4))
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    for subset in ([1, 4], [0, 3, 5, 8]):
        expected = (len(subset) ** 2 - np.linalg.norm(units[subset].sum(axis=0)) ** 2) / 2
        assert MaxSumDiversity.from_features(X, 4).value(subset) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"relevance": [1.0]}, "relevance must have one number per token, got 1 for 2 tokens"),
        ({"relevance": [1.0, np.inf]}, "relevance must be finite"),
        ({"lam": -1.0}, "lam must be finite and >= 0, got -1.0"),
        ({"lam": np.nan}, "lam must be finite and >= 0, got nan"),
    ],
)
def test_bad_input_is_refused(options, message):
    """One sentence with the value."""
    with pytest.raises(ValueError, match=message):
        MaxSumDiversity.from_features(np.eye(2), 1, **options)


def test_the_quadratic_form_is_minus_the_value():
    """For every set that satisfies the constraints, with must-keep tokens fixed, and quotas exactly those of the sets."""
    rng = np.random.default_rng(2)
    for trial in range(60):
        n = int(rng.integers(2, 8))
        k = int(rng.integers(0, n + 1))
        groups = tuple(int(g) for g in rng.integers(0, 2, size=n))
        constraints = Constraints(
            keep=tuple(int(i) for i in rng.permutation(n)[: int(rng.integers(0, 2))]),
            groups=groups,
            min_per_group={groups[0]: 1},
            max_per_group={groups[-1]: 2},
        )
        if trial % 2:
            problem = some_problem(rng, n, k, constraints)
        else:
            F = rng.normal(size=(n, 3))
            problem = ImplicitWeight.from_gram(F @ F.T, k, constraints=constraints)
        bqp = CardinalityBQP.of(problem)
        sets = set()
        for ones in itertools.combinations(range(len(bqp.tokens)), bqp.m) if bqp.m >= 0 else ():
            y = np.isin(np.arange(len(bqp.tokens)), ones)
            count = np.bincount(bqp.labels[y], minlength=len(bqp.low))
            if (count < bqp.low).any() or (count > bqp.high).any():
                continue
            kept = bqp.kept(y)
            sets.add(tuple(kept.tolist()))
            energy = bqp.constant + float(bqp.Q[np.ix_(y, y)].sum())
            assert -energy == pytest.approx(problem.value(kept), abs=1e-9)
        allowed = {
            s for s in itertools.combinations(range(n), k) if constraints.violation(np.array(s, dtype=np.int64)) is None
        }
        assert sets == allowed


def test_negative_type_gives_a_convex_form():
    """Less its linear part, the form of distances between points has no negative eigenvalue beyond rounding."""
    X = np.random.default_rng(3).normal(size=(30, 5))
    for metric in ("cosine", "chordal", "euclidean"):
        bqp = CardinalityBQP.of(MaxSumDiversity.from_features(X, 10, metric))
        eigenvalues = np.linalg.eigvalsh(bqp.Q - np.diag(bqp.shift))
        assert eigenvalues[0] > -1e-12 * eigenvalues[-1]


def test_other_objectives_and_forbidden_pairs_have_no_form():
    """Each with one sentence."""
    with pytest.raises(TypeError, match="must be implicit-weight or max-sum, got max-min"):
        CardinalityBQP.of(MaxMinDiversity.from_features(np.eye(3), 2))
    problem = MaxSumDiversity.from_features(np.eye(3), 2, constraints=Constraints(forbidden_pairs=((0, 1),)))
    with pytest.raises(ValueError, match="forbidden_pairs"):
        CardinalityBQP.of(problem)


def test_bounds_hold():
    """No set lies above any of them; `upper_bounds` reports them."""
    rng = np.random.default_rng(4)
    for _ in range(40):
        n = int(rng.integers(3, 9))
        problem = some_problem(rng, n, int(rng.integers(1, n)))
        best = max(problem.value(s) for s in map(list, itertools.combinations(range(n), problem.k)))
        bounds = {"rows": row_sum_bound(problem), **quadratic_bounds(problem)}
        assert min(bounds.values()) >= best - 1e-12 * abs(best)
        assert upper_bounds(problem) == bounds


def test_semidefinite_bound_is_tight_for_an_octahedron():
    """Two opposite pairs of its corners cancel, and nothing is more diverse than a sum of 0."""
    X = np.vstack([np.eye(3), -np.eye(3)])
    problem = MaxSumDiversity.from_features(X, 4)
    assert quadratic_bounds(problem)["sdp"] == pytest.approx(8.0, rel=1e-5)
    assert problem.value([0, 1, 3, 4]) == pytest.approx(8.0)

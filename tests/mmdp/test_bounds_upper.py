"""`upper_bounds` on every objective and every kind of instance, against brute force."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, Constraints, GroundSet, ImplicitWeight, MaxMinDiversity, Problem, upper_bounds
from mmdp.bounds import RelaxedBound

KINDS = ("gaussian", "clustered", "duplicates", "zero rows", "rank one", "positive", "nearly singular")


@st.composite
def problems(draw):
    """One problem of any objective on tokens of any kind, with k anywhere between 0 and n."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(1, 7)), draw(st.integers(1, 5))
    k = draw(st.integers(0, n))
    X = rng.standard_normal((n, d))
    kind = draw(st.sampled_from(KINDS))
    if kind == "clustered":
        X = X[rng.integers(0, max(1, n // 2), n)] + 0.05 * X
    elif kind == "duplicates":
        X = X[rng.integers(0, n, n)]
    elif kind == "zero rows":
        X[rng.integers(0, n, max(1, n // 3))] = 0
    elif kind == "rank one":
        X = X[:, :1] @ rng.standard_normal((1, d))
    elif kind == "positive":
        X = np.abs(X) + 1
    elif kind == "nearly singular":
        X = 1 + 10.0 ** rng.integers(-6, -1) * X
    relevance = rng.random(n)
    if draw(st.booleans()):
        relevance[rng.integers(0, n)] = 0
    heads = np.stack([X, X[::-1]])
    given_distances = GroundSet(X, draw(st.sampled_from(["cosine", "euclidean"]))).distances
    return draw(
        st.sampled_from(
            [
                *(MaxMinDiversity.from_features(X, k, metric) for metric in ("cosine", "chordal", "euclidean")),
                MaxMinDiversity.from_distances(given_distances, k),
                ConditionalDPP.from_features(X, k),
                ConditionalDPP.from_features(X, k, relevance),
                ConditionalDPP.from_features(X, k, relevance, theta=0.7),
                ConditionalDPP.from_kernel(X @ X.T, k),
                ImplicitWeight.from_keys_values(X, rng.standard_normal((n, 2)), k),
                ImplicitWeight.from_keys_values(heads, heads, k, kernel="softmax", form="squared"),
                ImplicitWeight.from_gram(X @ X.T, k),
            ]
        )
    )


@given(problems())
@settings(deadline=None, max_examples=500)
def test_every_bound_holds(problem):
    """objective <= bound for every subset of size k: up to the last bits of the objective itself."""
    best = max(problem.value(S) for S in itertools.combinations(range(problem.n), problem.k))
    bounds = upper_bounds(problem)
    assert bounds
    for name, bound in bounds.items():
        slack = 1e-12 * (1 + abs(best)) if math.isfinite(best) else 0.0
        assert bound >= best - slack, name


@given(problems(), st.data())
@settings(deadline=None, max_examples=60)
def test_constraints_only_lower_the_optimum(problem, data):
    """A must-keep token leaves every bound valid."""
    if problem.k == 0:
        return
    i = data.draw(st.integers(0, problem.n - 1))
    problem.constraints = Constraints(keep=(i,))
    best = max(problem.value(S) for S in itertools.combinations(range(problem.n), problem.k) if i in S)
    slack = 1e-12 * (1 + abs(best)) if math.isfinite(best) else 0.0
    assert all(bound >= best - slack for bound in upper_bounds(problem).values())


def test_names_by_objective():
    """The bounds that apply, by name."""
    X = np.random.default_rng(0).standard_normal((8, 4))
    D = np.random.default_rng(1).random((8, 8))
    D = np.triu(D, 1) + np.triu(D, 1).T
    D[0, 1] = D[1, 0] = 9  # breaks the triangle inequality
    assert list(upper_bounds(MaxMinDiversity.from_features(X, 3))) == ["angle", "simplex", "colouring"]
    assert list(upper_bounds(MaxMinDiversity.from_features(X, 3, "euclidean"))) == ["angle", "colouring"]
    assert list(upper_bounds(MaxMinDiversity.from_distances(D, 3))) == ["colouring"]
    assert list(upper_bounds(ConditionalDPP.from_features(X, 3))) == ["hadamard", "spectral", "ddfact"]
    assert list(upper_bounds(ImplicitWeight.from_keys_values(X, X, 3))) == ["qp", "sdp"]


def test_nothing_to_choose_is_exact():
    """k = 0 and k = n (and one token for max-min) have the optimum itself."""
    X = np.random.default_rng(2).standard_normal((5, 7))
    for problem in (
        MaxMinDiversity.from_features(X, 0),
        MaxMinDiversity.from_features(X, 1),
        MaxMinDiversity.from_features(X, 5),
        ConditionalDPP.from_features(X, 0),
        ConditionalDPP.from_features(X, 5),
        ImplicitWeight.from_keys_values(X, X, 0),
        ImplicitWeight.from_keys_values(X, X, 5),
    ):
        assert upper_bounds(problem) == {"exact": problem.value(range(problem.k))}


def test_more_tokens_than_rank():
    """Every set is singular, and the bounds that see the spectrum say -inf; Hadamard's cannot."""
    bounds = upper_bounds(ConditionalDPP.from_features(np.random.default_rng(3).standard_normal((9, 4)), 5))
    assert bounds["spectral"] == bounds["ddfact"] == -math.inf < bounds["hadamard"]
    weightless = ConditionalDPP.from_features(np.eye(4), 3, [1.0, 0.0, 1.0, 0.0])
    assert set(upper_bounds(weightless).values()) == {-math.inf}


def test_zero_rows_do_not_mislead_the_angle_bound():
    """Every token has a copy and the first is zero: a run from there would see nothing, the optimum is 1."""
    problem = MaxMinDiversity.from_features([[0, 0], [1, 0], [1, 0], [0, 1], [0, 1]], k=2)
    assert all(bound >= 1 for bound in upper_bounds(problem).values())
    assert upper_bounds(problem)["colouring"] == 1


def test_a_metric_up_to_rounding():
    """A matrix passes as a metric when it breaks the triangle inequality by 1e-9: the angle bound allows for that."""
    places = np.array([-1, -0.999, 0, 0.999, 1])
    D = np.abs(places[:, None] - places[None, :])
    D[0, 4] = D[4, 0] = 2 + 1e-9
    problem = MaxMinDiversity.from_distances(D, 2)
    assert upper_bounds(problem)["angle"] >= 2 + 1e-9  # greedy starts in the middle and sees 1
    assert upper_bounds(problem)["angle"] < 2.1


def test_an_objective_of_the_users_own_gets_no_bound():
    """Where nothing is known nothing is claimed."""

    class Count(Problem):
        name, gap_kind = "count", "relative"

        def _value(self, subset):
            return float(len(subset))

    assert upper_bounds(Count(GroundSet(np.eye(3)), 2)) == {}
    assert upper_bounds(Count(GroundSet(np.eye(3)), 3)) == {"exact": 3.0}


def test_a_relaxed_bound_cannot_be_changed():
    """Its arrays are copies, and read-only: certificates outlive the solver that made them."""
    x = np.ones(2)
    bound = RelaxedBound(1.0, x, x)
    x[0] = 5
    assert bound.x.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        bound.gradient[0] = 2

"""Upper bounds on max-min diversity against brute force, and where they are attained."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import GroundSet, MaxMinDiversity
from mmdp.bounds import angle_bound, colouring_bound, simplex_bound
from mmdp.bounds.far_graph import absorb


def optimum(distances, k):
    """max over |S| = k of the least pairwise distance, by enumeration."""
    return max(
        min((distances[i, j] for i, j in itertools.combinations(S, 2)), default=math.inf)
        for S in itertools.combinations(range(len(distances)), k)
    )


def farthest_first(distances, k, start):
    """The literal loop; returns the least pairwise distance of its picks."""
    picks = [start]
    while len(picks) < k:
        score = distances[:, picks].min(axis=1)
        score[picks] = -1
        picks.append(int(np.argmax(score)))
    return min(distances[i, j] for i, j in itertools.combinations(picks, 2))


@st.composite
def features(draw):
    """Gaussian, clustered or duplicated rows; all nonzero."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, d = draw(st.integers(3, 9)), draw(st.integers(1, 4))
    X = rng.standard_normal((n, d)) + draw(st.sampled_from([0.0, 3.0]))
    if draw(st.booleans()):
        X = X[rng.integers(0, max(1, n // 2), n)]
    return X + draw(st.sampled_from([0.0, 1e-4, 1e-2])) * rng.standard_normal((n, d))


@given(features(), st.data())
@settings(deadline=None, max_examples=150)
def test_angle_bound_after_any_start(X, data):
    """The value of a farthest-first run from any token bounds the optimum in every metric, near-duplicates included."""
    for metric in ("cosine", "chordal", "euclidean"):
        distances = GroundSet(X, metric).distances
        k = data.draw(st.integers(2, len(X)))
        value = farthest_first(distances, k, data.draw(st.integers(0, len(X) - 1)))
        assert angle_bound(value, metric) >= optimum(distances, k)


@pytest.mark.parametrize("d", [1e-5, 0.1, 0.5, 0.999, 1.0, 1.5, 2.0])
def test_angle_bound_is_the_doubled_angle(d):
    """The closed form equals 1 - cos(min(pi, 2 arccos(1 - d))), and the chord of the same angle."""
    doubled = 1 - math.cos(min(math.pi, 2 * math.acos(1 - d)))
    assert angle_bound(d) == pytest.approx(doubled, abs=1e-10)
    assert angle_bound(math.sqrt(2 * d), "chordal") == pytest.approx(math.sqrt(2 * doubled), abs=1e-8)
    assert angle_bound(d, "euclidean") == pytest.approx(2 * d)


def test_angle_bound_is_attained():
    """Five vectors on an arc: greedy picks the middle, the optimum are the two ends at twice the angle."""
    t, e = 0.3, 1e-3
    angles = np.array([-t, -t + e, 0.0, t - e, t])
    problem = MaxMinDiversity.from_features(np.stack([np.cos(angles), np.sin(angles)], axis=1), k=2)
    value = farthest_first(problem.distances, 2, start=2)
    best = optimum(problem.distances, 2)
    assert best <= angle_bound(value) <= best + 1e-9


def test_angle_bound_knows_what_is_snapped():
    """Two tokens 1.2e-6 apart in 1 - cos with a third between: greedy sees only zeros, the bound must not."""
    angles = np.array([0.0, math.acos(1 - 1.2e-6) / 2, math.acos(1 - 1.2e-6)])
    distances = GroundSet(np.stack([np.cos(angles), np.sin(angles)], axis=1)).distances
    assert farthest_first(distances, 2, start=1) == 0 < optimum(distances, 2) <= angle_bound(0.0)


def test_angle_bound_refuses_nonsense():
    """A distance is >= 0 and a metric has a name."""
    with pytest.raises(ValueError, match="greedy_distance must be >= 0"):
        angle_bound(-0.1)
    with pytest.raises(ValueError, match="metric must be one of"):
        angle_bound(0.1, "manhattan")
    assert angle_bound(math.inf) == math.inf


@pytest.mark.parametrize("k", [2, 3, 5, 9])
def test_simplex_bound_is_attained_by_a_regular_simplex(k):
    """The k centred unit vectors of R^k have all distances equal to the bound, and no simplex has a larger one."""
    X = np.eye(k) - 1 / k
    for metric in ("cosine", "chordal"):
        best = MaxMinDiversity.from_features(X, k, metric).value(range(k))
        assert best <= simplex_bound(k, metric) <= best + 1e-9


@given(features(), st.integers(2, 5))
@settings(deadline=None, max_examples=60)
def test_simplex_bound_holds(X, k):
    """No k rows exceed k / (k - 1), zero rows or not."""
    k = min(k, len(X))
    X[0] = 0
    for metric in ("cosine", "chordal"):
        assert optimum(GroundSet(X, metric).distances, k) <= simplex_bound(k, metric)


def test_simplex_bound_needs_angles_and_pairs():
    """There is no bound without angles, nor for fewer than two tokens."""
    assert simplex_bound(3, "euclidean") == math.inf
    assert simplex_bound(1) == math.inf


@st.composite
def distance_matrices(draw):
    """Symmetric matrices with and without ties and structure; no triangle inequality."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n = draw(st.integers(2, 10))
    kind = draw(st.sampled_from(["real", "integer", "constant", "clusters", "cosine"]))
    D = rng.random((n, n))
    if kind == "integer":
        D = rng.integers(0, 4, (n, n)).astype(float)
    elif kind == "constant":
        D = np.full((n, n), 0.5)
    elif kind == "clusters":
        label = rng.integers(0, 4, n)
        D = np.where(label[:, None] == label[None, :], 0.1 * D, 1 + D)
    elif kind == "cosine":
        D = GroundSet(rng.standard_normal((n, 3))).distances
    D = np.triu(D, 1)
    return D + D.T


@given(distance_matrices(), st.data())
@settings(deadline=None, max_examples=400)
def test_colouring_bound_holds(D, data):
    """The bound is one of the distances and at least the optimum."""
    k = data.draw(st.integers(2, len(D)))
    bound = colouring_bound(D, k)
    assert bound >= optimum(D, k)
    assert bound in D[np.triu_indices(len(D), 1)]


@given(distance_matrices())
@settings(deadline=None, max_examples=60)
def test_colouring_bound_is_exact_for_pairs_and_for_all(D):
    """k = 2 asks for the largest distance and k = n for the smallest: no colouring is needed to see that."""
    upper = D[np.triu_indices(len(D), 1)]
    assert colouring_bound(D, 2) == upper.max()
    assert colouring_bound(D, len(D)) == upper.min()


@pytest.mark.parametrize("k", [2, 3, 4, 5, 6])
def test_colouring_bound_is_exact_on_clusters(k):
    """c groups of equal tokens, c far apart: c tokens are far, c + 1 are not, and the far graph is perfect."""
    label = np.repeat(np.arange(4), 3)
    D = np.where(label[:, None] == label[None, :], 0.125, 1.0)
    np.fill_diagonal(D, 0)
    assert colouring_bound(D, k) == optimum(D, k) == (1.0 if k <= 4 else 0.125)


def test_colouring_bound_on_an_odd_cycle():
    """A five-cycle takes three colours though it holds no triangle: only joining classes refutes k = 3."""
    D = np.full((5, 5), 0.5)
    for i in range(5):
        D[i, (i + 1) % 5] = D[(i + 1) % 5, i] = 1.0
    np.fill_diagonal(D, 0)
    assert colouring_bound(D, 3) == 0.5


@pytest.mark.parametrize("twice", ["first", "second"])
def test_a_class_is_joined_once(twice):
    """v joins two classes of two; w then must not use either again, for v, w and a far pair make a clique of four."""
    A, B, C, v, w = (0, 1), (2, 3), (4, 5), 6, 7
    far = np.zeros((8, 8), dtype=bool)
    far[[v, w], :6] = far[v, w] = True  # no edge between the classes that v and later w could join
    far[np.ix_(*((A, C) if twice == "second" else (B, C)))] = True
    far |= far.T
    neighbours = [sum(1 << int(j) for j in np.flatnonzero(row)) for row in far]
    classes = [sum(1 << i for i in group) for group in (A, B, C)]
    assert absorb(neighbours, list(classes), 1 << v) is not None
    assert absorb(neighbours, list(classes), 1 << v | 1 << w) is None


def test_colouring_bound_at_the_true_size():
    """576 Gaussian tokens: between the greedy value and the simplex bound, and the same when asked again."""
    D = GroundSet(np.random.default_rng(0).standard_normal((576, 64))).distances
    bound = colouring_bound(D, 64)
    assert farthest_first(D, 64, 0) < bound < simplex_bound(64)
    assert bound == colouring_bound(D.copy(), 64)


def test_colouring_bound_checks_its_input():
    """Fewer than two tokens have no distance; k is at most n."""
    assert colouring_bound(np.zeros((3, 3)), 1) == math.inf
    with pytest.raises(ValueError, match="k must be between 0 and n = 3"):
        colouring_bound(np.zeros((3, 3)), 4)

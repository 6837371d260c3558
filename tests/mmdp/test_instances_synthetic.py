"""Gaussian, clustered and duplicated tokens."""

import numpy as np
import pytest

from mmdp.instances import clustered, duplicates, gaussian

MAKERS = [
    lambda seed: gaussian(80, 16, seed),
    lambda seed: clustered(80, 16, 6, seed),
    lambda seed: duplicates(80, 16, 9, seed),
]


def effective_rank(X: np.ndarray) -> float:
    spectrum = np.linalg.svd(X, compute_uv=False) ** 2
    return spectrum.sum() ** 2 / (spectrum**2).sum()


def greedy_log_det(L: np.ndarray, k: int) -> float:
    """Greedy MAP, literally: the largest determinant at every step."""
    chosen: list[int] = []
    for _ in range(k):
        gains = {
            i: np.linalg.slogdet(L[np.ix_([*chosen, i], [*chosen, i])])[1] for i in range(len(L)) if i not in chosen
        }
        chosen.append(max(gains, key=lambda i: (gains[i], -i)))
    return float(np.linalg.slogdet(L[np.ix_(chosen, chosen)])[1])


def greedy_energy(G: np.ndarray, k: int) -> float:
    """Evict, n - k times, the token that adds the least energy to the evicted."""
    evicted: list[int] = []
    cost = np.diag(G).copy()
    for _ in range(len(G) - k):
        open_cost = cost.copy()
        open_cost[evicted] = np.inf
        evicted.append(int(open_cost.argmin()))
        cost += 2 * G[evicted[-1]]
    return float(G[np.ix_(evicted, evicted)].sum())


@pytest.mark.parametrize("make", MAKERS)
def test_instances_are_complete(make):
    """Unit rows, relevance in [0.05, 1], one head of keys and values; every objective can be posed."""
    instance = make(0)
    np.testing.assert_allclose(np.linalg.norm(instance.features, axis=1), 1.0, atol=1e-12)
    assert instance.relevance.shape == (80,)
    assert 0.05 - 1e-12 <= instance.relevance.min() <= instance.relevance.max() <= 1 + 1e-12
    assert instance.keys.shape == instance.values.shape == (1, 80, 64)
    assert instance.objectives == ("max-min", "conditional-dpp", "implicit-weight")


@pytest.mark.parametrize("make", MAKERS)
def test_the_seed_decides_everything(make):
    """The same seed gives the same bits in every array, another seed other tokens, and a name of its own."""
    first, again, other = make(4), make(4), make(5)
    for part in ("features", "relevance", "keys", "values"):
        assert getattr(first, part).tobytes() == getattr(again, part).tobytes()
    assert not np.array_equal(first.features, other.features)
    assert first.name == again.name != other.name


def test_gaussian_distances_concentrate():
    """Independent directions are nearly orthogonal, and 576 of them in 64 dimensions have effective rank 57.5."""
    X = gaussian(576, 64).features
    assert abs((X @ X.T - np.eye(576)).mean()) < 0.01
    assert effective_rank(X) == pytest.approx(57.5, abs=0.1)


@pytest.mark.parametrize(("n", "k", "value"), [(100, 10, -2.67663), (50, 25, -20.29490)])
def test_gaussian_log_det_is_as_measured(n, k, value):
    """Greedy MAP on these instances reaches the value proved optimal for the same recipe."""
    kernel = gaussian(n, 64).problem("conditional-dpp", k).kernel
    assert greedy_log_det(kernel, k) == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize(("n", "k", "energy"), [(100, 10, 68.68299), (100, 50, 5.95456), (200, 20, 171.94427)])
def test_gaussian_energy_is_as_measured(n, k, energy):
    """Greedy eviction on these instances reaches the energy proved optimal for the same recipe."""
    gram = gaussian(n, 64).problem("implicit-weight", k).gram
    assert greedy_energy(gram, k) == pytest.approx(energy, abs=1e-5)


def test_clustered_tokens_share_a_mean_and_fall_into_clusters():
    """Cosines inside and between clusters are those of the docstring; without noise a cluster is one point."""
    still = clustered(300, 256, 10, mean=2.0, noise=0.0).features
    cluster = np.unique(still.round(12), axis=0, return_inverse=True)[1].ravel()
    assert cluster.max() == 9
    X = clustered(300, 256, 10, mean=2.0, noise=0.5).features
    same = (cluster[:, None] == cluster[None, :]) & ~np.eye(300, dtype=bool)
    cosines = X @ X.T
    assert cosines[same].mean() == pytest.approx(5 / 5.25, abs=0.02)
    assert cosines[cluster[:, None] != cluster[None, :]].mean() == pytest.approx(4 / 5.25, abs=0.03)
    assert effective_rank(X) < 2


def test_clusters_are_of_equal_size():
    """Clusters differ by at most one token."""
    rows = clustered(23, 8, 5, noise=0.0).features
    sizes = np.unique(rows.round(12), axis=0, return_counts=True)[1]
    assert sorted(sizes.tolist()) == [4, 4, 5, 5, 5]


def test_changed_parameters_show_in_the_name():
    """Two different instances never share a name."""
    assert clustered(10, 4, 2).name == "clustered/10x4x2/0"
    assert clustered(10, 4, 2, mean=0.5).name != clustered(10, 4, 2).name


def test_duplicates_agree_bit_by_bit():
    """Copies are equal in every array, so that no rounding can tell them apart, and their distance is exactly 0."""
    instance = duplicates(50, 16, 7, seed=2)
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(instance.features):
        groups.setdefault(row.tobytes(), []).append(i)
    assert len(groups) == 7
    distances = instance.problem("max-min", 8).distances
    for members in groups.values():
        assert len(np.unique(instance.relevance[members])) == 1
        assert len(np.unique(instance.keys[0, members], axis=0)) == 1
        assert len(np.unique(instance.values[0, members], axis=0)) == 1
        assert not distances[np.ix_(members, members)].any()


def test_sizes_are_checked():
    """Impossible sizes are refused with the allowed range."""
    with pytest.raises(ValueError, match="d must be >= 1, got 0"):
        gaussian(3, 0)
    with pytest.raises(ValueError, match="clusters must be between 1 and 3, got 4"):
        clustered(3, 2, 4)
    with pytest.raises(ValueError, match="noise must be >= 0 and finite, got -1"):
        clustered(3, 2, 1, noise=-1)
    with pytest.raises(ValueError, match="distinct must be between 1 and 3, got 0"):
        duplicates(3, 2, 0)

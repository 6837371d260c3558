"""Random tokens: independent Gaussians, clusters around a common mean, exact duplicates."""

from __future__ import annotations

import numpy as np

from mmdp.instances.instance import Instance
from mmdp.instances.recipes import keys_values, relevance_to_query, unit_rows, whole

MEAN, NOISE = 1.0, 0.5


def gaussian(n: int, d: int, seed: int = 0) -> Instance:
    """n independent directions, uniform on the unit sphere of R^d.

    The hard case for every proof: distances concentrate around 1, so nothing can be told apart early.

    Examples
    --------
    >>> instance = gaussian(100, 64)
    >>> instance.name, instance.features.shape, instance.keys.shape
    ('gaussian/100x64/0', (100, 64), (1, 100, 64))
    """
    n, d, seed = whole(n, "n", 1), whole(d, "d", 1), whole(seed, "seed", 0)
    X = unit_rows(np.random.default_rng(seed).standard_normal((n, d)))
    K, V = keys_values(X, seed, uneven=True)
    return Instance(
        name=f"gaussian/{n}x{d}/{seed}",
        features=X,
        relevance=relevance_to_query(X, seed),
        keys=K,
        values=V,
        source={"kind": "standard normal rows, scaled to unit norm", "seed": str(seed)},
    )


def clustered(n: int, d: int, clusters: int, seed: int = 0, *, mean: float = MEAN, noise: float = NOISE) -> Instance:
    """Clusters around a common mean direction, as the tokens of a vision transformer.

    Row i is mean * m + c_l + noise * e_i, scaled to unit norm, where l is the cluster of token i, m a random unit
    vector, and the c_l and e_i are normal with variance 1 / d per column (length about 1). Clusters differ in size by
    at most one token and are spread over the indices at random.

    Parameters
    ----------
    n, d, clusters : tokens, width, and 1 <= clusters <= n.
    mean : length of the common part, >= 0; cosines between clusters are about mean^2 / (mean^2 + 1 + noise^2).
    noise : radius of a cluster, >= 0; cosines inside one are about (mean^2 + 1) / (mean^2 + 1 + noise^2).

    Examples
    --------
    >>> instance = clustered(60, 16, 5)
    >>> cosines = instance.features @ instance.features.T
    >>> bool(0.2 < cosines.mean() < 0.7)
    True
    """
    n, d, seed = whole(n, "n", 1), whole(d, "d", 1), whole(seed, "seed", 0)
    clusters = whole(clusters, "clusters", 1, n)
    for name, size in (("mean", mean), ("noise", noise)):
        if not 0 <= size < np.inf:
            raise ValueError(f"{name} must be >= 0 and finite, got {size}")
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % clusters)
    common = mean * unit_rows(rng.standard_normal((1, d)))
    centres = rng.standard_normal((clusters, d)) / np.sqrt(d)
    X = unit_rows(common + centres[labels] + noise * rng.standard_normal((n, d)) / np.sqrt(d))
    K, V = keys_values(X, seed, uneven=True)
    suffix = "" if (mean, noise) == (MEAN, NOISE) else f" mean={mean:g} noise={noise:g}"
    return Instance(
        name=f"clustered/{n}x{d}x{clusters}/{seed}{suffix}",
        features=X,
        relevance=relevance_to_query(X, seed),
        keys=K,
        values=V,
        source={
            "kind": f"{clusters} Gaussian clusters around a common mean",
            "mean": f"{mean:g}",
            "noise": f"{noise:g}",
            "seed": str(seed),
        },
    )


def duplicates(n: int, d: int, distinct: int, seed: int = 0) -> Instance:
    """Only `distinct` different tokens, repeated to n; copies agree bit by bit in every array.

    As padding, newline tokens and blank pages do: any k > distinct forces equal tokens into the kept set, so the best
    min distance is 0 and the best log det is minus infinity.

    Examples
    --------
    >>> instance = duplicates(9, 4, 3)
    >>> len({row.tobytes() for row in instance.features})
    3
    """
    n, d, seed = whole(n, "n", 1), whole(d, "d", 1), whole(seed, "seed", 0)
    distinct = whole(distinct, "distinct", 1, n)
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % distinct)
    rows = unit_rows(rng.standard_normal((distinct, d)))
    K, V = keys_values(rows, seed)
    return Instance(
        name=f"duplicates/{n}x{d}x{distinct}/{seed}",
        features=rows[labels],
        relevance=relevance_to_query(rows, seed)[labels],
        keys=K[:, labels],
        values=V[:, labels],
        source={"kind": f"{distinct} standard normal rows, repeated", "seed": str(seed)},
    )

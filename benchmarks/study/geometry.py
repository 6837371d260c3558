"""How the tokens of an instance lie: four numbers that may explain how hard it is."""

from __future__ import annotations

import numpy as np

from mmdp import GroundSet
from mmdp.checks import Float
from mmdp.instances import Instance

KEPT = 0.9  # share of the ratios that the TwoNN fit uses


def geometry(instance: Instance) -> dict[str, float | None]:
    """Participation ratio of the rows as they are and of the centred rows, TwoNN dimension, spread of distances.

    Only the last two are known where there are distances but no features; TwoNN is None with fewer than ten ratios.
    """
    if instance.features is None:
        distances = np.asarray(instance.distances)
        return {"raw_ratio": None, "centred_ratio": None, "two_nn": two_nn(distances), "spread": spread(distances)}
    X = np.asarray(instance.features, dtype=np.float64)
    distances = GroundSet(X).distances
    return {
        "raw_ratio": participation_ratio(X),
        "centred_ratio": participation_ratio(X - X.mean(axis=0)),
        "two_nn": two_nn(np.sqrt(2 * distances)),
        "spread": spread(distances),
    }


def participation_ratio(X: Float) -> float:
    """(sum_i l_i)^2 / sum_i l_i^2, l the eigenvalues of X^T X: how many directions share the energy evenly.

    >>> participation_ratio(np.eye(5))
    5.0
    """
    spectrum = np.linalg.svd(X, compute_uv=False) ** 2
    return float(spectrum.sum() ** 2 / (spectrum**2).sum())


def spread(distances: Float) -> float:
    """Standard deviation over mean of the pair distances."""
    pairs = distances[np.triu_indices(len(distances), 1)]
    return float(pairs.std() / pairs.mean())


def two_nn(distances: Float) -> float | None:
    """Intrinsic dimension from the ratios mu of the second to the first neighbour's distance.

    On a d-dimensional manifold P(mu <= x) = 1 - x^-d, so -log(1 - F) over log mu is a line of slope d through the
    origin; it is fitted to the lowest nine tenths of the ratios (Facco et al. 2017). Copies of a token are left out.
    """
    others = distances + np.where(np.eye(len(distances), dtype=bool), np.inf, 0.0)
    first, second = np.sort(others, axis=1)[:, :2].T
    ratios = np.sort(second[first > 0] / first[first > 0])
    used = int(KEPT * len(ratios))
    if used < 10:
        return None
    x = np.log(ratios[:used])
    y = -np.log(1 - np.arange(1, used + 1) / len(ratios))
    return float((x * y).sum() / (x * x).sum()) if x.any() else None

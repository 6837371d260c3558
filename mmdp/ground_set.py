"""The ground set: the tokens one chooses from, with their distances."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

from mmdp.checks import Bool, Float, as_distances, as_features
from mmdp.duplicates import copy_equal_tokens, first_copies

Metric = Literal["cosine", "chordal", "euclidean", "precomputed"]
SNAP = 1e-6  # 1 - cos below this is 0: rounding would otherwise order exact duplicates at random
ZERO_NORM = 1e-12


class GroundSet:
    """n tokens and how far apart they are.

    * ``cosine``: d_ij = 1 - cos(x_i, x_j), in [0, 2]; half the squared chord, **not** a metric;
    * ``chordal``: d_ij = sqrt(2 - 2 cos(x_i, x_j)), in [0, 2]; a metric with the same order;
    * ``euclidean``: d_ij = ||x_i - x_j||;
    * ``precomputed``: a matrix the user brings (`from_distances`).

    For the two angular distances, 1 - cos below 1e-6 counts as 0 and rows of norm <= 1e-12 are at distance 0 from
    everything, so that no objective gains by them.

    Parameters
    ----------
    features : (n, d) array of finite reals, kept in its own dtype; all arithmetic is in float64.
    metric : one of the first three names above.

    Examples
    --------
    >>> import numpy as np
    >>> GroundSet(np.eye(3)).distances
    array([[0., 1., 1.],
           [1., 0., 1.],
           [1., 1., 0.]])
    """

    features: npt.NDArray[Any] | None
    metric: Metric
    n: int

    def __init__(self, features: Any, metric: Metric = "cosine") -> None:
        allowed = get_args(Metric)[:3]
        if metric not in allowed:
            raise ValueError(f"metric must be one of {', '.join(allowed)}, got {metric!r}")
        self.features = as_features(features)
        self.metric = metric
        self.n = len(self.features)

    @classmethod
    def from_distances(cls, distances: Any) -> GroundSet:
        """A ground set known only by its symmetric, non-negative (n, n) distances with zero diagonal."""
        ground = cls.of_size(0)
        matrix = as_distances(distances)
        ground.n = len(matrix)
        ground.__dict__["distances"] = matrix  # fills the cache of the property
        return ground

    @classmethod
    def of_size(cls, n: int) -> GroundSet:
        """n tokens of which nothing is known (the objective brings its own kernel or Gram matrix)."""
        ground = cls.__new__(cls)
        ground.features, ground.metric, ground.n = None, "precomputed", n
        return ground

    @property
    def is_metric(self) -> bool:
        """Whether d obeys the triangle inequality; tested entry by entry in O(n^3) when the distances were given."""
        return self._obeys_triangle if self.metric == "precomputed" else self.metric != "cosine"

    @cached_property
    def _obeys_triangle(self) -> bool:
        d = self.distances
        slack = 1e-9 * max(float(d.max(initial=0.0)), np.finfo(float).tiny)
        return all(bool((d <= d[:, [j]] + d[[j], :] + slack).all()) for j in range(self.n))

    @cached_property
    def units(self) -> Float:
        """(n, d) rows x_i / ||x_i||; rows of norm <= 1e-12 become zero."""
        if self.features is None:
            raise ValueError("this ground set was given without features")
        x = self.features.astype(np.float64)
        peak = np.abs(x).max(axis=1, keepdims=True)
        x = x / np.where(peak > 0, peak, 1.0)  # no overflow or underflow in the squares
        norm = np.linalg.norm(x, axis=1, keepdims=True)
        units: Float = np.where(norm * peak > ZERO_NORM, x / np.where(norm > 0, norm, 1.0), 0.0)
        return units

    @cached_property
    def zero_rows(self) -> Bool:
        """Which tokens carry no direction: chosen last, in index order, by every solver."""
        if self.features is None or self.metric == "euclidean":  # the origin is a place like any other
            return np.zeros(self.n, dtype=np.bool_)
        return np.asarray(~self.units.any(axis=1))

    @cached_property
    def cosines(self) -> Float:
        """(n, n) cosines in [-1, 1]; 1 on the diagonal of non-zero rows, 0 at zero rows; the same for equal rows."""
        u = self.units
        cosines: Float = np.clip(u @ u.T, -1.0, 1.0)
        cosines = (cosines + cosines.T) / 2
        np.fill_diagonal(cosines, np.where(self.zero_rows, 0.0, 1.0))
        return copy_equal_tokens(cosines, first_copies(u))

    @cached_property
    def distances(self) -> Float:
        """(n, n) distances, symmetric with zero diagonal."""
        if self.features is None:
            raise ValueError("this ground set was given without features or distances")
        if self.metric == "euclidean":
            x = self.features.astype(np.float64)
            d: Float = cdist(x, x)
        else:
            d = 1.0 - self.cosines
            d[d < SNAP] = 0.0
            d[self.zero_rows, :] = 0.0
            d[:, self.zero_rows] = 0.0
            if self.metric == "chordal":
                d = np.sqrt(2.0 * d)
        np.fill_diagonal(d, 0.0)
        return d

"""An instance: tokens (or distances) with everything the objectives may need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mmdp.checks import as_budget, as_distances, as_features, as_heads, as_weights
from mmdp.objectives import OBJECTIVES, ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Instance:
    """Named data from which problems are posed; checked when made.

    Attributes
    ----------
    name : unique, as in `mmdp instances`.
    features : (n, d) tokens; None where only distances are known.
    distances : (n, n); None where features are known.
    relevance : (n,) >= 0, already scaled; None where there is no text.
    keys, values : (H, n, d) and (H, n, d_v) of one attention layer; None where unknown.
    query : (H, m, d) query vectors for the keys, or None.
    grid : rows and columns of the patch grid the tokens come from, or None.
    image : (height, width, 3) uint8 picture the tokens come from, or None.
    k : the customary budget of a benchmark instance, or None.
    source : where it comes from: model, layer, photo, seed, ...
    """

    name: str
    features: Array | None = None
    distances: Array | None = None
    relevance: Array | None = None
    keys: Array | None = None
    values: Array | None = None
    query: Array | None = None
    grid: tuple[int, int] | None = None
    image: Array | None = None
    k: int | None = None
    source: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.features is None) == (self.distances is None):
            raise ValueError(f"instance {self.name!r} must have either features or distances")
        n = self.n
        if self.features is not None:
            as_features(self.features)
        else:
            as_distances(self.distances)
        if self.relevance is not None:
            as_weights(self.relevance, n, "relevance")
        if (self.keys is None) != (self.values is None):
            raise ValueError(f"instance {self.name!r} must have both keys and values, or neither")
        for part, array in (("keys", self.keys), ("values", self.values)):
            if array is not None and as_heads(array, part).shape[1] != n:
                raise ValueError(f"{part} must have one row per token, got shape {array.shape} for {n} tokens")
        if self.grid is not None and self.grid[0] * self.grid[1] != n:
            raise ValueError(f"grid must have {n} cells, got {self.grid[0]} x {self.grid[1]}")
        if self.image is not None and (self.image.dtype != np.uint8 or self.image.shape[2:] != (3,)):
            raise ValueError(
                f"image must be (height, width, 3) uint8, got {self.image.dtype} of shape {self.image.shape}"
            )
        if self.k is not None:
            as_budget(self.k, n)

    @property
    def n(self) -> int:
        """Number of tokens."""
        array = self.features if self.features is not None else self.distances
        return 0 if array is None else len(array)

    @property
    def objectives(self) -> tuple[str, ...]:
        """The objectives that can be posed with this data."""
        names = [MaxMinDiversity.name]
        if self.features is not None:
            names.append(ConditionalDPP.name)
        if self.keys is not None:
            names.append(ImplicitWeight.name)
        return tuple(names)

    def problem(self, objective: str, k: int) -> Problem:
        """The problem of keeping k of these tokens; ValueError where the instance lacks the data."""
        if objective == MaxSumDiversity.name:
            if self.features is not None:
                return MaxSumDiversity.from_features(self.features, k)
            return MaxSumDiversity.from_distances(self.distances, k)
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}; there are {', '.join(OBJECTIVES)}")
        if objective not in self.objectives:
            raise ValueError(
                f"instance {self.name!r} has no data for objective {objective!r}; it has {', '.join(self.objectives)}"
            )
        if objective == ConditionalDPP.name:
            return ConditionalDPP.from_features(self.features, k, self.relevance)
        if objective == ImplicitWeight.name:
            return ImplicitWeight.from_keys_values(self.keys, self.values, k)
        if self.features is not None:
            return MaxMinDiversity.from_features(self.features, k)
        return MaxMinDiversity.from_distances(self.distances, k)

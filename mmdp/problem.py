"""A problem: a ground set, a budget, constraints, and a value to maximise."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np

from mmdp.checks import Int, as_budget, as_subset
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet

GapKind = Literal["relative", "absolute"]


class Problem(ABC):
    """max value(S) over S in {0 .. n-1}, |S| = k, S within the constraints.

    A new objective is a subclass with a `name`, a `gap_kind` and `value`; see the how-to page.

    Parameters
    ----------
    ground : the tokens.
    k : how many to keep, 0 <= k <= n.
    constraints : optional side constraints.
    """

    name: ClassVar[str]
    gap_kind: ClassVar[GapKind]

    def __init__(self, ground: GroundSet, k: int, constraints: Constraints | None = None) -> None:
        self.ground = ground
        self.k = as_budget(k, ground.n)
        self.constraints = Constraints() if constraints is None else constraints
        self.constraints.check(ground.n)

    @property
    def n(self) -> int:
        """Number of tokens in the ground set."""
        return self.ground.n

    def value(self, subset: Sequence[int] | Int | Any) -> float:
        """The objective of any subset (its size need not be k), by the definition, in float64."""
        return self._value(np.sort(as_subset(subset, self.n)))

    @abstractmethod
    def _value(self, subset: Int) -> float:
        """The definition, for distinct indices in range, ascending: rounding too depends on the set alone."""

    def with_k(self, k: int) -> Self:
        """The same problem for another budget; computed matrices are shared."""
        other = copy.copy(self)
        other.k = as_budget(k, self.n)
        return other

    def __repr__(self) -> str:
        extra = ", constrained" if self.constraints else ""
        return f"{type(self).__name__}(n={self.n}, k={self.k}{extra})"

"""Side constraints on the kept set: must-keep tokens, forbidden pairs, quotas per group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mmdp.checks import Int


@dataclass(frozen=True)
class Constraints:
    """What a kept set S must satisfy beside |S| = k. A solver that cannot honour a constraint raises.

    Parameters
    ----------
    keep : tokens that must be in S.
    forbidden_pairs : pairs (i, j), i != j, that must not both be in S.
    groups : one label (a whole number) per token, for instance the image or the region it comes from.
    min_per_group, max_per_group : label -> least and greatest number of kept tokens of that group.
    """

    keep: tuple[int, ...] = ()
    forbidden_pairs: tuple[tuple[int, int], ...] = ()
    groups: tuple[int, ...] | None = None
    min_per_group: Mapping[int, int] = field(default_factory=dict)
    max_per_group: Mapping[int, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """True when anything is asked at all."""
        return bool(self.keep or self.forbidden_pairs or self.min_per_group or self.max_per_group)

    def check(self, n: int) -> None:
        """Raise ValueError where the constraints do not fit n tokens."""
        for i in self.keep:
            if not 0 <= i < n:
                raise ValueError(f"keep must hold indices between 0 and {n - 1}, got {i}")
        for i, j in self.forbidden_pairs:
            if not (0 <= i < n and 0 <= j < n and i != j):
                raise ValueError(f"forbidden_pairs must hold two distinct indices between 0 and {n - 1}, got {(i, j)}")
        if self.groups is not None and len(self.groups) != n:
            raise ValueError(f"groups must have one label per token, got {len(self.groups)} for {n} tokens")
        labels = set(self.groups or ())
        for name, quota in (("min_per_group", self.min_per_group), ("max_per_group", self.max_per_group)):
            for label, count in quota.items():
                if label not in labels:
                    raise ValueError(f"{name} names group {label}, which no token belongs to")
                if count < 0:
                    raise ValueError(f"{name} must be >= 0, got {count} for group {label}")

    def members(self, label: int) -> Int:
        """The tokens of a group, ascending."""
        return np.flatnonzero(np.asarray(self.groups) == label)

    def violation(self, subset: Int) -> str | None:
        """The first constraint that `subset` breaks, in words; None when it breaks none."""
        chosen = set(subset.tolist())
        for i in self.keep:
            if i not in chosen:
                return f"token {i} must be kept"
        for i, j in self.forbidden_pairs:
            if i in chosen and j in chosen:
                return f"tokens {i} and {j} must not both be kept"
        for label, least in self.min_per_group.items():
            if len(chosen.intersection(self.members(label).tolist())) < least:
                return f"group {label} must keep at least {least} tokens"
        for label, most in self.max_per_group.items():
            if len(chosen.intersection(self.members(label).tolist())) > most:
                return f"group {label} must keep at most {most} tokens"
        return None

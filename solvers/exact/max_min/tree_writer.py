"""Collects the steps of a `CliqueTree` while a proof is made."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mmdp.checks import Float, Int
from solvers.exact.max_min.node_log import MOST_VERTICES, NOTHING, Short
from solvers.exact.max_min.tree_log import SEARCH, THETA, CliqueTree, Half

MOST_BYTES = 100_000_000


@dataclass
class TreeWriter:
    """Collects the steps of a proof; `certificate` is None once there would be too many bytes."""

    steps: list[Int] = field(default_factory=list)
    log: list[Short] = field(default_factory=list)
    multipliers: list[Half] = field(default_factory=list)
    bytes_left: int = MOST_BYTES

    def search(self, order: Int, log: Short | None) -> None:
        """A search on these vertices in this order; None for a log that became too long."""
        self._step(SEARCH, order)
        self.log.append(NOTHING if log is None else log)
        self.bytes_left = -1 if log is None else self.bytes_left - log.nbytes

    def theta(self, branches: Int, multiplier: Float) -> None:
        """Branching on these vertices, with the multiplier of the others."""
        self._step(THETA, branches)
        self.multipliers.append(multiplier[np.triu_indices(len(multiplier), 1)].astype(np.float16))
        self.bytes_left -= self.multipliers[-1].nbytes

    def _step(self, kind: int, named: Int) -> None:
        self.steps.append(np.concatenate([[kind, len(named)], named]).astype(np.int64))
        self.bytes_left -= self.steps[-1].nbytes

    @property
    def most_words(self) -> int:
        """What the log of the next search may take."""
        return max(0, self.bytes_left // 2)

    def certificate(self, threshold: float, k: int, groups: Int) -> CliqueTree | None:
        """Of what was written; None where it is too long."""
        if self.bytes_left < 0 or len(groups) > MOST_VERTICES:
            return None
        log = np.concatenate([NOTHING, *self.log])
        multipliers = np.concatenate([np.zeros(0, np.float16), *self.multipliers])
        return CliqueTree(threshold, k, groups, np.concatenate(self.steps), log, multipliers)

"""What `solve` hands to a solver, and what a solver hands back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmdp import Status
from mmdp.certificates import Certificate
from mmdp.checks import Int


@dataclass(frozen=True)
class Request:
    """The run-time side of a call: a clock that is already running, and a seed."""

    time_limit: float | None = None
    seed: int = 0
    started: float = field(default_factory=time.perf_counter)

    @property
    def left(self) -> float:
        """Seconds left; inf without a limit, never below 0."""
        if self.time_limit is None:
            return math.inf
        return max(0.0, self.time_limit - (time.perf_counter() - self.started))


@dataclass(frozen=True)
class Answer:
    """Indices and the best proven upper bound. The objective is not here: `solve` recomputes it.

    `status` OPTIMAL says that the solver proved its set optimal; INFEASIBLE that no set satisfies the constraints.
    `certificate` is None, or proves at most `bound` (up to 1e-9). `compile_seconds` is time spent on just-in-time
    compilation, which does not count as solving.
    """

    indices: Sequence[int] | Int
    bound: float = math.inf
    status: Status = Status.FEASIBLE
    stats: dict[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None
    compile_seconds: float = 0.0

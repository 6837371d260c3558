"""The one result type: which tokens, how good, how good at best, and why the solver stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from mmdp.checks import Int
from mmdp.problem import GapKind

if TYPE_CHECKING:
    from mmdp.certificates.certificate import Certificate


class Status(Enum):
    """Why a solver stopped. How good the answer is, is said by the bound."""

    OPTIMAL = "optimal"  #: the objective equals the bound: proved
    FEASIBLE = "feasible"  #: a heuristic ran to its end
    TIME_LIMIT = "time_limit"  #: the best found, and the best bound, when time was up
    INTERRUPTED = "interrupted"  #: the same, when the user stopped it
    INFEASIBLE = "infeasible"  #: no set satisfies the constraints: proved


def optimality_gap(objective: float, bound: float, kind: GapKind) -> float:
    """(bound - objective) / |objective|, or bound - objective for kind "absolute"; never NaN.

    Equal values (also both infinite) give 0; a division by 0 gives inf.

    >>> optimality_gap(0.5, 0.6, "relative"), optimality_gap(-math.inf, -math.inf, "absolute")
    (0.19999999999999996, 0.0)
    """
    if objective == bound:
        return 0.0
    if kind == "absolute" or not math.isfinite(bound - objective):
        return bound - objective
    return (bound - objective) / abs(objective) if objective else math.inf


@dataclass(frozen=True, eq=False)
class Selection:
    """k kept tokens and what is known about them; checks itself when made.

    Attributes
    ----------
    indices : the chosen tokens, in order of selection for greedy solvers, ascending for the rest.
    objective : recomputed from the definition, never the solver's own word.
    bound : no set has a larger objective; inf when nothing was proved.
    status : why the solver stopped.
    solver : "name:backend".
    problem : what was solved, in one line.
    gap_kind : "relative" or "absolute", from the problem.
    seconds : wall-clock time of the solver.
    stats : figures of the solver (nodes, rounds, rank, ...).
    certificate : what proves the bound to anybody (`mmdp.certificates`), or None; `check` verifies it.
    """

    indices: Int
    objective: float
    bound: float
    status: Status
    solver: str
    problem: str
    gap_kind: GapKind
    seconds: float = 0.0
    stats: dict[str, Any] = field(default_factory=dict)
    certificate: Certificate | None = None

    def __post_init__(self) -> None:
        indices = np.array(self.indices, dtype=np.int64).reshape(-1)
        indices.setflags(write=False)
        object.__setattr__(self, "indices", indices)
        if len(np.unique(indices)) != len(indices) or (indices < 0).any():
            raise ValueError(f"indices must be distinct and >= 0, got {indices.tolist()}")
        if math.isnan(self.objective) or math.isnan(self.bound):
            raise ValueError(f"objective and bound must not be NaN, got {self.objective} and {self.bound}")
        if self.bound < self.objective:
            raise ValueError(f"bound must be at least the objective {self.objective}, got {self.bound}")
        if not self.seconds >= 0:
            raise ValueError(f"seconds must be >= 0, got {self.seconds}")
        if self.status is Status.OPTIMAL and self.bound != self.objective:
            raise ValueError(f"an optimal selection has bound = objective, got {self.bound} and {self.objective}")

    @property
    def kept(self) -> Int:
        """The chosen tokens, ascending."""
        return np.sort(self.indices)

    @property
    def gap(self) -> float:
        """How far the objective can at most be from the optimum; see `optimality_gap`."""
        return optimality_gap(self.objective, self.bound, self.gap_kind)

    @property
    def proved(self) -> bool:
        """Whether the answer (a set, or that there is none) is proved."""
        return self.status in (Status.OPTIMAL, Status.INFEASIBLE)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON; infinite numbers become None."""
        return {
            "problem": self.problem,
            "solver": self.solver,
            "status": self.status.value,
            "objective": finite_or_none(self.objective),
            "bound": finite_or_none(self.bound),
            "gap": finite_or_none(self.gap),
            "gap_kind": self.gap_kind,
            "seconds": self.seconds,
            "certificate": None if self.certificate is None else self.certificate.kind,
            "indices": self.indices.tolist(),
            "stats": {key: finite_or_none(value) for key, value in self.stats.items()},
        }

    def __str__(self) -> str:
        kept = np.array2string(self.indices, threshold=12, edgeitems=5, separator=", ")
        unit = "" if self.gap_kind == "absolute" else " (relative)"
        bound = "nothing proved" if self.bound == math.inf else f"bound {self.bound:.6g}, gap {self.gap:.3g}{unit}"
        return (
            f"{self.problem}: {self.solver} {self.status.value} in {self.seconds:.3f} s\n"
            f"  objective {self.objective:.6g}, {bound}\n"
            f"  indices {kept}"
        )


def finite_or_none(value: Any) -> Any:
    """None for an infinite or NaN float (JSON has neither), everything else unchanged."""
    return None if isinstance(value, float) and not math.isfinite(value) else value

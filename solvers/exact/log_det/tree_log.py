"""The log of a branch and bound tree for log det: what was fixed and branched on, and where each bound was taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mmdp import Problem
from mmdp.certificates import Certificate, CertificateError, fields
from mmdp.certificates.plain import dpp_of
from mmdp.checks import Float, Int
from solvers.exact.log_det.evidence import Evidence
from solvers.exact.log_det.tree_verifier import ACTIONS, LINX, SECOND, proved_bound

MOST_BYTES = 100e6
FIX, VANISH, BRANCH, END, TRIVIAL = range(ACTIONS)


class Trail:
    """The steps of one node, in order, and its children.

    Attributes
    ----------
    steps : (evidence, tokens chosen, tokens dropped); without evidence the dropped ones lie in the span of the chosen.
    end : the evidence of the bound of the node; None where its best set is known at once, or there is none.
    split : the token branched on, the child that chooses it and the one that drops it.
    """

    __slots__ = ("end", "split", "steps")

    def __init__(self) -> None:
        self.steps: list[tuple[Evidence | None, Int, Int]] = []
        self.end: Evidence | None = None
        self.split: tuple[int, Trail, Trail] | None = None

    def copy(self) -> Trail:
        """A node with the same steps and no end yet."""
        other = Trail()
        other.steps = list(self.steps)
        return other


@dataclass(frozen=True, eq=False)
class LogDetTree(Certificate):
    """Proof of an upper bound on log det over all sets of k tokens, as a tree in preorder.

    At a node some tokens are chosen and some dropped. Steps fix further tokens, by a bound that no better set with the
    other choice can reach; then the node is branched on a token, first chosen, then dropped, or ends with a bound.
    `proved_bound` recomputes every bound; the points where they are taken need no accuracy.

    Attributes
    ----------
    codes : (T,) the steps: action (fix, vanish, branch, end, trivial) + 5 with a scaling of linx + 10 with a shift.
    tokens : for a fix or vanish how many are chosen and dropped, and which; for a branch the token.
    numbers : cutoff and cap of each evidence.
    points : x of each evidence, with a shift least and y as well, in units of 1 / 65535.
    shifts : theta of linx, and delta, of each evidence that has them.
    """

    kind: ClassVar[str] = "log-det-tree"

    codes: npt.NDArray[np.uint8]
    tokens: Int
    numbers: Float
    points: npt.NDArray[np.uint16]
    shifts: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, most in (("codes", 255), ("points", 65535)):
            array = fields.indices(getattr(self, name), name)
            if array.max(initial=0) > most:
                raise ValueError(f"{name} must be at most {most}, got {array.max()}")
            object.__setattr__(self, name, array.astype(np.uint8 if most == 255 else np.uint16))
        object.__setattr__(self, "tokens", fields.indices(self.tokens, "tokens"))
        object.__setattr__(self, "numbers", fields.reals(self.numbers, "numbers"))
        object.__setattr__(self, "shifts", fields.reals(self.shifts, "shifts").astype(np.float32))

    def verify(self, problem: Problem) -> float:
        """The bound: the largest of those at the ends of the tree. O(m^2 d) to O(m^3) for a step with m free tokens."""
        dpp = dpp_of(problem, self.kind)
        try:
            return proved_bound(dpp, self)
        except (IndexError, ValueError, np.linalg.LinAlgError) as error:
            raise CertificateError(f"the tree does not fit the problem: {error}") from error

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The fields, tokens in 32 bits."""
        return super().arrays() | {"tokens": self.tokens.astype(np.int32)}


class TreeLog:
    """Counts what is written down; `reason` says in words why there will be no certificate, if so."""

    def __init__(self) -> None:
        self.root = Trail()
        self.reason = ""
        self._bytes = 0

    def fix(self, trail: Trail, evidence: Evidence | None, chosen: Int, dropped: Int) -> None:
        """A step that fixes tokens."""
        self._grow(9 + 4 * (len(chosen) + len(dropped)) + (evidence.size if evidence else 0))
        if not self.reason:
            trail.steps.append((evidence, chosen.astype(np.int32), dropped.astype(np.int32)))

    def end(self, trail: Trail, evidence: Evidence | None) -> None:
        """The bound of the node; a later one takes its place."""
        self._grow(1 + (evidence.size if evidence else 0))
        if not self.reason:
            trail.end = evidence

    def split(self, trail: Trail, token: int, chosen: Trail, dropped: Trail) -> None:
        """The node is branched on; its own bound is no longer needed."""
        self._grow(5)
        if not self.reason:
            trail.split, trail.end = (token, chosen, dropped), None

    def fail(self, reason: str) -> None:
        """There will be no certificate."""
        self.reason = self.reason or reason
        self.root = Trail()

    def certificate(self) -> LogDetTree:
        """The tree in preorder."""
        codes: list[int] = []
        tokens: list[int] = []
        parts: list[Evidence] = []
        stack = [self.root]
        while stack:
            trail = stack.pop()
            for evidence, chosen, dropped in trail.steps:
                codes.append(VANISH if evidence is None else FIX + _form(evidence))
                tokens += [len(chosen), len(dropped), *chosen.tolist(), *dropped.tolist()]
                parts += [] if evidence is None else [evidence]
            if trail.split:
                token, first, second = trail.split
                codes.append(BRANCH)
                tokens.append(token)
                stack += [second, first]
            elif trail.end is None:
                codes.append(TRIVIAL)
            else:
                codes.append(END + _form(trail.end))
                parts.append(trail.end)
        points = [point for part in parts for point in (part.x, part.least, part.y) if point is not None]
        shifts = [shift for part in parts for shift in (part.theta, part.delta) if shift is not None]
        return LogDetTree(
            np.array(codes, dtype=np.int64),
            np.array(tokens, dtype=np.int64),
            np.array([(part.cutoff, part.cap) for part in parts], dtype=np.float64).ravel(),
            np.concatenate(points) if points else np.zeros(0, dtype=np.uint16),
            np.concatenate(shifts) if shifts else np.zeros(0, dtype=np.float32),
        )

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self.fail("its tree would exceed 100 MB")


def _form(evidence: Evidence) -> int:
    return LINX * (evidence.theta is not None) + SECOND * (evidence.delta is not None)

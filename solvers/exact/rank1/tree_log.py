"""The log of a branch and bound tree: what was branched on, where each bound was taken, what it fixed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from mmdp import ImplicitWeight, MaxSumDiversity, Problem
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certificates import Certificate, CertificateError, fields
from mmdp.checks import Float, Int
from solvers.exact.rank1.tree_verifier import proved_energy

MOST_BYTES = 100e6
POINTS = 65535  # points are multiples of 1 / POINTS


@dataclass(frozen=True, eq=False)
class Rank1Tree(Certificate):
    """Proof that no 0/1 vector of a `CardinalityBQP` has less energy than `lower`, as a tree of its coordinates.

    A node fixes some coordinates. Each of its steps takes the linearised convex bound at a point, under a diagonal
    shift, and fixes further coordinates whose other side cannot have less energy than `lower`; then a branching, or the
    end. `proved_energy` recomputes every bound.

    Attributes
    ----------
    lower : the energy below which nothing lies, less the constant of the form.
    shift_sizes : (S,) coordinates that each shift is for; they and the shifts themselves follow one another in
        shift_coordinates and shift_values.
    step_nodes, step_shifts : (T,) the node and the shift of each step; steps of a node are in order.
    step_sizes, points : (T,) free coordinates at each step, and the values of the points there, in units of 1 / 65535.
    step_fixed, fixed : (T,) coordinates that each step fixes, and which: i + 1 at one, -(i + 1) at zero.
    branch_nodes, branch_coordinates, branch_children : node, coordinate, and the number of the child that fixes it at
        one; the child that fixes it at zero is the next number. The root is 0.
    """

    kind: ClassVar[str] = "rank1-tree"

    lower: float
    shift_sizes: Int
    shift_coordinates: Int
    shift_values: Float
    step_nodes: Int
    step_shifts: Int
    step_sizes: Int
    points: npt.NDArray[np.uint16]
    step_fixed: Int
    fixed: Int
    branch_nodes: Int
    branch_coordinates: Int
    branch_children: Int

    def __post_init__(self) -> None:
        object.__setattr__(self, "lower", fields.number(self.lower, "lower"))
        object.__setattr__(self, "shift_values", fields.reals(self.shift_values, "shift_values"))
        object.__setattr__(self, "points", fields.indices(self.points, "points").astype(np.uint16))
        for name in ("shift_sizes", "shift_coordinates", "step_nodes", "step_shifts", "step_sizes", "step_fixed"):
            object.__setattr__(self, name, fields.indices(getattr(self, name), name))
        for name in ("branch_nodes", "branch_coordinates", "branch_children"):
            object.__setattr__(self, name, fields.indices(getattr(self, name), name))
        object.__setattr__(self, "fixed", fields.indices(self.fixed, "fixed", least=-(2**62)))

    def verify(self, problem: Problem) -> float:
        """The upper bound on the value that the tree proves; its must-keep tokens and quotas count.

        O(f^3) for a shift of f coordinates and O(f^2) for a step of f free ones.
        """
        if not isinstance(problem, ImplicitWeight | MaxSumDiversity):
            raise CertificateError(f"a {self.kind} certificate is about quadratic objectives, got {problem.name}")
        try:
            bqp = CardinalityBQP.of(problem)
        except ValueError as error:
            raise CertificateError(str(error)) from error
        return -(max(bqp.floor, proved_energy(bqp, self)) + bqp.constant)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The fields, whole numbers in 32 bits: coordinates, nodes and steps are fewer than 2^31."""
        return {
            name: array.astype(np.int32) if array.dtype == np.int64 else array
            for name, array in super().arrays().items()
        }


class TreeLog:
    """Writes a tree down while it is searched. Once it would exceed 100 MB it is `full`, and holds nothing."""

    def __init__(self) -> None:
        self.full = False
        self._bytes = 0
        self._shifts: list[tuple[Int, Float]] = []
        self._steps: list[tuple[int, int, npt.NDArray[np.uint16], Int]] = []
        self._branches: list[tuple[int, int, int]] = []

    def shift(self, coordinates: Int, values: Float) -> int:
        """A shift, and its number."""
        self._grow(12 * len(values) + 4)
        if not self.full:
            self._shifts.append((coordinates.astype(np.int32), values))
        return len(self._shifts) - 1

    def step(self, node: int, shift: int, point: Float, ones: Int, zeros: Int) -> None:
        """A bound taken at a point, a multiple of 1 / 65535, and the coordinates it fixed."""
        self._grow(16 + 2 * len(point) + 4 * (len(ones) + len(zeros)))
        if not self.full:
            fixed = np.concatenate((ones + 1, -zeros - 1)).astype(np.int32)
            self._steps.append((node, shift, np.rint(POINTS * point).astype(np.uint16), fixed))

    def branch(self, node: int, coordinate: int, child: int) -> None:
        """The children child and child + 1 fix the coordinate at one and at zero."""
        self._grow(12)
        if not self.full:
            self._branches.append((node, coordinate, child))

    def certificate(self, lower: float) -> Rank1Tree:
        """The tree so far as proof that no energy is below `lower`."""
        nodes, shifts, points, fixed = ([step[column] for step in self._steps] for column in range(4))
        branches = np.array(self._branches, dtype=np.int64).reshape(-1, 3)
        return Rank1Tree(
            lower,
            _lengths([values for _, values in self._shifts]),
            _joined([coordinates for coordinates, _ in self._shifts], np.int64),
            _joined([values for _, values in self._shifts], np.float64),
            np.array(nodes, dtype=np.int64),
            np.array(shifts, dtype=np.int64),
            _lengths(points),
            _joined(points, np.uint16),
            _lengths(fixed),
            _joined(fixed, np.int64),
            *branches.T,
        )

    def _grow(self, size: int) -> None:
        self._bytes += size
        if self._bytes > MOST_BYTES:
            self.full = True
            self._shifts, self._steps, self._branches = [], [], []


def _lengths(parts: list[npt.NDArray[Any]]) -> Int:
    return np.array([len(part) for part in parts], dtype=np.int64)


def _joined(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype=dtype)

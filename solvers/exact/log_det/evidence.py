"""Where a bound was taken, in few bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mmdp.checks import Float

UNITS = 65535  # points are multiples of 1 / UNITS

Units = npt.NDArray[np.uint16]
Short = npt.NDArray[np.float32]


class Evidence(NamedTuple):
    """Data from which `leaf_bounds.prove` recomputes a bound on log det over the free tokens of a node.

    Attributes
    ----------
    cutoff : the second order speaks of sets above it; log det of all k tokens.
    cap : upper limit of the off-diagonal entries of the second-order form of DDFact.
    x : the point of the relaxation.
    theta : the scaling of linx; None for DDFact.
    delta, least, y : the shift of the second-order form, where its least value is bounded, and where the whole is
        linearised; None where the first order suffices.
    """

    cutoff: float
    cap: float
    x: Units
    theta: Short | None = None
    delta: Short | None = None
    least: Units | None = None
    y: Units | None = None

    @property
    def size(self) -> int:
        """Bytes of the arrays, and of the two numbers."""
        return 16 + sum(part.nbytes for part in self[2:] if part is not None)


def in_units(x: Float) -> Units:
    """x in [0, 1], rounded."""
    return np.rint(UNITS * np.clip(x, 0.0, 1.0)).astype(np.uint16)


def from_units(x: Units) -> Float:
    """The reals again."""
    return x.astype(np.float64) / UNITS

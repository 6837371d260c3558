"""What a continuous relaxation proves, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmdp.checks import Float


@dataclass(frozen=True, eq=False)
class RelaxedBound:
    """A bound from linearising a convex program at one point.

    Attributes
    ----------
    value : the bound; rigorous, rounding included.
    x : (n,) the point of the capped simplex at which the bound was taken.
    gradient : (n,) gradient of the relaxed objective at x. Swapping token i out of the best linear set and j into it
        moves the bound by gradient[j] - gradient[i]; a solver fixes variables where that move passes its incumbent
        (reduced costs).
    shift : (n,) the diagonal shift of the convexified quadratic form, where there is one.
    """

    value: float
    x: Float
    gradient: Float
    shift: Float | None = None

    def __post_init__(self) -> None:
        for name in ("x", "gradient", "shift"):
            array = getattr(self, name)
            if array is not None:
                array = np.array(array, dtype=np.float64)
                array.setflags(write=False)
                object.__setattr__(self, name, array)

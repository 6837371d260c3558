"""The families of worst cases, on which a greedy method meets its guarantee or comes near it."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from mmdp.instances.tight_case import TightCase
from mmdp.instances.tight_conditional_dpp import hadamard_box
from mmdp.instances.tight_implicit_weight import unbiased_bases
from mmdp.instances.tight_max_min import cycle, isolated_centre, line, polygon

TIGHT: dict[str, Callable[[int], TightCase]] = {
    "max-min": isolated_centre,
    "max-min-polygon": polygon,
    "max-min-line": line,
    "max-min-cycle": cycle,
    "conditional-dpp": hadamard_box,
    "implicit-weight": unbiased_bases,
}


def tight(family: str, k: int) -> TightCase:
    """The worst case of a family for the budget k.

    Parameters
    ----------
    family : a key of `TIGHT`:

        * ``"max-min"``: DivPrune at 1/4 of the optimum of 1 - cos, k >= 2;
        * ``"max-min-polygon"``: the instance-wise guarantee met from every start, k >= 3 not a power of two;
        * ``"max-min-line"``: DivPrune's start rule at 1/2 in a metric, k >= 2;
        * ``"max-min-cycle"``: every start at 1/2 in a metric, k >= 3;
        * ``"conditional-dpp"``: greedy MAP k log k nats below the optimum, k in {2, 4, 8};
        * ``"implicit-weight"``: greedy at 0.81 to 0.70 of the explained energy, k a power of two up to 256.
    k : the budget.

    Examples
    --------
    >>> case = tight("max-min-line", 4)
    >>> case.greedy / case.optimum == case.guarantee
    True
    """
    if family not in TIGHT:
        near = difflib.get_close_matches(family, TIGHT, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(TIGHT)}"
        raise ValueError(f"unknown family {family!r}; {hint}")
    return TIGHT[family](k)

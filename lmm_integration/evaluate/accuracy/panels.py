"""Comparisons at equal cost: methods are ranked only among those that cost the same.

A panel is a level of one measure: visual tokens that enter the language model, exact operations behind the vision tower
(relevance tower, selector and prefill), or bytes of the cache. Its levels are those of the budgets of one method, by
default the random baseline. A method is in it by the budget whose cost is within `TOLERANCE` of the level, or else by a
line between its next cheaper and next dearer budgets, accuracy against the logarithm of the cost; its error is then at
most the weighted sum of the two errors. Whom neither reaches is not in it, and neither are those whose cost nobody knows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from lmm_integration.evaluate.accuracy.bench import BLIND, NONE, RANDOM
from lmm_integration.evaluate.accuracy.summary import Column, Place

TOLERANCE = 0.05
MEASURES = {
    "input tokens": "visual tokens that enter the language model",
    "operations": "exact operations behind the vision tower",
    "cache": "bytes of keys and values of the prompt",
}
Row = dict[str, Any]


def cost(row: Row, measure: str) -> float | None:
    """What a row of the summary costs by one of `MEASURES`."""
    value: float | None = {
        "input tokens": row["tokens"]["input"],
        "operations": row["flops"],
        "cache": row["kv_bytes"],
    }[measure]
    return value


def panels(rows: Sequence[Row], columns: Mapping[Place, Column], reference: str = RANDOM) -> list[Row]:
    """All panels of two methods and more, dear ones first.

    Parameters
    ----------
    rows, columns : of `summary_rows` and `columns_of`.
    reference : whose budgets are the levels; where it is missing, the first method that prunes.

    Returns
    -------
    Dicts of `measure`, `level` and `members`, best accuracy first: method, keep (None between two budgets), cost,
    accuracy, stderr, and `minus_best`, the paired difference to the first member with its 95 % interval where both are
    budgets that ran.
    """
    pruned = [row for row in rows if row["method"] not in (NONE, BLIND)]
    methods = list(dict.fromkeys(row["method"] for row in pruned))
    if not methods:
        return []
    chosen = reference if reference in methods else methods[0]
    found = []
    for measure in MEASURES:
        levels = [cost(row, measure) for row in pruned if row["method"] == chosen]
        for level in sorted({value for value in levels if value}, reverse=True):
            members = [_member([row for row in pruned if row["method"] == name], measure, level) for name in methods]
            here = sorted((m for m in members if m is not None), key=lambda m: -m["accuracy"])
            if len(here) > 1:
                found.append({"measure": measure, "level": level, "members": _against_best(here, columns)})
    return found


def _member(rows: Sequence[Row], measure: str, level: float) -> Row | None:
    priced = sorted(((c, row) for row in rows if (c := cost(row, measure))), key=lambda pair: pair[0])
    near = [(abs(math.log(c / level)), c, row) for c, row in priced if abs(c / level - 1) <= TOLERANCE]
    if near:
        _, c, row = min(near, key=lambda entry: (entry[0], -entry[2]["tokens"]["final"]))  # of equals, what keeps most
        return {name: row[name] for name in ("method", "keep", "accuracy", "stderr")} | {"cost": c}
    for (low, cheap), (high, dear) in pairwise(priced):
        if low < level < high:
            weight = math.log(level / low) / math.log(high / low)
            errors = cheap["stderr"], dear["stderr"]
            return {
                "method": cheap["method"],
                "keep": None,
                "accuracy": (1 - weight) * cheap["accuracy"] + weight * dear["accuracy"],
                "stderr": None if None in errors else (1 - weight) * errors[0] + weight * errors[1],
                "cost": level,
            }
    return None


def _against_best(members: list[Row], columns: Mapping[Place, Column]) -> list[Row]:
    best = members[0]
    for member in members:
        member["minus_best"] = None
        if member is not best and None not in (member["keep"], best["keep"]):
            gap = columns[member["method"], member["keep"]].minus(columns[best["method"], best["keep"]])
            member["minus_best"] = {"difference": gap.mean, "low": gap.low, "high": gap.high}
    return members

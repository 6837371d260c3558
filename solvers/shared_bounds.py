"""Bounds are shared: what one run proved about a problem holds for every other run on it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace

from mmdp import Status, optimality_gap
from mmdp.certify import TOLERANCE
from solvers.records import UPPER_BOUNDS, Record


def share_bounds(records: Iterable[Record]) -> list[Record]:
    """The records with `best_bound`, `bound_by`, `gap` and `proved` filled in, in the same order.

    For the records of one problem (instance, objective, k), best_bound = min of their bounds: an upper bound on the
    optimum, hence on every value. A value within 1e-9 of it (relative; absolute for log det) is optimal up to rounding.
    A bound below a value of another run is refuted: its record becomes a failed one, whose bound nobody uses.
    """
    records = list(records)
    groups = defaultdict(list)
    for record in records:
        if record.error is None:
            groups[record.group].append(record)
    shared = {record.key: record for group in groups.values() for record in _share(group)}
    return [shared.get(record.key, record) for record in records]


def _share(group: list[Record]) -> list[Record]:
    best = max((r for r in group if r.value is not None), key=_value, default=None)
    floor = -math.inf if best is None else _value(best)
    sound = [r for r in group if r.bound >= floor or math.isclose(r.bound, floor, rel_tol=TOLERANCE, abs_tol=TOLERANCE)]
    tightest = min(sound, key=lambda r: r.bound, default=None)
    bound = math.inf if tightest is None else max(tightest.bound, floor)
    by = None if tightest is None or bound == math.inf else _name(tightest)
    return [_against(r, bound, by) if r in sound else _refuted(r, best) for r in group]


def _against(record: Record, bound: float, by: str | None) -> Record:
    if record.value is None or record.gap_kind is None:
        return replace(record, best_bound=bound, bound_by=by)
    slack = TOLERANCE if record.gap_kind == "absolute" else 0.0
    proved = record.status == Status.OPTIMAL.value or math.isclose(
        record.value, bound, rel_tol=TOLERANCE, abs_tol=slack
    )
    gap = 0.0 if proved else optimality_gap(record.value, bound, record.gap_kind)
    return replace(record, best_bound=bound, bound_by=by, gap=gap, proved=proved)


def _refuted(record: Record, best: Record | None) -> Record:
    witness = "" if best is None else f", but {best.method} reaches {best.value}"
    return replace(record, error=f"wrong bound: {record.method} claims {record.bound}{witness}", proved=False)


def _value(record: Record) -> float:
    return -math.inf if record.value is None else record.value


def _name(record: Record) -> str:
    """Which run, or which of the problem's own bounds, is the tightest."""
    if record.method != UPPER_BOUNDS:
        return record.method
    return next((name for name, bound in record.stats.items() if bound == record.bound), record.method)

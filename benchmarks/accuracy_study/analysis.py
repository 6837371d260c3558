"""From records to one number per picture: accuracy by name of a set, levels of the objective, rank correlations."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.accuracy_study import design
from benchmarks.accuracy_study.design import ALPHA, CONTRASTS, MARGIN
from benchmarks.accuracy_study.records import Record, SetRecord, flags
from benchmarks.accuracy_study.statistics import Contrast, Mean, contrast, holm, mean_of, spearman, within_slopes
from mmdp.checks import Float

# Names whose sets are compared within a picture; "best", "multi_start" and others often repeat one of these.
SPREAD = ("random", "level 0.25", "level 0.5", "level 0.75", "ensemble", "greedy", "pc_mmr", "magnitude")
RUNGS = ("objective", "frozen", "true", "divergence", "accuracy")
NEAR_TOP = 0.5  # from which level on a set counts for the slope near the top


class Verdict(NamedTuple):
    """A contrast of the confirmatory family.

    Attributes
    ----------
    complete : whether all pictures of the plan are there; without them nothing is decided.
    different, equivalent : p-values after Holm.
    """

    family: str
    k: int
    pair: tuple[str, str]
    found: Contrast
    complete: bool
    different: float
    equivalent: float

    @property
    def words(self) -> str:
        """What was decided at the declared level: both, one, or neither may be."""
        if not self.complete:
            return "first look"
        said = []
        if self.different <= ALPHA:
            said.append("better" if self.found.difference.mean > 0 else "worse")
        if self.equivalent <= ALPHA:
            said.append(f"within {100 * MARGIN:g} points")
        return ", ".join(said) or "open"


def sets_of(record: Record, family: str, label: str) -> list[SetRecord]:
    """The sets of a name."""
    return [each for each in record.sets if each.family == family and each.label == label]


def accuracy(record: Record, family: str, label: str, kind: str = "", *, repacked: bool = False) -> float:
    """Mean over the sets of a name, of the share of questions (of a kind) that are right; NaN where there are none."""
    texts = [each.repacked if repacked else each.right for each in sets_of(record, family, label)]
    asked = np.array([kind in ("", each) for each in record.kinds])
    texts = [text for text in texts if text]
    if not texts or not asked.any():
        return math.nan
    return float(np.mean([flags(text)[asked].mean() for text in texts]))


def level(record: Record, each: SetRecord) -> float:
    """Where the value stands between the mean random set (0) and the best known (1); NaN for an infinite value."""
    problem = record.problems[each.family]
    way = problem["best"] - problem["floor"]
    return math.nan if each.value is None or not way > 0 else (each.value - problem["floor"]) / way


def mean_level(record: Record, family: str, label: str) -> float:
    """Of the sets of a name."""
    found = [level(record, each) for each in sets_of(record, family, label)]
    return float(np.mean(found)) if found else math.nan


def differences(
    records: Sequence[Record], family: str, pair: tuple[str, str], *, repacked: bool = False, kind: str = ""
) -> Float:
    """Per picture that has both, the accuracy of the first name minus that of the second."""
    values = [
        accuracy(r, family, pair[0], kind, repacked=repacked) - accuracy(r, family, pair[1], kind, repacked=repacked)
        for r in records
    ]
    return np.array([value for value in values if math.isfinite(value)])


def verdicts(records: Sequence[Record]) -> list[Verdict]:
    """The confirmatory family of one model, of which two pictures and more were asked.

    Holm's correction is over the whole plan, however much of it has run: a contrast that lacks pictures counts with a
    p-value of 1.
    """
    rows = []
    for k, _ in design.PLAN:
        chosen = [r for r in records if r.k == k]
        for family, pairs in CONTRASTS.items():
            complete = sum(family in r.problems for r in chosen) == design.planned(k, family)
            for pair in pairs:
                values = differences(chosen, family, pair)
                rows.append((family, k, pair, contrast(values, MARGIN) if len(values) > 1 else None, complete))
    different, equivalent = (
        holm([getattr(found, name) if found and complete else 1.0 for *_, found, complete in rows])
        for name in ("different", "equivalent")
    )
    return [Verdict(*row, d, e) for row, d, e in zip(rows, different, equivalent, strict=True) if row[3] is not None]


def slopes(records: Sequence[Record], family: str, covariates: Sequence[str] = (), *, top: bool = False) -> list[Mean]:
    """Accuracy on the level of the objective, and on covariates, between the sets of one picture.

    The first coefficient is the accuracy between a random set and the best known. Covering radius and mean coverage are
    divided by their mean over the picture's sets.

    Parameters
    ----------
    covariates : attributes of `SetRecord`.
    top : only sets whose level is at least `NEAR_TOP`.
    """
    x, y = [], []
    for record in records:
        sets = [each for label in SPREAD for each in sets_of(record, family, label)]
        sets = [each for each in sets if (at := level(record, each)) == at and (at >= NEAR_TOP or not top)]
        if len(sets) < 2:
            continue
        columns = [np.array([level(record, each) for each in sets])]
        for name in covariates:
            column = np.array([getattr(each, name) for each in sets])
            columns.append(column if name == "seen" else column / max(float(column.mean()), 1e-12))
        x.append(np.stack(columns, axis=1))
        y.append(np.array([flags(each.right).mean() for each in sets]))
    return within_slopes(x, y) if x else []


def ladder(records: Sequence[Record], family: str) -> dict[tuple[str, str], Mean]:
    """Rank correlation within pictures between neighbouring rungs, and of each with accuracy, mean over pictures.

    Every rung counts upwards: errors and divergence with their sign turned.
    """
    pairs = [*itertools.pairwise(RUNGS), *((rung, "accuracy") for rung in RUNGS[:-2])]
    values: dict[tuple[str, str], list[float]] = {pair: [] for pair in pairs}
    for record in records:
        sets = [each for label in SPREAD for each in sets_of(record, family, label) if each.value is not None]
        if len(sets) < 3:
            continue
        rungs = {
            "objective": np.array([each.value for each in sets]),
            "frozen": -np.array([each.frozen for each in sets]),
            "true": -np.array([each.true for each in sets]),
            "divergence": -np.array([each.divergence for each in sets]),
            "accuracy": np.array([flags(each.right).mean() for each in sets]),
        }
        for a, b in pairs:
            values[a, b].append(spearman(rungs[a], rungs[b]))
    return {pair: mean_of(found) for pair, found in values.items()}

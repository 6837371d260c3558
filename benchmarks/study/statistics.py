"""Losses against certified bounds, intervals over photos, and a regression that is tested on photos it has not seen."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from benchmarks.study.data import Cell
from benchmarks.study.design import OBJECTIVES
from mmdp.certify import TOLERANCE
from mmdp.checks import Float

REPEATS = 2000
UNITS = {"max-min": "%", "conditional-dpp": "nats per token", "implicit-weight": "%"}
FLOOR = {"max-min": 0.1, "conditional-dpp": 0.001, "implicit-weight": 0.001}  # of a loss, before its logarithm is taken

Group = tuple[str, str, int]


class Problems:
    """The runs by problem, with the best bound and the best value that any of them gave."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self.cells: dict[Group, dict[str, Cell]] = defaultdict(dict)
        for cell in cells:
            self.cells[cell.instance, cell.objective, cell.k][cell.method] = cell
        self.bound = {group: self._best(group)[0] for group in self.cells}
        self.value = {group: self._best(group)[1] for group in self.cells}
        sound = (group for group in self.cells if self.value[group] > -math.inf and self.bound[group] < math.inf)
        self.sound = dict.fromkeys(sound)  # in order, and quick to look up

    def _best(self, group: Group) -> tuple[float, float]:
        runs = self.cells[group].values()
        value = max((run.value for run in runs if run.value is not None), default=-math.inf)
        bound = min((run.bound for run in runs if run.bound is not None), default=math.inf)
        if bound < value - TOLERANCE * max(1.0, abs(value)):
            raise ValueError(f"a bound of {bound} was claimed for {group}, where a set has the value {value}")
        return max(bound, value), value

    def loss(self, group: Group, method: str) -> float:
        """The most that a method's value can lie below the optimum of the problem."""
        value = self.cells[group][method].value
        return loss(group[1], group[2], value, self.bound[group])

    def least_loss(self, group: Group, method: str) -> float:
        """The least: how far it lies below the best value known."""
        return loss(group[1], group[2], self.cells[group][method].value, self.value[group])

    def proved(self, group: Group) -> bool:
        """Whether the optimum is known."""
        return loss(group[1], group[2], self.value[group], self.bound[group]) <= 1e-7


def loss(objective: str, k: int, value: float | None, bound: float) -> float:
    """Max-min: 100 (bound - value) / bound. Log det: (bound - value) / k, nats per token. Rank-1: 100 (1 - least
    energy / energy). Never below 0; inf for a value of -inf.
    """
    if value is None:
        return math.inf
    if value >= bound:
        return 0.0
    if objective == "conditional-dpp":
        return (bound - value) / k
    return 100 * (bound - value) / abs(bound if objective == "max-min" else value)


def cross_loss(problems: Problems, source: Group, method: str, objective: str) -> float | None:
    """The loss under another objective of the set that a method chose for its own; None where that has no bound."""
    target = (source[0], objective, source[2])
    if target not in problems.sound:
        return None
    score = problems.cells[source][method].scores[OBJECTIVES.index(objective)]
    return loss(objective, source[2], score, problems.bound[target])


class Estimate(NamedTuple):
    """Mean over photos and the ends of its 95 % interval; how many photos are in it, and how many are infinite."""

    mean: float
    low: float
    high: float
    photos: int
    infinite: int = 0


def over_photos(values: Iterable[tuple[str, float]], within: Callable[[Any], Any] = np.mean, seed: int = 0) -> Estimate:
    """The mean over photos of (photo, value) pairs, with a bootstrap interval.

    The values of one photo are first joined by `within`; photos, not runs, are drawn anew. Photos whose joint value
    is infinite (sets that are singular) are counted apart.
    """
    photos: dict[str, list[float]] = defaultdict(list)
    for photo, value in values:
        photos[photo].append(value)
    joined = np.array([float(within(each)) for each in photos.values()])
    means = joined[np.isfinite(joined)]
    if not len(means):
        return Estimate(math.nan, math.nan, math.nan, 0, len(joined))
    draws = np.random.default_rng(seed).integers(0, len(means), (REPEATS, len(means)))
    low, high = np.percentile(means[draws].mean(axis=1), (2.5, 97.5))
    return Estimate(float(means.mean()), float(low), float(high), len(means), len(joined) - len(means))


def held_out_r2(columns: Sequence[Float], y: Float, photos: Sequence[str], seed: int = 0) -> tuple[float, float, float]:
    """(R^2, lower, upper end of its 95 % interval) of least squares, each photo predicted from all the others.

    R^2 = 1 - sum of squared errors / sum of squared distances from the mean of the other photos; below 0 the model is
    worse than that mean. The interval draws photos anew from the held-out errors. NaN where y does not vary.
    """
    X = np.column_stack([np.ones(len(y)), *columns])
    groups = np.array(photos)
    errors, totals = [], []
    for photo in np.unique(groups):
        out = groups == photo
        weights, *_ = np.linalg.lstsq(X[~out], y[~out], rcond=None)
        errors.append(float(((y[out] - X[out] @ weights) ** 2).sum()))
        totals.append(float(((y[out] - y[~out].mean()) ** 2).sum()))
    e, t = np.array(errors), np.array(totals)
    if np.ptp(y) < 1e-9:
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).integers(0, len(e), (REPEATS, len(e)))
    e_sums, t_sums = e[draws].sum(axis=1), t[draws].sum(axis=1)
    low, high = np.percentile(1 - e_sums[t_sums > 0] / t_sums[t_sums > 0], (2.5, 97.5))
    return float(1 - e.sum() / t.sum()), float(low), float(high)

r"""Means over questions whose errors go together: several questions show one scene.

With x_i for question i, C clusters and n questions, the standard error of the mean m is the sandwich
:cite:p:`liang1986longitudinal` of a regression on a constant, with the usual factor for few clusters:

    s^2 = C / (C - 1) * sum_c (sum_{i in c} (x_i - m))^2 / n^2.

With one question in every cluster this is the textbook s^2 = var / n. Differences between two methods are paired: the
same formula for d_i = x_i - y_i. Intervals take the t distribution with C - 1 degrees of freedom.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, its clustered standard error (None for a single cluster), and how many questions and clusters there are.

    `low` and `high` bound the 95 % interval; None likewise.
    """

    mean: float
    stderr: float | None
    n: int
    clusters: int
    low: float | None
    high: float | None


def clustered_mean(values: Sequence[float], clusters: Sequence[Hashable]) -> Estimate:
    """The mean of `values`, question i belonging to `clusters[i]`.

    Raises
    ------
    ValueError : no value.

    Examples
    --------
    >>> alone = clustered_mean([1, 0, 1, 1], "abcd")
    >>> alone.mean, round(alone.stderr, 4)
    (0.75, 0.25)
    >>> round(clustered_mean([1, 0, 1, 1], "aabb").stderr, 4)
    0.25
    """
    x = np.asarray(values, dtype=np.float64)
    if not len(x):
        raise ValueError("a mean needs one value at least")
    names = {name: i for i, name in enumerate(dict.fromkeys(clusters))}
    count = len(names)
    mean = float(x.mean())
    if count == 1:
        return Estimate(mean, None, len(x), 1, None, None)
    sums = np.bincount([names[name] for name in clusters], weights=x - mean, minlength=count)
    stderr = math.sqrt(count / (count - 1) * float(sums @ sums)) / len(x)
    half = float(t.ppf((1 + LEVEL) / 2, count - 1)) * stderr
    return Estimate(mean, stderr, len(x), count, mean - half, mean + half)


def paired_difference(
    first: Mapping[str, float], second: Mapping[str, float], clusters: Mapping[str, Hashable]
) -> Estimate:
    """The mean of first - second over the questions (keys) that both answered.

    >>> paired_difference({"a": 1, "b": 1}, {"a": 1, "b": 0}, {"a": 0, "b": 1}).mean
    0.5
    """
    both = [question for question in first if question in second]
    return clustered_mean([first[q] - second[q] for q in both], [clusters[q] for q in both])


def f1_score(expected: Sequence[str], answered: Sequence[str], positive: str = "yes") -> float:
    """2 TP / (2 TP + FP + FN) for the answer `positive`; 0 where it neither is nor is given.

    >>> f1_score(["yes", "yes", "no"], ["yes", "no", "no"])
    0.6666666666666666
    """
    pairs = list(zip(expected, answered, strict=True))
    hit = sum(e == a == positive for e, a in pairs)
    missed = sum((e == positive) != (a == positive) for e, a in pairs)
    return 2 * hit / (2 * hit + missed) if hit else 0.0

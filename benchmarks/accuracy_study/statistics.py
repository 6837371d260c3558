"""Means over pictures, tests of difference and of equivalence, slopes and rank correlations within pictures.

Every value here is of one picture: its questions are joined before, and pictures, not questions, are drawn anew. What
comes out is about pictures of this kind and the one trained model that was asked.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from mmdp.checks import Float

DRAWS = 10_000


class Mean(NamedTuple):
    """A mean over pictures and the ends of its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    pictures: int


def finite_mean(values: Sequence[float]) -> float:
    """Of the entries that are finite; NaN where there are none."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    return float(x.mean()) if len(x) else float("nan")


class Contrast(NamedTuple):
    """A mean difference over pictures.

    Attributes
    ----------
    different : two-sided p-value of no difference.
    equivalent : the larger p-value of the two one-sided tests of |difference| >= margin.
    """

    difference: Mean
    different: float
    equivalent: float


def bootstrap(values: Float, seed: int = 0) -> Float:
    """(DRAWS,) means of pictures drawn anew; columns of an (n, m) array are drawn together, (DRAWS, m).

    A draw is a vector of multinomial weights.
    """
    drawn: Float = _weights(len(values), seed) @ values / len(values)
    return drawn


@functools.lru_cache(maxsize=8)
def _weights(n: int, seed: int) -> Float:
    """(DRAWS, n): how often each picture is drawn."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=DRAWS).astype(np.float64)


def mean_of(values: Sequence[float] | Float, seed: int = 0) -> Mean:
    """The mean; entries that are not finite (a picture without the quantity) are left out."""
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if not len(x):
        return Mean(np.nan, np.nan, np.nan, 0)
    low, high = np.percentile(bootstrap(x, seed), (2.5, 97.5))
    return Mean(float(x.mean()), float(low), float(high), len(x))


def contrast(differences: Sequence[float] | Float, margin: float, seed: int = 0) -> Contrast:
    """Tests of the mean of one difference per picture, from its bootstrap distribution.

    With draws m*: `different` is 2 min(P(m* <= 0), P(m* >= 0)), `equivalent` max(P(m* >= margin), P(m* <= -margin)); one
    draw is added to each count, so that no p-value is 0.
    """
    x = np.asarray(differences, dtype=np.float64)
    draws = bootstrap(x, seed)

    def share(hits: np.ndarray) -> float:
        return (1 + int(hits.sum())) / (1 + len(draws))

    different = min(1.0, 2 * min(share(draws <= 0), share(draws >= 0)))
    equivalent = max(share(draws >= margin), share(draws <= -margin))
    return Contrast(mean_of(x, seed), different, equivalent)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values of a family: the family-wise error is at most alpha where those <= alpha are rejected.

    >>> [round(q, 3) for q in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    top = 0.0
    for rank, i in enumerate(order):
        top = max(top, min(1.0, (len(p) - rank) * p[i]))
        adjusted[i] = top
    return adjusted.tolist()


def within_slopes(x: Sequence[Float], y: Sequence[Float], seed: int = 0) -> list[Mean]:
    """Coefficients of y on x with an effect of its own for every picture, and bootstrap intervals over pictures.

    Parameters
    ----------
    x, y : per picture (sets, covariates) and (sets,).

    Notes
    -----
    Least squares after the mean of each picture is taken from both, so that only differences between sets of one
    picture count; the bootstrap draws the pictures' cross products.
    """
    squares, products = [], []
    for columns, values in zip(x, y, strict=True):
        a = columns - columns.mean(axis=0)
        squares.append(a.T @ a)
        products.append(a.T @ (values - values.mean()))
    A, b = np.array(squares), np.array(products)
    n, m = b.shape
    weights = _weights(n, seed)
    drawn_a = (weights @ A.reshape(n, m * m)).reshape(DRAWS, m, m)
    drawn_b = weights @ b
    drawn = np.einsum("dij,dj->di", np.linalg.pinv(drawn_a), drawn_b)
    found = np.linalg.pinv(A.sum(axis=0)) @ b.sum(axis=0)
    low, high = np.percentile(drawn, (2.5, 97.5), axis=0)
    return [Mean(float(f), float(lo), float(hi), n) for f, lo, hi in zip(found, low, high, strict=True)]


def spearman(a: Float, b: Float) -> float:
    """Rank correlation, ties at their mean rank; NaN where either does not vary.

    >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([0.0, 3.0, 4.0]))
    1.0
    """
    x, y = rankdata(a), rankdata(b)
    x, y = x - x.mean(), y - y.mean()
    size = float(np.sqrt((x @ x) * (y @ y)))
    return float(round(x @ y / size, 12)) if size > 0 else float("nan")

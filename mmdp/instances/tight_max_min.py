"""Worst cases of farthest-first traversal for max-min diversity."""

from __future__ import annotations

import math

import numpy as np

from mmdp.checks import Float
from mmdp.instances.instance import Instance
from mmdp.instances.recipes import whole
from mmdp.instances.tight_case import TightCase
from mmdp.objectives import MaxMinDiversity

LEAST_ANGLE, ANGLE, MOST_ANGLE = 0.01, 0.05, 0.5
MOST_CORNERS = 1000


def isolated_centre(k: int, angle: float = ANGLE) -> TightCase:
    """DivPrune at 1/4 of the optimum, in units of 1 - cos, for every k >= 2 :cite:p:`alvar2025divprune`.

    Five unit vectors lie in a plane at the angles 0 (the centre c), -t, -0.9 t, 0.9 t and t; for k > 2 there are k -
    2 more, u_j = (a_j - c / 2) / sqrt(5/4) with a_j orthonormal and orthogonal to the plane: 0.8 apart, and farther
    from the centre than from the other four. The start rule (the token with the farthest nearest neighbour) and the
    picks after it take the centre and all u_j; the last pick is then 1 - cos t from the centre, while the two outer
    vectors are 1 - cos 2t apart:

        greedy / optimum = (1 - cos t) / (1 - cos 2t) = 1 / (4 cos^2(t / 2)),   1/4 as t -> 0.

    The order of the tokens does not matter: every decision is wider than 0.09 t^2, except ties between mirror images
    and among the u_j.

    Parameters
    ----------
    k : >= 2.
    angle : t in [0.01, 0.5]; 0.05 gives 0.25016.

    Examples
    --------
    >>> case = isolated_centre(6)
    >>> round(case.ratio, 4), case.problem().value(case.optimal) == case.optimum
    (0.2502, True)
    """
    k = whole(k, "k", 2)
    if not LEAST_ANGLE <= angle <= MOST_ANGLE:
        raise ValueError(f"angle must be between {LEAST_ANGLE} and {MOST_ANGLE}, got {angle}")
    t = angle * np.array([0.0, -1.0, -0.9, 0.9, 1.0])
    X = np.zeros((k + 3, k))
    X[:5, 0], X[:5, 1] = np.cos(t), np.sin(t)
    X[5:, 0] = -0.5 / math.sqrt(1.25)
    X[5:, 2:] = np.eye(k - 2) / math.sqrt(1.25)
    optimal = (1, 4, *range(5, k + 3))
    suffix = "" if angle == ANGLE else f" angle={angle:g}"
    instance = _features(f"tight/max-min/{k}{suffix}", X, k, "vectors around a centre", angle=f"{angle:g}")
    optimum = _value(instance, k, optimal)
    greedy = _value(instance, k, (0, 1, *range(5, k + 3)))
    return _case(instance, k, optimal, optimum, greedy, guarantee=0.25, units="1 - cos", every_start=False)


def polygon(k: int) -> TightCase:
    """Every start loses: the corners of a regular 2k-gon, k >= 3 not a power of two.

    Every second corner gives 1 - cos(2 pi / k). Farthest-first halves the arcs between its picks, so unless k is a
    power of two some arc of three edges is left and its last pick is one edge away from another: 1 - cos(pi / k),
    from whichever corner it starts. With the optimal angle phi = 2 pi / k the ratio is 1 / (4 cos^2(phi / 4)),
    exactly the instance-wise guarantee.

    Examples
    --------
    >>> case = polygon(3)
    >>> round(case.ratio, 12), round(polygon(100).ratio, 4)
    (0.333333333333, 0.2501)
    """
    k = whole(k, "k", 3, MOST_CORNERS)
    if k & (k - 1) == 0:
        raise ValueError(f"k must not be a power of two, got {k}")
    turn = np.pi * np.arange(2 * k) / k
    instance = _features(
        f"tight/max-min-polygon/{k}", np.column_stack([np.cos(turn), np.sin(turn)]), k, "regular polygon"
    )
    optimal = tuple(range(0, 2 * k, 2))
    phi = 2 * math.pi / k
    return _case(
        instance,
        k,
        optimal,
        _value(instance, k, optimal),
        _value(instance, k, (0, 1)),
        guarantee=1 / (4 * math.cos(phi / 4) ** 2),
        units="1 - cos",
        every_start=True,
    )


def line(k: int) -> TightCase:
    """Exactly 1/2 in a metric, for every k >= 2: points 0 .. 2k - 2 on a line, all but point 1 twice.

    The even points are 2 apart. Point 1 is the only one without a copy, so the start rule takes it; no k points that
    include it are more than 1 apart, and farthest-first reaches 1. The guarantee of 1/2 is due to
    :cite:t:`ravi1994heuristic`.

    Examples
    --------
    >>> case = line(5)
    >>> case.greedy, case.optimum, case.ratio
    (1.0, 2.0, 0.5)
    """
    k = whole(k, "k", 2)
    places = np.concatenate([[1], np.repeat([0, *range(2, 2 * k - 1)], 2)]).astype(np.float64)
    instance = _distances(f"tight/max-min-line/{k}", np.abs(places[:, None] - places[None, :]), k, "points on a line")
    optimal = (1, *(3 + 4 * i for i in range(k - 1)))
    return _case(instance, k, optimal, 2.0, 1.0, guarantee=0.5, units="distance", every_start=False)


def cycle(k: int) -> TightCase:
    """Exactly 1/2 in a metric from every start, for every k >= 3: steps along a cycle of 2k places.

    The same halving of arcs as in `polygon`, with the number of steps as the distance: 2 at best, 1 for
    farthest-first. Where k is a power of two the cycle has 2 (k - 1) places and one more token lies k - 1 steps from
    all of them.

    Examples
    --------
    >>> cycle(3).instance.distances[0]
    array([0., 1., 2., 3., 2., 1.])
    """
    k = whole(k, "k", 3)
    m = k - 1 if k & (k - 1) == 0 else k
    steps = np.abs(np.subtract.outer(np.arange(2 * m), np.arange(2 * m)))
    D = np.minimum(steps, 2 * m - steps).astype(np.float64)
    optimal = tuple(range(0, 2 * m, 2))
    if m < k:
        D = np.pad(D, (0, 1), constant_values=m)
        D[-1, -1] = 0.0
        optimal = (*optimal, 2 * m)
    instance = _distances(f"tight/max-min-cycle/{k}", D, k, "steps along a cycle")
    return _case(instance, k, optimal, 2.0, 1.0, guarantee=0.5, units="distance", every_start=True)


def _features(name: str, X: Float, k: int, kind: str, **more: str) -> Instance:
    return Instance(name=name, features=X, k=k, source={"kind": f"worst case of farthest-first: {kind}", **more})


def _distances(name: str, D: Float, k: int, kind: str) -> Instance:
    return Instance(name=name, distances=D, k=k, source={"kind": f"worst case of farthest-first: {kind}"})


def _value(instance: Instance, k: int, subset: tuple[int, ...]) -> float:
    return instance.problem(MaxMinDiversity.name, k).value(subset)


def _case(
    instance: Instance,
    k: int,
    optimal: tuple[int, ...],
    optimum: float,
    greedy: float,
    *,
    guarantee: float,
    units: str,
    every_start: bool,
) -> TightCase:
    return TightCase(
        instance=instance,
        objective=MaxMinDiversity.name,
        k=k,
        method="farthest_first",
        every_start=every_start,
        optimal=optimal,
        optimum=optimum,
        greedy=greedy,
        ratio=greedy / optimum,
        guarantee=guarantee,
        units=units,
    )

"""The theta' bound: the smallest threshold that theta' refutes, with its certificate."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from mmdp.certificates.theta import ThetaCertificate
from mmdp.checks import Bool, Float, Int
from solvers.exact.max_min.far_graph import core_order
from solvers.exact.max_min.grouping import farthest_pairs, nearest_centre
from solvers.exact.max_min.level_test import level_below
from solvers.exact.max_min.theta_prime import ThetaPrime

BLOCK = 4  # iterations between two looks
MOST_GROUPS = 800  # an iteration takes 0.05 s at this size, 0.2 s at twice the size
HALF_RANGE = 6e4  # float16 goes a little further
RESOLUTION = 1e-3  # relative width at which the search over thresholds stops


def refute(
    theta: ThetaPrime, deadline: float, max_iterations: int = 120, half: bool = False, least: int = 3 * BLOCK
) -> Float | None:
    """Iterate until a multiplier certifies theta' < k (returned), or the level says that it will not (None).

    It says so after `least` iterations at the earliest. With `half` the multiplier consists of half-precision numbers,
    so that it can be kept as such.
    """
    previous = math.inf
    while theta.iterations < max_iterations and time.perf_counter() < deadline:
        level = theta.iterate(BLOCK)
        if level < theta.k:
            multiplier = theta.multiplier()
            if half:
                multiplier = np.clip(multiplier, -HALF_RANGE, HALF_RANGE).astype(np.float16).astype(np.float64)
            if level_below(multiplier, theta.k):
                return multiplier
        trend = level - previous
        if theta.iterations >= least and level + 4 * min(trend, 0.0) > theta.k:
            return None
        previous = level
    return None


def close_pairs(distances: Float, threshold: float) -> Bool:
    """d_ij < threshold off the diagonal."""
    close = distances < threshold
    np.fill_diagonal(close, False)
    return np.asarray(close)


class GroupedTokens:
    """The tokens that a threshold of at least `lowest` leaves in the core, in `most` groups when they are more."""

    def __init__(self, distances: Float, k: int, lowest: float, most: int = MOST_GROUPS) -> None:
        tokens = np.sort(core_order(distances, lowest, k))
        m = min(len(tokens), most)
        self.labels: Int = nearest_centre(distances, tokens, m) if len(tokens) else np.full(len(distances), -1)
        if m == len(tokens):  # every token for itself, in token order
            self.labels[tokens] = np.arange(m)
        self.distances = farthest_pairs(distances, self.labels, m)
        self.diameter = float(np.diag(self.distances).max(initial=0.0))
        np.fill_diagonal(self.distances, 0.0)


def theta_descent(
    groups: GroupedTokens,
    k: int,
    lower: float,
    upper: float,
    deadline: float,
    on_refuted: Callable[[ThetaCertificate], None],
) -> float:
    """Search between `lower` (cannot be refuted) and `upper` for the smallest threshold that theta' refutes.

    Each refuted threshold is handed to `on_refuted` at once. The next one is where the secant of the last levels
    meets k, kept inside the bracket. Returns the largest threshold known to withstand theta'.
    """
    lower = max(lower, groups.diameter)
    seen: list[tuple[float, float]] = []
    theta: ThetaPrime | None = None
    share = 0.5
    while upper - lower > RESOLUTION * abs(upper) and time.perf_counter() < deadline:
        threshold = lower + share * (upper - lower)
        close = close_pairs(groups.distances, threshold)
        if not close.any():
            return threshold
        theta = ThetaPrime(close, k) if theta is None else theta.continued(close, k)
        multiplier = refute(theta, deadline)
        if multiplier is not None:
            certificate = ThetaCertificate(threshold, k, groups.labels, multiplier)
            upper = threshold
            on_refuted(certificate)
        else:
            lower = threshold
        seen.append((threshold, theta.level))
        share = min(0.85, max(0.15, _secant(seen, k, lower, upper)))
    return lower


def _secant(seen: list[tuple[float, float]], k: int, lower: float, upper: float) -> float:
    """Where between lower (0) and upper (1) the level is expected to be just below k."""
    finite = [point for point in seen if math.isfinite(point[1])]
    if len(finite) < 2:
        return 0.5
    (t1, level1), (t2, level2) = sorted(finite, key=lambda point: abs(point[1] - k))[:2]
    if level1 == level2:
        return 0.5
    aim = t1 + (0.99 * k - level1) * (t2 - t1) / (level2 - level1)
    return (aim - lower) / (upper - lower)


def theta_bound(
    distances: Float, k: int, lower: float, upper: float, time_limit: float | None = None
) -> tuple[float, ThetaCertificate | None]:
    """The best bound in [lower, upper] that theta' proves for max over |S| = k >= 2 of the min distance.

    Parameters
    ----------
    distances : (n, n) symmetric float64.
    k : 2 <= k <= n.
    lower : the value of a set of k tokens.
    upper : an upper bound, returned with None when theta' does not improve on it.
    time_limit : seconds; None runs until the threshold is known to 0.1 %.

    Returns
    -------
    bound, certificate : `certificate.bound(distances) == bound`.

    Examples
    --------
    >>> import numpy as np
    >>> angles = 2 * np.pi * np.arange(5) / 5
    >>> points = np.column_stack([np.cos(angles), np.sin(angles)])
    >>> distances = np.linalg.norm(points[:, None] - points, axis=2)  # 1.176 between neighbours, 1.902 across
    >>> bound, certificate = theta_bound(distances, 3, lower=distances[0, 1], upper=distances.max())
    >>> round(bound, 3), certificate.holds(distances)  # no triangle in the pentagram: theta = sqrt 5 < 3
    (1.176, True)
    """
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    found: list[ThetaCertificate] = []
    theta_descent(GroupedTokens(distances, k, lower), k, lower, upper, deadline, found.append)
    if not found or found[-1].bound(distances) >= upper:
        return upper, None
    return found[-1].bound(distances), found[-1]

"""Upper bounds on max-min diversity from a farthest-first run and from the number of unit vectors."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np

from mmdp.checks import Float, Int
from mmdp.ground_set import SNAP, Metric

ROUNDING = 1e-11  # error of a computed cosine, with room: d eps / 2 for features of width d


def angle_bound(greedy_distance: float, metric: Metric = "cosine") -> float:
    """An upper bound on the optimum, from the value of any farthest-first run on the same tokens.

    ======================= ======================================================
    cosine, d = 1 - cos     1 - cos(min(pi, 2 arccos(1 - d))), that is 2 d (2 - d), or 2 for d >= 1
    chordal, c              2 c sqrt(1 - c^2 / 4), or 2 for c >= sqrt(2)
    euclidean, precomputed  2 d; a precomputed matrix must obey the triangle inequality
    ======================= ======================================================

    *Proof* :cite:p:`gonzalez1985clustering,ravi1994heuristic`. Let a be the distance at which the last of k tokens
    was picked, in a metric. Picking distances never increase, so a is the value of the run and every token lies
    within a of one of the first k - 1 picks. Two of any k tokens share such a pick, hence lie within 2 a of each
    other. The angle arccos(1 - d) is a metric, and farthest-first only compares distances, so it is the same run in
    all three; map 2 a back. QED

    The start may be any token but one at distance 0 from everything (`GroundSet.zero_rows`), and the other zero rows
    must have been picked last, as by every solver here.

    *Tolerance.* Angular distances that `GroundSet` snapped to 0 count as the largest that it snaps, so that the bound
    is at least 4e-6 (cosine) and 0.0028 (chordal); 1e-11 is added to 1 - cos, before and after, and 1e-11 relative to
    the other distances, for rounding.

    Parameters
    ----------
    greedy_distance : least pairwise distance of the run, >= 0; inf (fewer than two tokens) gives inf.

    Examples
    --------
    >>> round(angle_bound(0.5), 6), round(angle_bound(0.5, "euclidean"), 6)
    (1.5, 1.0)
    """
    d = float(greedy_distance)
    if metric not in get_args(Metric):
        raise ValueError(f"metric must be one of {', '.join(get_args(Metric))}, got {metric!r}")
    if not d >= 0:
        raise ValueError(f"greedy_distance must be >= 0, got {greedy_distance}")
    if math.isinf(d):
        return d
    if metric not in ("cosine", "chordal"):
        return 2 * d * (1 + ROUNDING)
    cosine = max(d if metric == "cosine" else d * d / 2, SNAP) + ROUNDING
    return _in_units(2 * cosine * (2 - cosine) if cosine < 1 else 2.0, metric)


def simplex_bound(k: int, metric: Metric = "cosine") -> float:
    """k / (k - 1), which the least 1 - cos over k unit vectors cannot exceed; sqrt(2 k / (k - 1)) for the chord.

    *Proof.* 0 <= ||u_1 + ... + u_k||^2 = k + sum_{i != j} cos_ij, so the mean cosine over the k (k - 1) ordered pairs
    is at least -1 / (k - 1), and the least distance is at most the mean one. QED  Attained if and only if the vectors
    form a regular simplex, which needs k - 1 dimensions. A set with a zero row has value 0, so zero rows only lower
    the optimum. inf for k < 2, and for metrics without angles.

    *Tolerance.* 1e-11 is added to 1 - cos for rounding.

    Examples
    --------
    >>> round(simplex_bound(3), 6), round(simplex_bound(3, "chordal"), 6)
    (1.5, 1.732051)
    """
    if k < 2 or metric not in ("cosine", "chordal"):
        return math.inf
    return _in_units(k / (k - 1), metric)


def _in_units(bound: float, metric: Metric) -> float:
    """A bound on 1 - cos, rounded up, as a cosine or chordal distance."""
    bound += ROUNDING
    return bound if metric == "cosine" else math.sqrt(2 * bound) * (1 + ROUNDING)


def farthest_first_picks(distances: Float, k: int, among: Int) -> Int:
    """The first k picks of a farthest-first traversal of the tokens `among`, for bounds.

    It starts at the token with the farthest nearest neighbour; ties go to the lowest index. O(n^2).
    """
    others = distances[np.ix_(among, among)]
    np.fill_diagonal(others, np.inf)
    pick = int(np.argmax(others.min(axis=1)))
    nearest = others[pick].copy()
    picks = [pick]
    for _ in range(k - 1):
        nearest[pick] = -np.inf
        pick = int(np.argmax(nearest))
        picks.append(pick)
        np.minimum(nearest, others[pick], out=nearest)
    return among[picks]

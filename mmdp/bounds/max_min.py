"""Upper bounds on max-min diversity: from a greedy run, from the number of unit vectors, from colourings."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np

from mmdp.checks import Bool, Int, as_budget, as_distances
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


def colouring_bound(distances: Any, k: int) -> float:
    """The largest distance that no colouring refutes: an upper bound on the optimum, for any distances.

    For a threshold t join i and j when d_ij >= t. A set of value >= t is a clique of size k of this far graph: it
    lies in the (k-1)-core (what remains after dropping, again and again, tokens with fewer than k - 1 far
    neighbours), and it meets every class of a colouring at most once. So t is refuted when the core has fewer than k
    tokens or takes fewer than k colours. Colours are dealt greedily in smallest-last order; a token that would need
    colour k first tries to displace a single neighbour :cite:p:`tomita2010simple`, and else to join two classes with
    which it forms no triangle, so that the three count as two :cite:p:`sansegundo2015infra`.

    The thresholds are the distinct distances; bisection ends at neighbours v_l, v_(l+1) of which the upper one is
    refuted, hence the optimum is at most v_l. (Greedy colouring is not monotone in t, so v_l need not be the best
    such level; the bound holds anyway.)

    *Tolerance.* None: the proof only compares the float64 distances given. Deterministic.

    Parameters
    ----------
    distances : (n, n) symmetric, >= 0, zero diagonal; no triangle inequality needed.
    k : 0 <= k <= n; inf for k < 2.

    Notes
    -----
    Time O(n^2 log n), plus log n colourings with bit sets; about a tenth of a second at n = 576.

    Examples
    --------
    >>> colouring_bound([[0, 1, 2], [1, 0, 3], [2, 3, 0]], 3)
    1.0
    """
    d = as_distances(distances)
    k = as_budget(k, len(d))
    if k < 2:
        return math.inf
    levels = np.unique(d[np.triu_indices(len(d), 1)])
    low, high = 0, len(levels)  # levels[0] is attained by every set; levels[high] is refuted
    while high - low > 1:
        middle = (low + high) // 2
        if _refuted(d >= levels[middle], k):
            high = middle
        else:
            low = middle
    return float(levels[low])


def _in_units(bound: float, metric: Metric) -> float:
    """A bound on 1 - cos, rounded up, as a cosine or chordal distance."""
    bound += ROUNDING
    return bound if metric == "cosine" else math.sqrt(2 * bound) * (1 + ROUNDING)


def _refuted(far: Bool, k: int) -> bool:
    """Whether a colouring proves that the far graph holds no clique of size k."""
    order = _core_smallest_last(far, k)
    if len(order) < k:
        return True
    packed = np.packbits(far[np.ix_(order, order)], axis=1, bitorder="little")
    neighbours = [int.from_bytes(row.tobytes(), "little") for row in packed]  # bit sets, in colouring order
    classes, left = _deal_colours(neighbours, k - 1)
    return _absorbed(neighbours, classes, left)


def _core_smallest_last(far: Bool, k: int) -> Int:
    """The (k-1)-core, in the reverse of the order in which tokens of least remaining degree are taken out."""
    degree = far.sum(axis=1)
    taken: list[int] = []
    gone = len(far)  # larger than any degree
    core = 0
    for position in range(len(far)):
        i = int(np.argmin(degree))
        if degree[i] < k - 1 and core == position:
            core = position + 1
        degree -= far[i]
        degree[i] = 2 * gone
        taken.append(i)
    return np.array(taken[core:][::-1], dtype=np.int64)


def _deal_colours(neighbours: list[int], colours: int) -> tuple[list[int], int]:
    """Up to `colours` classes of pairwise close tokens, dealt greedily in order, and the tokens left over; bit sets."""
    left = (1 << len(neighbours)) - 1
    classes = []
    for _ in range(colours):
        members, open_ = 0, left
        while open_:
            lowest = open_ & -open_
            members |= lowest
            open_ &= ~(neighbours[lowest.bit_length() - 1] | lowest)
        classes.append(members)
        left &= ~members
    return classes, left


def _absorbed(neighbours: list[int], classes: list[int], left: int) -> bool:
    """Whether every token left over does without one more colour.

    Either it displaces its only neighbour in a class, or it joins two classes with which it forms no triangle: a
    clique meets the three together at most twice, so they still count as two, and are closed to further moves.
    """
    free = list(range(len(classes)))
    while left:
        lowest = left & -left
        left ^= lowest
        around = neighbours[lowest.bit_length() - 1]
        if not _displaced(neighbours, classes, free, lowest, around) and not _paired(neighbours, classes, free, around):
            return False
    return True


def _displaced(neighbours: list[int], classes: list[int], free: list[int], token: int, around: int) -> bool:
    for a in free:
        met = classes[a] & around
        if met & (met - 1):
            continue  # two neighbours or more
        if not met:
            classes[a] |= token
            return True
        others = neighbours[met.bit_length() - 1]
        for b in free:
            if b != a and not classes[b] & others:
                classes[a] ^= met | token
                classes[b] |= met
                return True
    return False


def _paired(neighbours: list[int], classes: list[int], free: list[int], around: int) -> bool:
    for a in free:
        met = classes[a] & around
        for b in free:
            if b > a and not _triangle(neighbours, met, classes[b] & around):
                free.remove(a)
                free.remove(b)
                return True
    return False


def _triangle(neighbours: list[int], one: int, other: int) -> bool:
    """Whether a token of `one` is far from a token of `other`; the third corner is the token that both surround."""
    while one:
        lowest = one & -one
        if neighbours[lowest.bit_length() - 1] & other:
            return True
        one ^= lowest
    return False

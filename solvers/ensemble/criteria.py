"""Second criteria among sets of equal least distance, and the climb that follows one of them by swaps."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float, Int
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.tabu import Short

LEXIMIN, COVER, MAX_SUM = range(3)


@kernel
def score(distances: Float, tokens: Int, criterion: int) -> Float:
    """What the criterion compares, lexicographically, larger being better.

    All pair distances ascending; minus the covering radius and minus the mean distance to the nearest kept token; or
    the sum of the pair distances.
    """
    n, k = len(distances), len(tokens)
    if criterion == COVER:
        radius = total = 0.0
        for j in range(n):
            nearest = np.inf
            for i in tokens:
                nearest = min(nearest, 0.0 if i == j else distances[i, j])
            radius = max(radius, nearest)
            total += nearest
        return np.array([-radius, -total / n])
    pairs = np.empty(k * (k - 1) // 2)
    c = 0
    for a in range(k):
        for b in range(a):
            pairs[c] = distances[tokens[a], tokens[b]]
            c += 1
    pairs.sort()
    return pairs if criterion == LEXIMIN else np.array([pairs.sum()])


@kernel
def compare(first: Float, second: Float) -> int:
    """1, 0, -1 as the first sequence is lexicographically larger, equal, smaller."""
    for c in range(len(first)):
        if first[c] > second[c]:
            return 1
        if first[c] < second[c]:
            return -1
    return 0


@kernel
def _nearest(distances: Float, tokens: Int, first: Float, second: Float, who: Int) -> None:
    """For each token the distances to the nearest and the second nearest member, and the place of the nearest."""
    for j in range(len(distances)):
        first[j] = second[j] = np.inf
        who[j] = -1
        for a in range(len(tokens)):
            d = 0.0 if tokens[a] == j else distances[tokens[a], j]
            if d < first[j]:
                second[j] = first[j]
                first[j], who[j] = d, a
            elif d < second[j]:
                second[j] = d


@kernel
def _helps(
    distances: Float, tokens: Int, a: int, new: int, criterion: int, first: Float, second: Float, who: Int
) -> bool:
    """Whether putting `new` in the place of tokens[a] raises the score by more than rounding."""
    n, k = len(distances), len(tokens)
    if criterion == COVER:
        radius = total = old_radius = old_total = 0.0
        for j in range(n):
            kept = second[j] if who[j] == a else first[j]
            d = min(kept, 0.0 if j == new else distances[new, j])
            radius, total = max(radius, d), total + d
            old_radius, old_total = max(old_radius, first[j]), old_total + first[j]
        return radius < old_radius or (radius == old_radius and total < old_total * (1.0 - 1e-12))
    come, go = np.empty(k - 1), np.empty(k - 1)
    c = 0
    for b in range(k):
        if b != a:
            come[c], go[c] = distances[new, tokens[b]], distances[tokens[a], tokens[b]]
            c += 1
    if criterion == MAX_SUM:
        return come.sum() > go.sum() * (1.0 + 1e-12)
    come.sort()
    go.sort()
    return compare(come, go) > 0  # pairs that stay do not change the order of the two sorted sequences


@kernel
def climb(distances: Float, rows: Short, tokens: Int, criterion: int, order: Int, passes: int) -> bool:
    """Make, in place, swaps that keep the set free of conflicts and raise the score; whether none is left.

    In each of at most `passes` passes the tokens enter in the given order, each in the first place where that helps.
    Every swap raises the score, so the climb ends.
    """
    n, k = len(distances), len(tokens)
    conflicts = np.zeros(n, np.int64)
    inside = np.zeros(n, np.bool_)
    for i in tokens:
        inside[i] = True
        for j in range(n):
            conflicts[j] += rows[i, j]
    first, second, who = np.empty(n), np.empty(n), np.empty(n, np.int64)
    _nearest(distances, tokens, first, second, who)
    for _ in range(passes):
        improved = False
        for new in order:
            if inside[new] or conflicts[new] > 1:
                continue
            for a in range(k):
                old = tokens[a]
                if conflicts[new] != rows[old, new]:
                    continue
                if _helps(distances, tokens, a, new, criterion, first, second, who):
                    tokens[a] = new
                    inside[old], inside[new] = False, True
                    for j in range(n):
                        conflicts[j] += np.int64(rows[new, j]) - np.int64(rows[old, j])
                    _nearest(distances, tokens, first, second, who)
                    improved = True
                    break
        if not improved:
            return True
    return False

"""Fewer vertices for theta': near-duplicate tokens in one group, groups as far apart as their farthest tokens.

Every set of tokens pairwise at distance >= t picks pairwise far groups, at most one token each as long as no group
has a pair at distance >= t. So what is refuted for the groups is refuted for the tokens.
"""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float, Int
from solvers.exact.max_min.compiled import kernel


@kernel
def nearest_centre(distances: Float, tokens: Int, m: int) -> Int:
    """(n,) group 0 .. m-1 of each of `tokens` around m <= len(tokens) farthest-first centres, -1 for other tokens."""
    groups = np.full(len(distances), -1)
    nearest = np.full(len(tokens), np.inf)
    centre = 0
    for g in range(m):
        for a in range(len(tokens)):
            d = distances[tokens[centre], tokens[a]]
            if d < nearest[a]:
                nearest[a] = d
                groups[tokens[a]] = g
        groups[tokens[centre]] = g  # also when an exact duplicate came before
        nearest[centre] = -1.0
        centre = np.argmax(nearest)
    return groups


@kernel
def farthest_pairs(distances: Float, groups: Int, m: int) -> Float:
    """(m, m) the largest distance between members of two groups; the diagonal holds the groups' diameters."""
    n = len(distances)
    out = np.zeros((m, m))
    for i in range(n):
        if groups[i] >= 0:
            for j in range(n):
                if groups[j] >= 0 and distances[i, j] > out[groups[i], groups[j]]:
                    out[groups[i], groups[j]] = distances[i, j]
    return out

"""Farthest-first traversal on a whole matrix, one fused pass over a row for every step."""

from __future__ import annotations

from typing import Any

import numpy as np

from mmdp.ground_set import SNAP
from solvers.lazy.compiled import kernel
from solvers.lazy.extremes import first_equal, largest


@kernel
def snap(cosines: Any) -> None:
    """Set to 1 what is so near 1 that rounding would order copies: 1 - cos < 1e-6."""
    one = cosines.dtype.type(1)
    for i in range(len(cosines)):
        row = cosines[i]
        for j in range(len(row)):
            if one - row[j] < cosines.dtype.type(SNAP):
                row[j] = one


@kernel
def fall(score: Any, row: Any) -> None:
    """Lower (n,) scores to minus the similarities of a row."""
    for i in range(len(score)):
        score[i] = -row[i] if -row[i] < score[i] else score[i]


@kernel
def isolated_in(similarity: Any, live: Any) -> int:
    """The lowest index of the live token whose largest similarity to another live token is lowest."""
    n = len(similarity)
    winner, best = -1, similarity.dtype.type(np.inf)
    for i in range(n):
        if live[i]:
            nearest = similarity.dtype.type(-np.inf)
            row = similarity[i]
            for j in range(n):
                if live[j] and j != i:
                    nearest = max(nearest, row[j])
            if winner < 0 or nearest < best:
                winner, best = i, nearest
    return winner


@kernel
def matrix_traverse(similarity: Any, live: Any, chosen: Any, done: int) -> None:
    """Fill `chosen` from place `done` >= 1 on; live tokens only, at least as many as places. Time O(n k)."""
    infinite = similarity.dtype.type(np.inf)
    score = np.where(live, infinite, -infinite)
    for s in range(len(chosen)):
        if s >= done:
            chosen[s] = first_equal(score, largest(score))
        score[chosen[s]] = -infinite
        fall(score, similarity[chosen[s]])


@kernel
def farthest_nearest(distances: Any) -> int:
    """The lowest index of the token whose least distance to another one is largest."""
    n = len(distances)
    winner, best = 0, distances.dtype.type(-np.inf)
    for i in range(n):
        nearest = distances.dtype.type(np.inf)
        row = distances[i]
        for j in range(n):
            if j != i:
                nearest = min(nearest, row[j])
        if nearest > best:
            winner, best = i, nearest
    return winner


@kernel
def lower(score: Any, row: Any) -> None:
    """Lower (n,) scores to a row."""
    for i in range(len(score)):
        score[i] = row[i] if row[i] < score[i] else score[i]


@kernel
def distance_traverse(distances: Any, chosen: Any) -> None:
    """Fill `chosen` from place 1 on, of n >= k tokens. Reads k rows: time O(n k)."""
    infinite = distances.dtype.type(np.inf)
    score = np.full(len(distances), infinite)
    for s in range(len(chosen)):
        if s:
            chosen[s] = first_equal(score, largest(score))
        score[chosen[s]] = -infinite
        lower(score, distances[chosen[s]])

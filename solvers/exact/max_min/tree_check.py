"""Reads the log of a clique search and checks every step; shares no code with the search but operations on words.

What has to be shown at each node: a clique of `need` vertices among its candidates has one of those that are branched
on. The others are in need - 1 classes without far pairs, or excluded by some of these: see `node_log` for the format.
"""

from __future__ import annotations

import numpy as np

from mmdp.checks import Int
from solvers.exact.max_min.bitsets import ONE, ZERO, Words, bit, full, leading_zeros, lowest, size
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.node_log import Short

LEVELS = 16  # of case distinctions within a group; the search makes one

VERDICTS = (
    "holds",
    "ends in a clique",
    "breaks off",
    "names a vertex that is not there",
    "names a class that is not there",
    "has two far vertices in a class",
    "has a group without contradiction",
)
HOLDS, CLIQUE, BREAKS_OFF, NO_VERTEX, NO_CLASS, FAR_PAIR, NO_CONTRADICTION = range(7)


@kernel
def check_search(far: Words, k: int, log: Short, at: int) -> tuple[int, int]:
    """(verdict, where it stopped) on the log, from word `at` on, of a search for a clique of size k >= 1."""
    m, width = far.shape
    candidates = np.zeros((k + 1, width), np.uint64)
    branches = np.zeros((k + 1, width), np.uint64)
    classes = np.zeros((k, width), np.uint64)
    label = np.zeros(64 * width, np.int64)
    live = np.zeros((LEVELS, k, width), np.uint64)
    done = np.zeros((LEVELS, k), np.bool_)
    candidates[0] = full(m)
    depth = 0
    fresh = True
    while True:
        if fresh:
            if depth == k:
                return CLIQUE, at
            branches[depth] = ZERO
            if size(candidates[depth]) >= k - depth:
                verdict, at = _check_record(
                    far, candidates[depth], branches[depth], k - depth, log, at, classes, label, live, done
                )
                if verdict != HOLDS:
                    return verdict, at
            fresh = False
        v = -1
        for w in range(width - 1, -1, -1):
            if branches[depth, w] != ZERO:
                v = w * 64 + 63 - np.int64(leading_zeros(branches[depth, w]))
                break
        if v >= 0:
            branches[depth, v >> 6] &= ~bit(v)
            candidates[depth, v >> 6] &= ~bit(v)
            candidates[depth + 1] = candidates[depth] & far[v]
            depth += 1
            fresh = True
        elif depth == 0:
            return HOLDS, at
        else:
            depth -= 1


@kernel
def _check_record(
    far: Words,
    candidates: Words,
    rest: Words,
    need: int,
    log: Short,
    at: int,
    classes: Words,
    label: Int,
    live: Words,
    done: Words,
) -> tuple[int, int]:
    """Check one record; what is left in `rest` are the vertices to branch on."""
    m, width = far.shape
    r = need - 1
    rest[:] = candidates
    for c in range(r):
        classes[c] = ZERO
        queue = rest.copy()
        for w in range(width):
            while queue[w] != ZERO:
                b = lowest(queue[w])
                v = w * 64 + np.int64(b)
                queue[w] &= ~(ONE << b)
                for u in range(w, width):
                    queue[u] &= ~far[v, u]
                classes[c, w] |= ONE << b
                rest[w] &= ~(ONE << b)
                label[v] = c
    groups = at + 1
    if at >= len(log):
        return BREAKS_OFF, at
    count = np.int64(log[at])
    at += 1
    for _ in range(count):
        if at + 1 >= len(log):
            return BREAKS_OFF, at
        at += 2 + np.int64(log[at + 1])
    if at >= len(log) or at + 2 * np.int64(log[at]) >= len(log):
        return BREAKS_OFF, at
    moves, end = at + 1, at + 1 + 2 * np.int64(log[at])
    for i in range(moves, end, 2):
        v, c = np.int64(log[i]), np.int64(log[i + 1])
        if v >= m or candidates[v >> 6] & bit(v) == ZERO:
            return NO_VERTEX, i
        if c >= r:
            return NO_CLASS, i
        if rest[v >> 6] & bit(v) != ZERO:
            rest[v >> 6] &= ~bit(v)
        else:
            classes[label[v], v >> 6] &= ~bit(v)
        classes[c, v >> 6] |= bit(v)
        label[v] = c
    for i in range(moves, end, 2):
        v = np.int64(log[i])
        for w in range(width):
            if classes[label[v], w] & far[v, w] != ZERO:
                return FAR_PAIR, i
    used = np.zeros(need, np.bool_)
    at = groups
    for _ in range(count):
        v, members = np.int64(log[at]), np.int64(log[at + 1])
        if v >= m or rest[v >> 6] & bit(v) == ZERO:
            return NO_VERTEX, at
        if members > r:
            return NO_CLASS, at
        for j in range(members):
            c = np.int64(log[at + 2 + j])
            if c >= r or used[c]:
                return NO_CLASS, at
            used[c] = True
            live[0, j] = classes[c] & far[v]
        if not _contradicts(far, members, live, done):
            return NO_CONTRADICTION, at
        rest[v >> 6] &= ~bit(v)
        at += 2 + members
    return HOLDS, end


@kernel
def _contradicts(far: Words, count: int, live: Words, done: Words) -> bool:
    """Whether no clique has a vertex in each of the sets live[0, :count]; False when more than LEVELS cases nest.

    Smallest set first: an empty one is a contradiction, the vertex of a set of one is taken, else one vertex of the
    set is tried and then struck.
    """
    level = 0
    done[0, :count] = False
    while True:
        least, j = np.int64(1) << 40, -1
        for i in range(count):
            if not done[level, i]:
                members = size(live[level, i])
                if members < least:
                    least, j = members, i
        if j < 0:
            return False
        if least == 0:
            if level == 0:
                return True
            level -= 1
            continue
        u = 0
        for w in range(live.shape[2]):
            if live[level, j, w] != ZERO:
                u = w * 64 + np.int64(lowest(live[level, j, w]))
                break
        if least == 1:
            done[level, j] = True
            for i in range(count):
                if not done[level, i]:
                    live[level, i] &= far[u]
            continue
        if level + 1 == LEVELS:
            return False
        live[level, j, u >> 6] &= ~bit(u)
        for i in range(count):
            done[level + 1, i] = done[level, i] or i == j
            live[level + 1, i] = live[level, i] & far[u]
        level += 1

"""Which vertices cannot enlarge a clique: colour classes with re-colouring, unit propagation and failed literals.

Let the vertices of a node be split into r colour classes and a rest. A vertex v of the rest needs no branch when v
and some classes, m of them, can be shown to hold at most m vertices of any clique; these classes are then spent.
Read "one vertex of each class is in the clique" as a clause; putting v into the clique strikes all vertices close to
it; a class left with one vertex puts that vertex into the clique, and so on; an empty class is the contradiction, and
the classes that led to it are those to spend. This is the MaxSAT bound for cliques :cite:p:`li2010efficient`, of
which the infra-chromatic bound :cite:p:`sansegundo2015infra` is the shortest case.

Three small tables hold the state, so that compiled functions pass only three arrays around:
`sets` has rows of words, `vertices` a row per attribute of a vertex, `classes` a row per attribute of a class.
"""

from __future__ import annotations

import numpy as np

from mmdp.checks import Int
from solvers.exact.max_min.bitsets import ONE, ZERO, Words, bit, count_ones, lowest
from solvers.exact.max_min.compiled import kernel

REST, QUEUED, USABLE, LIVE, TRIAL = range(5)  # rows of sets
COLOUR, NEXT, REASON, FIRST_COLOUR = range(4)  # rows of vertices; NEXT links the members of a class
FIRST, SIZE, COUNT, TRIAL_COUNT, SPENT, BLAMED, UNITS, STACK, TALLY, TOUCHED = range(10)  # rows of classes
TRIALS = 16  # classes of two whose both members are tried


def tables(m: int, k: int) -> tuple[Words, Int, Int]:
    """Empty `sets`, `vertices` and `classes` for m vertices and cliques of size k."""
    width = (m + 63) // 64
    return np.zeros((5, width), np.uint64), np.zeros((4, 64 * width), np.int64), np.zeros((10, k + 2), np.int64)


@kernel
def colour_classes(
    close: Words, candidates: Words, depth: int, r: int, sets: Words, vertices: Int, classes: Int
) -> int:
    """Greedy colouring of candidates[depth] by r classes; what is left over goes to REST and is counted."""
    width = sets.shape[1]
    left = 0
    for w in range(width):
        sets[REST, w] = candidates[depth, w]
        left += np.int64(count_ones(candidates[depth, w]))
    c = start = 0
    while c < r and left > 0:
        while sets[REST, start] == ZERO:
            start += 1
        for w in range(start, width):
            sets[QUEUED, w] = sets[REST, w]
        size = 0
        head = -1
        for w in range(start, width):
            x = sets[QUEUED, w]
            while x != ZERO:
                b = lowest(x)
                v = w * 64 + np.int64(b)
                sets[REST, w] &= ~(ONE << b)
                x &= close[v, w]
                for u in range(w + 1, width):
                    sets[QUEUED, u] &= close[v, u]
                vertices[COLOUR, v] = c
                vertices[NEXT, v] = head
                head = v
                size += 1
        classes[FIRST, c] = head
        classes[SIZE, c] = size
        left -= size
        c += 1
    for empty in range(c, r):
        classes[FIRST, empty] = -1
        classes[SIZE, empty] = 0
    for c in range(r):
        classes[SPENT, c] = 0
    for w in range(width):
        sets[USABLE, w] = candidates[depth, w] & ~sets[REST, w]
    return left


@kernel
def _put(v: int, c: int, sets: Words, vertices: Int, classes: Int) -> None:
    vertices[NEXT, v] = classes[FIRST, c]
    classes[FIRST, c] = v
    classes[SIZE, c] += 1
    vertices[COLOUR, v] = c
    sets[USABLE, v >> 6] |= bit(v)


@kernel
def _take(v: int, c: int, vertices: Int, classes: Int) -> None:
    x = classes[FIRST, c]
    if x == v:
        classes[FIRST, c] = vertices[NEXT, v]
    else:
        while vertices[NEXT, x] != v:
            x = vertices[NEXT, x]
        vertices[NEXT, x] = vertices[NEXT, v]
    classes[SIZE, c] -= 1


@kernel
def _survivor(c: int, live: int, sets: Words, vertices: Int, classes: Int) -> int:
    """The member of class c in the set `live`, which holds one."""
    x = classes[FIRST, c]
    while sets[live, x >> 6] & bit(x) == ZERO:
        x = vertices[NEXT, x]
    return x


@kernel
def _recolour(close: Words, v: int, u: int, c: int, sets: Words, vertices: Int, classes: Int) -> bool:
    """Put v into class c in place of u, its one neighbour there, if u finds another class (Tomita's re-colouring)."""
    touched = 0
    other = -1
    for w in range(sets.shape[1]):
        y = sets[USABLE, w] & close[u, w]
        while y != ZERO:
            x = w * 64 + np.int64(lowest(y))
            y &= y - ONE
            d = vertices[COLOUR, x]
            if classes[TALLY, d] == 0:
                classes[TOUCHED, touched] = d
                touched += 1
            classes[TALLY, d] += 1
            if d != c and classes[TALLY, d] == classes[SIZE, d]:
                other = d
    for i in range(touched):
        classes[TALLY, classes[TOUCHED, i]] = 0
    if other < 0:
        return False
    _take(u, c, vertices, classes)
    _put(u, other, sets, vertices, classes)
    _put(v, c, sets, vertices, classes)
    return True


@kernel
def _strike(
    close: Words, u: int, why: int, live: int, count: int, end: int, sets: Words, vertices: Int, classes: Int
) -> int:
    """Strike what is close to u; new units are queued. Returns the queue's new end, or -1 - c when class c is empty."""
    for w in range(sets.shape[1]):
        y = sets[live, w] & close[u, w]
        if y != ZERO:
            sets[live, w] &= ~y
            while y != ZERO:
                x = w * 64 + np.int64(lowest(y))
                y &= y - ONE
                c = vertices[COLOUR, x]
                vertices[REASON, x] = why
                classes[count, c] -= 1
                if classes[count, c] == 1:
                    classes[UNITS, end] = c
                    end += 1
                elif classes[count, c] == 0:
                    return -1 - c
    return end


@kernel
def _propagate(close: Words, live: int, count: int, end: int, sets: Words, vertices: Int, classes: Int) -> int:
    """Work off the queue of unit classes; the class that became empty, or -1."""
    begin = 0
    while begin < end:
        c = classes[UNITS, begin]
        begin += 1
        u = _survivor(c, live, sets, vertices, classes)
        end = _strike(close, u, c, live, count, end, sets, vertices, classes)
        if end < 0:
            return -1 - end
    return -1


@kernel
def _blame(start: int, stop: int, live: int, sets: Words, vertices: Int, classes: Int) -> None:
    """Mark the classes that led to the empty class `start`; `stop` is marked but not followed."""
    classes[STACK, 0] = start
    classes[TALLY, start] = 1
    classes[TOUCHED, 0] = start
    pending = touched = 1
    while pending > 0:
        pending -= 1
        c = classes[STACK, pending]
        classes[BLAMED, c] = 1
        if c == stop:
            continue
        x = classes[FIRST, c]
        while x >= 0:
            if sets[live, x >> 6] & bit(x) == ZERO:
                why = vertices[REASON, x]
                if why >= 0 and classes[TALLY, why] == 0:
                    classes[TALLY, why] = 1
                    classes[TOUCHED, touched] = why
                    touched += 1
                    classes[STACK, pending] = why
                    pending += 1
            x = vertices[NEXT, x]
    for i in range(touched):
        classes[TALLY, classes[TOUCHED, i]] = 0


@kernel
def _spend(r: int, sets: Words, vertices: Int, classes: Int) -> None:
    """The blamed classes serve no other vertex."""
    for c in range(r):
        if classes[BLAMED, c]:
            classes[SPENT, c] = 1
            x = classes[FIRST, c]
            while x >= 0:
                sets[USABLE, x >> 6] &= ~bit(x)
                x = vertices[NEXT, x]


@kernel
def _both_fail(close: Words, c: int, r: int, sets: Words, vertices: Int, classes: Int) -> bool:
    """Whether each of the two live members of class c leads to a contradiction; if so its classes are blamed."""
    for d in range(r):
        classes[BLAMED, d] = 0
    a = classes[FIRST, c]
    while a >= 0:
        if sets[LIVE, a >> 6] & bit(a):
            for w in range(sets.shape[1]):
                sets[TRIAL, w] = sets[LIVE, w]
            for d in range(r):
                classes[TRIAL_COUNT, d] = classes[COUNT, d]
            x = classes[FIRST, c]
            while x >= 0:
                sets[TRIAL, x >> 6] &= ~bit(x)
                x = vertices[NEXT, x]
            end = _strike(close, a, c, TRIAL, TRIAL_COUNT, 0, sets, vertices, classes)
            empty = -1 - end if end < 0 else _propagate(close, TRIAL, TRIAL_COUNT, end, sets, vertices, classes)
            if empty < 0:
                return False
            _blame(empty, c, TRIAL, sets, vertices, classes)
        a = vertices[NEXT, a]
    classes[BLAMED, c] = 1
    x = classes[FIRST, c]
    while x >= 0:  # the other members of c were struck before: follow their reasons too
        if sets[LIVE, x >> 6] & bit(x) == ZERO and vertices[REASON, x] >= 0:
            _blame(vertices[REASON, x], -1, LIVE, sets, vertices, classes)
        x = vertices[NEXT, x]
    return True


@kernel
def needs_no_branch(close: Words, v: int, r: int, sets: Words, vertices: Int, classes: Int) -> bool:
    """Whether v of the rest fits the r classes after all, or contradicts some of them, which are then spent."""
    for c in range(r):
        classes[COUNT, c] = classes[SIZE, c]
    for w in range(sets.shape[1]):
        y = sets[USABLE, w] & close[v, w]
        sets[LIVE, w] = sets[USABLE, w] & ~y
        while y != ZERO:
            x = w * 64 + np.int64(lowest(y))
            y &= y - ONE
            vertices[REASON, x] = -1
            classes[COUNT, vertices[COLOUR, x]] -= 1
    end = 0
    for c in range(r):
        if classes[SPENT, c] == 0 and classes[COUNT, c] <= 1:
            if classes[COUNT, c] == 0:
                _put(v, c, sets, vertices, classes)
                return True
            classes[UNITS, end] = c
            end += 1
    for i in range(end):
        c = classes[UNITS, i]
        if _recolour(close, v, _survivor(c, LIVE, sets, vertices, classes), c, sets, vertices, classes):
            return True
    empty = _propagate(close, LIVE, COUNT, end, sets, vertices, classes)
    if empty >= 0:
        for d in range(r):
            classes[BLAMED, d] = 0
        _blame(empty, -1, LIVE, sets, vertices, classes)
        _spend(r, sets, vertices, classes)
        return True
    trials = 0
    for c in range(r):
        if classes[SPENT, c] == 0 and classes[COUNT, c] == 2:
            if _both_fail(close, c, r, sets, vertices, classes):
                _spend(r, sets, vertices, classes)
                return True
            trials += 1
            if trials == TRIALS:
                return False
    return False

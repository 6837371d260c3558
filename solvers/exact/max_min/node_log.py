"""What a clique search writes down, so that others can check it without searching: see `CliqueTree`.

A node with vertices P that needs q more, |P| >= q, is a record; smaller nodes leave none. Its vertices are dealt to
q - 1 classes without far pairs, first as greedy colouring in vertex order does, which needs no words. The record is

    G, then G times: v, m, m classes        v and these classes hold at most m vertices of any clique
    M, then M times: v, c                   v belongs to class c, unlike what greedy colouring says

and its children, one for each vertex without class or group, the highest first, follow in depth-first order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mmdp.checks import Int
from solvers.exact.max_min.bitsets import ONE, ZERO, Words, lowest
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.propagation import BLAMED, COLOUR, FIRST_COLOUR, REST

Short = npt.NDArray[np.uint16]

MOST_VERTICES = 65_535  # that a word can name
POSITION, RECORD = range(2)  # of the cursor: where to write, and where the present record began
NOTHING: Short = np.zeros(0, np.uint16)


@kernel
def room(m: int, k: int) -> int:
    """More words than a record can have."""
    return 4 * m + k + 4


@kernel
def start_record(candidates: Words, depth: int, log: Short, cursor: Int, sets: Words, vertices: Int) -> None:
    """Remember what greedy colouring did with the vertices of the node."""
    for w in range(sets.shape[1]):
        y = candidates[depth, w]
        while y != ZERO:
            b = lowest(y)
            y &= y - ONE
            v = w * 64 + np.int64(b)
            if sets[REST, w] & (ONE << b):
                vertices[COLOUR, v] = -1
            vertices[FIRST_COLOUR, v] = vertices[COLOUR, v]
    cursor[RECORD] = cursor[POSITION]
    log[cursor[RECORD]] = 0
    cursor[POSITION] += 1


@kernel
def note_group(v: int, r: int, log: Short, cursor: Int, vertices: Int, classes: Int) -> None:
    """Write down v, which needs no branch, with the blamed ones of r classes, unless it found a class."""
    if vertices[COLOUR, v] >= 0:
        return
    at = cursor[POSITION]
    log[at] = v
    count = 0
    for c in range(r):
        if classes[BLAMED, c]:
            log[at + 2 + count] = c
            count += 1
    log[at + 1] = count
    log[cursor[RECORD]] += 1
    cursor[POSITION] = at + 2 + count


@kernel
def end_record(candidates: Words, depth: int, log: Short, cursor: Int, vertices: Int) -> None:
    """Write down which vertices have moved."""
    at = cursor[POSITION]
    end = at + 1
    for w in range(candidates.shape[1]):
        y = candidates[depth, w]
        while y != ZERO:
            v = w * 64 + np.int64(lowest(y))
            y &= y - ONE
            if vertices[COLOUR, v] != vertices[FIRST_COLOUR, v]:
                log[end] = v
                log[end + 1] = vertices[COLOUR, v]
                end += 2
    log[at] = (end - at - 1) // 2
    cursor[POSITION] = end

"""Farthest-first traversal that compares a token with the chosen ones only when it is about to be chosen itself.

A token's score is minus its largest cosine to the chosen tokens, and it only falls. Each comparison is made on the
bytes of `solvers.lazy.sketch` first, which give an interval for the cosine. Where its upper end is not above a cosine
already known, or above the lower end of another, the full product cannot change the score and is never formed. A
single one that may is left open until the token is about to be chosen.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.choice import STRIDE, work_left
from solvers.lazy.compiled import kernel
from solvers.lazy.cosines import nearest
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.sketch import intervals

NONE = -1


@kernel
def lazy_traverse(X: Any, live: Any, inverse: Any, sketched: Any, chosen: Any, effort: float) -> int:
    """Fill `chosen` after its first place; return how far it came.

    It stops before the end when what it will take from there exceeds `effort` full products. Live tokens only, at least
    as many as places. Time O(n k d) at worst, memory O(n) beside the sketch.
    """
    n, k = len(X), len(chosen)
    number = X.dtype.type
    compared = np.zeros(n, np.int32)  # with the first so many chosen tokens
    known = np.full(n, number(-2))  # largest cosine among those compared and not open
    open_place = np.full(n, NONE, np.int32)  # the chosen token whose cosine is known by its interval alone
    open_high = np.empty(n, X.dtype)
    floor = np.full(n, number(-2))  # a lower bound of the largest cosine
    score = np.where(live, number(2), number(-np.inf))
    score[chosen[0]] = -np.inf
    top = block_maxima(score)
    low, high = np.empty(4, X.dtype), np.empty(4, X.dtype)
    others, others_high = np.empty(k + 1, np.int64), np.empty(k + 1, X.dtype)
    work = worked = 0.0
    for s in range(1, k):
        best = number(-np.inf)  # the best score that is up to date
        while True:
            i = highest(score, top)
            if compared[i] == s:
                if open_place[i] == NONE:
                    break
                others[0] = chosen[open_place[i]]
                known[i] = max(known[i], nearest(X, inverse, i, others, 1))
                open_place[i] = NONE
                floor[i] = known[i]
                work += 1
            else:
                bound = floor[i]
                count = 0
                if open_place[i] != NONE:
                    others[0], others_high[0] = open_place[i], open_high[i]
                    count = 1
                u = int(compared[i])
                while u < s and -bound >= best:
                    intervals(sketched, i, chosen, u, s, low, high)
                    for q in range(min(4, s - u)):
                        if high[q] > bound:
                            others[count], others_high[count] = u + q, high[q]
                            count += 1
                        bound = max(bound, low[q])
                    u = min(u + 4, s)
                    work += 1
                compared[i] = u
                left = 0
                for q in range(count):
                    if others_high[q] > bound:
                        others[left], others_high[left] = others[q], others_high[q]
                        left += 1
                open_place[i] = NONE
                if left == 1:
                    open_place[i], open_high[i] = others[0], others_high[0]
                elif left > 1:
                    for q in range(left):
                        others[q] = chosen[others[q]]
                    known[i] = max(known[i], nearest(X, inverse, i, others, left))
                    bound = known[i]
                    work += left
                floor[i] = bound
            value = -floor[i]
            lower(score, top, i, value)
            if compared[i] == s and open_place[i] == NONE:
                best = max(best, value)
        if s % STRIDE == 0:
            if s > STRIDE and work_left(work, worked, s, k, n) > effort:  # in the first steps every token is new
                return s
            worked = work
        chosen[s] = i
        lower(score, top, i, number(-np.inf))
    return k

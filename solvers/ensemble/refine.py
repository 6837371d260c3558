"""The best among the sets of equal least distance, by a second criterion."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from mmdp import MaxMinDiversity, Problem, Selection, Status
from mmdp.checks import Float, Int
from solvers.ensemble.sample import MOST, SECONDS, level_of

CRITERIA = ("leximin", "cover", "max_sum")
STARTS = 20  # sets of the level from which the search climbs
PASSES = 10  # between two looks at the clock


def refined(
    problem: Problem, selection: Selection, criterion: str, *, seed: int = 0, time_limit: float | None = None
) -> Selection:
    """Among the sets with a least distance of at least that of `selection`, a best one by a second criterion.

    Let t be the objective of the selection and F(t) the sets S of k tokens with d_ij >= t for all i != j in S.

    * ``"leximin"``: max over F(t), lexicographically, of the k (k - 1) / 2 pair distances in ascending order: the
      least distance first, then the second least, and so on.
    * ``"cover"``: min over F(t) of the covering radius max_j min_{i in S} d_ij; among equals of the mean over all
      tokens j of min_{i in S} d_ij.
    * ``"max_sum"``: max over F(t) of the sum of the pair distances.

    Where F(t) can be listed (at most 20,000 sets, found within a few seconds of clique search) the answer is a
    best one, lexicographically smallest among equals, and `stats["refined"]` says "exact". Otherwise single swaps
    within F(t) climb from the selection and from up to 20 other sets of F(t) (`optimal_sets`); `stats["refined"]`
    says "local search": no swap within F(t) improves the set, unless time was up, and nothing is proved about it.

    Parameters
    ----------
    problem : `MaxMinDiversity` without constraints.
    selection : of this problem, with the bound that the answer keeps.
    criterion : one of `CRITERIA`.
    seed : of the restarts and of the order of the swaps.
    time_limit : seconds; None means 10.

    Raises
    ------
    TypeError : another objective. ValueError : constraints, an unknown criterion.

    Examples
    --------
    >>> from mmdp import MaxMinDiversity
    >>> from solvers import solve
    >>> line = [[0.0], [1.0], [2.0], [3.1], [4.0]]
    >>> problem = MaxMinDiversity.from_features(line, 3, metric="euclidean")
    >>> best = solve(problem, "exact")
    >>> refined(problem, best, "leximin").indices.tolist(), refined(problem, best, "cover").indices.tolist()
    ([0, 2, 4], [0, 2, 4])
    """
    problem = refinable(problem, criterion)
    started = time.perf_counter()
    deadline = started + (SECONDS if time_limit is None else time_limit)
    if problem.k < 2 or problem.k == problem.n:
        tokens, how = np.sort(selection.indices), "exact"
    else:
        tokens, how = _best(problem, selection, CRITERIA.index(criterion), np.random.default_rng(seed), deadline)
    value = problem.value(tokens)
    bound = max(value, selection.bound)
    return replace(
        selection,
        indices=tokens,
        objective=value,
        bound=bound,
        status=Status.OPTIMAL if value == bound else selection.status,
        seconds=selection.seconds + time.perf_counter() - started,
        stats={**selection.stats, "refine": criterion, "refined": how},
    )


def refinable(problem: Problem, criterion: str) -> MaxMinDiversity:
    """The problem, if it can be refined by that criterion; else the errors of `refined`."""
    if not isinstance(problem, MaxMinDiversity):
        raise TypeError(f"refine is for max-min diversity, whose optimum is an ensemble, got {type(problem).__name__}")
    if problem.constraints:
        raise ValueError("refine cannot honour constraints")
    if criterion not in CRITERIA:
        raise ValueError(f"refine must be one of {', '.join(CRITERIA)}, got {criterion!r}")
    return problem


def _best(
    problem: MaxMinDiversity, selection: Selection, criterion: int, rng: np.random.Generator, deadline: float
) -> tuple[Int, str]:
    from solvers.ensemble.criteria import climb, compare, score
    from solvers.exact.max_min.tabu import conflict_rows

    distances = np.ascontiguousarray(problem.distances)
    best = np.sort(selection.indices)
    level = level_of(problem, selection.objective, best)
    best_score: Float = score(distances, best, criterion)
    listed = level.everything(MOST, deadline) if time.perf_counter() < deadline else None
    if listed is not None:
        for tokens in listed:
            found = score(distances, tokens, criterion)
            order = compare(found, best_score)
            if order > 0 or (order == 0 and tokens.tolist() < best.tolist()):
                best, best_score = tokens, found
        return best, "exact"
    rows = conflict_rows(distances, selection.objective)
    start: Int | None = best
    for _ in range(STARTS + 1):
        if start is not None:
            tokens, done = start.copy(), False
            while not done and time.perf_counter() < deadline:
                done = climb(distances, rows, tokens, criterion, rng.permutation(problem.n), PASSES)
            tokens = np.sort(tokens)
            found = score(distances, tokens, criterion)
            if compare(found, best_score) > 0:
                best, best_score = tokens, found
        if time.perf_counter() >= deadline:
            break
        start = level.restart(rng, deadline)
        if start is None:
            start = level.walk(best, rng)
    return best, "local search"

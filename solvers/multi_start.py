"""The greedy from many first tokens: the cheapest way to spend more time than the greedy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, Problem, Status
from mmdp.checks import Float, Int
from solvers.answer import Answer, Request
from solvers.farthest_first.naive import traverse
from solvers.greedy_map.naive import cholesky_greedy
from solvers.rank1.naive import best_token, energy_greedy, zero_updates


def run(problem: Problem, request: Request, starts: int = 32) -> Answer:
    """The best of the greedy itself and of the greedies that begin with a given token, ascending.

    Farthest-first traversal, greedy MAP or the rank-1 greedy, by objective; the first tokens are spread evenly over
    the ground set. At a time limit the best so far is returned.

    Parameters
    ----------
    starts : how many first tokens, >= 0; as many as there are tokens when there are fewer.

    Notes
    -----
    At least as good as the greedy, whose guarantees it inherits. O(starts) times its cost.

    Examples
    --------
    >>> problem = MaxMinDiversity.from_features([[0.0], [1.0], [2.0], [2.9], [4.0]], 3, metric="euclidean")
    >>> run(problem, Request()).indices
    array([0, 2, 4])
    """
    if isinstance(starts, bool) or not isinstance(starts, int | np.integer):
        raise TypeError(f"starts must be a whole number, got {starts!r}")
    if starts < 0:
        raise ValueError(f"starts must be >= 0, got {starts}")
    greedy = _greedy(problem)
    best = greedy(None)
    value = first_value = problem.value(best)
    made, status = 0, Status.FEASIBLE
    for token in np.unique(np.linspace(0, problem.n - 1, min(starts, problem.n)).astype(np.int64)):
        if request.left <= 0:
            status = Status.TIME_LIMIT
            break
        found = greedy(int(token))
        made += 1
        if problem.value(found) > value:
            best, value = found, problem.value(found)
    return Answer(np.sort(best), status=status, stats={"greedy": first_value, "starts": made})


def _greedy(problem: Problem) -> Callable[[int | None], Int]:
    """The greedy of the objective, from its own first token (None) or a given one; k tokens in order of selection."""
    n, k = problem.n, problem.k
    zero = problem.ground.zero_rows
    if isinstance(problem, MaxMinDiversity):
        distances = problem.distances
        return lambda start: traverse(distances, k, last=zero, start=start)
    if isinstance(problem, ConditionalDPP):
        kernel = problem.kernel
        return lambda start: cholesky_greedy(
            kernel, k, last=zero, first=None if start is None else np.arange(n) == start
        )[0]
    if isinstance(problem, ImplicitWeight):
        gram = problem.gram
        last = zero_updates(gram)
        return lambda start: (
            energy_greedy(gram, k, last=last) if start is None or k == 0 else _energy_greedy_from(gram, k, start)
        )
    raise TypeError(f"multi_start has no greedy for the objective {problem.name!r}")


def _energy_greedy_from(gram: Float, k: int, start: int) -> Int:
    """`energy_greedy` whose first token is given."""
    last = zero_updates(gram)
    gain = 2 * gram.sum(axis=1) - gram.diagonal()
    free = np.ones(len(gram), dtype=np.bool_)
    chosen = np.empty(k, dtype=np.int64)
    for t in range(k):
        j = chosen[t] = start if t == 0 else best_token(gain, free, last)
        free[j] = False
        gain = gain - 2 * gram[j]
    return chosen

"""Local search in plain numpy: the greedy, best-improvement 1-swaps, then seeded rounds of exploration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity, Problem, Status
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.local_search.log_det_naive import LogDetSearch
from solvers.local_search.max_min_naive import MaxMinSearch
from solvers.local_search.max_sum_naive import MaxSumSearch
from solvers.local_search.rank1_naive import Rank1Search


class Search(Protocol):
    """What local search needs of an objective."""

    def greedy(self) -> Int:
        """The start."""

    def climb(self, subset: Int, request: Request) -> Int:
        """Best-improvement swaps until none improves or time is up."""

    def explore(self, subset: Int, turn: int, rng: np.random.Generator, request: Request) -> Int:
        """A local optimum no worse than the one given, by work that doubles with every `turn` (0, 1, ...)."""


SEARCHES: dict[str, Callable[[Any], Search]] = {
    MaxMinDiversity.name: MaxMinSearch,
    ConditionalDPP.name: LogDetSearch,
    ImplicitWeight.name: Rank1Search,
    MaxSumDiversity.name: MaxSumSearch,
}


def run(problem: Problem, request: Request, restarts: int = 4) -> Answer:
    """A set that no exchange of one token improves, at least as good as the greedy's, ascending.

    The greedy is climbed by best-improvement 1-swaps, then rounds of exploration follow. For max-min diversity a swap
    must raise (least distance, minus the number of pairs at it), and a round is a min-conflicts tabu search that asks
    for one distance threshold after another (cf. :cite:p:`porumbel2011simple,resende2010grasp`); for the other
    objectives a round is iterated local search: replace a sixth of the best set at random, climb, keep the result
    unless it is worse.

    Parameters
    ----------
    restarts : rounds after the first climb, >= 0; each works twice as long as the one before (up to the eighth).

    Notes
    -----
    The status is TIME_LIMIT when time ran out; the last climb is then unfinished. Without a binding limit the seed
    decides the answer.
    """
    if isinstance(restarts, bool) or not isinstance(restarts, int | np.integer):
        raise TypeError(f"restarts must be a whole number, got {restarts!r}")
    if restarts < 0:
        raise ValueError(f"restarts must be >= 0, got {restarts}")
    search = SEARCHES[problem.name](problem)
    rng = np.random.default_rng(request.seed)
    best = search.greedy()
    greedy_value = problem.value(best)
    rounds = 0
    if 0 < problem.k < problem.n:
        best = search.climb(best, request)
        while rounds < restarts and request.left > 0:
            best = search.explore(best, rounds, rng, request)
            rounds += 1
    status = Status.FEASIBLE if request.left > 0 else Status.TIME_LIMIT
    return Answer(np.sort(best), status=status, stats={"greedy": greedy_value, "rounds": rounds})

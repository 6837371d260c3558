"""Max-min diversity by node packing and bisection over the distances, with CP-SAT."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mmdp import MaxMinDiversity, Status, upper_bounds
from mmdp.checks import Float, Int
from solvers.answer import Answer, Request
from solvers.exact.options import whole
from solvers.exact.packing import Packing
from solvers.exact.start import first_set, settled

SHARE = 0.4  # of the time left, for one level
LEAST = 0.05  # seconds below which no level is tried


def run(problem: MaxMinDiversity, request: Request, workers: int = 1, piece: int = 100) -> Answer:
    """A set of k tokens whose least distance is proved to be the largest possible, ascending.

    The optimum is one of the distinct distances v_1 < v_2 < ...; a level l is refuted when no k tokens that satisfy the
    constraints are pairwise at least v_l apart, a question of packing nodes in the graph of closer pairs
    :cite:p:`sayyady2016integer,franco2015setpacking`, see `Packing`. Greedy and local search give the first level
    below, the bounds of `upper_bounds` the first one above. Then the levels between are tried: first the one right
    above the best set (the last question when local search is right, as it mostly is), further up in growing steps
    while sets are found, in shrinking ones after a level is refuted. A set that is found raises the lower end to its
    own least distance. Only distances are compared, never scaled or added, so the proof is exact for the matrix given.

    With a time limit, a level gets at most two fifths of what is left. After a level that was not decided, levels are
    refuted from the top. The bound is the largest distance that was not refuted.

    Parameters
    ----------
    workers : threads of CP-SAT, >= 1; with 1 the answer is reproducible.
    piece : most tokens in one CP-SAT model, >= 1; larger graphs are split first.

    Notes
    -----
    NP-hard: exponential in the worst case. Photo tokens take seconds at n = 576 on one core, i.i.d. Gaussian ones at
    n = 100.

    Examples
    --------
    >>> from solvers import solve
    >>> problem = MaxMinDiversity.from_distances([[0, 1, 3], [1, 0, 2], [3, 2, 0]], k=2)
    >>> solve(problem, "node_packing").indices.tolist()
    [0, 2]
    """
    whole(workers, "workers", 1)
    whole(piece, "piece", 1)
    answer = settled(problem, request)
    if answer is not None:
        return answer
    levels = np.unique(problem.distances[np.triu_indices(problem.n, 1)])
    subset = first_set(problem, request)
    ladder = _Ladder(problem, levels, subset, Packing(problem, workers, piece))
    status = Status.TIME_LIMIT
    try:
        ladder.lower_top(min(upper_bounds(problem).values(), default=math.inf))
        ladder.climb(request)
        ladder.descend(request)
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    if ladder.closed:
        status = Status.OPTIMAL
    return Answer(ladder.subset, bound=float(levels[ladder.high - 1]), status=status, stats=ladder.stats())


@dataclass
class _Ladder:
    """The levels still open: those above `low`, the level of the best set, and below `high`, the lowest refuted one."""

    problem: MaxMinDiversity
    levels: Float
    subset: Int
    packing: Packing
    found: int = 0
    refuted: int = 0
    undecided: int = 0

    def __post_init__(self) -> None:
        self.high = len(self.levels)
        self._raise(self.subset)

    @property
    def closed(self) -> bool:
        return self.high - self.low <= 1

    def stats(self) -> dict[str, int]:
        return {
            "levels": len(self.levels),
            "found": self.found,
            "refuted": self.refuted,
            "undecided": self.undecided,
            "models": self.packing.models,
            "largest_model": self.packing.tokens,
        }

    def lower_top(self, bound: float) -> None:
        """No set is above `bound`."""
        self.high = max(self.low + 1, int(np.searchsorted(self.levels, bound, side="right")))

    def climb(self, request: Request) -> None:
        """Upwards from the best set until every level is decided, or one is not."""
        step = 1
        while not self.closed:
            verdict = self._try(min(self.low + step, (self.low + self.high) // 2), request)
            if verdict is None:
                return
            step = 2 * step if verdict else max(1, step // 2)

    def descend(self, request: Request) -> None:
        """Refute levels from the top, by bisection above the highest undecided one."""
        floor = self.low
        while not self.closed and request.left > LEAST:
            if self.high - floor <= 1:
                floor = self.low
            level = (floor + self.high) // 2
            if self._try(level, request) is None:
                floor = level
            floor = max(floor, self.low)

    def _try(self, level: int, request: Request) -> bool | None:
        """Whether some set reaches the level; None when time was up."""
        if request.left <= LEAST:
            return None
        short = request
        if request.time_limit is not None:
            short = replace(request, time_limit=request.time_limit - (1 - SHARE) * request.left)
        try:
            subset = self.packing.at_least(float(self.levels[level]), short)
        except TimeoutError:
            self.undecided += 1
            return None
        if subset is None:
            self.high = level
            self.refuted += 1
            return False
        self._raise(subset)
        self.found += 1
        return True

    def _raise(self, subset: Int) -> None:
        self.subset = subset
        self.low = int(np.searchsorted(self.levels, self.problem.value(subset)))

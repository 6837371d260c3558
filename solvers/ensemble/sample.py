"""Samples of the optimal and near-optimal sets."""

from __future__ import annotations

import math
import time
from typing import Any, Protocol

import numpy as np

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, Problem, Selection, Status
from mmdp.checks import Int
from solvers.solve import solve

SECONDS = 10.0
TOLERANCE = 1e-9  # of log det (nats) and of the rank-1 energy (relative), as in their exact methods
MOST = 20_000  # sets that are listed before the sample is drawn from the list
FRUITLESS = 40  # attempts without a new set, after which there is taken to be none within reach


class Level(Protocol):
    """The sets of value >= a threshold."""

    def everything(self, most: int, deadline: float) -> Int | None:
        """All of them as ascending rows, or None where they are too many to list, or that takes too long."""

    def restart(self, rng: np.random.Generator, deadline: float) -> Int | None:
        """One of them, from a randomised search, or None."""

    def walk(self, tokens: Int, rng: np.random.Generator) -> Int:
        """Another, from a random walk of swaps."""


def optimal_sets(
    problem: Problem,
    eps: float = 0.0,
    count: int = 20,
    seed: int = 0,
    time_limit: float | None = None,
    *,
    best: Selection | None = None,
) -> list[Selection]:
    """Distinct sets of (nearly) the best value.

    One pair of tokens fixes the value of max-min diversity, so optimal sets are many, and methods that reach the same
    value can keep quite different tokens. The sets returned have a value of at least

    * max-min: (1 - eps) v, v the best value known; distances are compared exactly;
    * conditional-dpp: v - eps - 1e-9, in nats;
    * implicit-weight: v - (eps + 1e-9) |v|.

    Where the whole level set can be listed (at most 20,000 sets, found within a few seconds of clique search and half
    of the time, or 5000 subsets in all for the other two objectives), all of it is returned, or a uniform sample.
    Otherwise sets come from randomised restarts, each followed by a random walk of single swaps that stays in the level
    set. Such a walk tends to the uniform distribution on the part of the level set that swaps connect,
    but its length is bounded and the restarts favour what the search finds easily: the sample is **not uniform** and must not
    be read as one.

    Parameters
    ----------
    problem : one of the package's objectives, without constraints.
    eps : distance from the best value, >= 0; below 1 for max-min.
    count : how many sets at most, >= 1.
    seed : of everything random.
    time_limit : seconds; None means 10. Up to half of them go to finding and proving the best value.
    best : a selection of the same problem whose value and bound are used instead of solving it here.

    Returns
    -------
    list of Selection : at least one, each with the value by its definition, the bound that `best` has, and in
        `stats`: "complete" (the list holds every set of the level), "distribution" ("all", "uniform", "not uniform"),
        "threshold", and "reference" ("optimum" where v is proved optimal, else "best known").

    Raises
    ------
    TypeError : an objective of your own. ValueError : constraints, eps, count or time_limit out of range, a problem
        whose sets all have value -inf.

    Notes
    -----
    Memory O(n^2). A restart of max-min is a min-conflicts search as in `branch_and_bound`; see :cite:p:`wu2012multineighborhood`.

    Examples
    --------
    >>> from mmdp import MaxMinDiversity
    >>> problem = MaxMinDiversity.from_features([[1, 0], [0, 1], [-1, 0], [0, -1]], k=2)
    >>> [(found.indices.tolist(), found.objective) for found in optimal_sets(problem)]
    [([0, 2], 2.0), ([1, 3], 2.0)]
    >>> optimal_sets(problem)[0].stats["complete"]
    True
    """
    limit = _checked(problem, eps, count, time_limit)
    started = time.perf_counter()
    if best is None:
        best = solve(problem, time_limit=limit / 2, seed=seed)
    if best.objective == -math.inf:
        raise ValueError(f"no set of {problem.k} tokens has a finite value, so there is no level to sample")
    threshold = _threshold(problem, eps, best.objective)
    rng = np.random.default_rng(seed)
    deadline = started + limit
    rows, complete, distribution = _rows(problem, threshold, np.sort(best.indices), count, rng, deadline)
    stats = {
        "complete": complete,
        "distribution": distribution,
        "threshold": threshold,
        "reference": "optimum" if best.proved else "best known",
    }
    seconds = time.perf_counter() - started
    return [_selection(problem, row, best, stats, seconds) for row in rows]


def _checked(problem: Problem, eps: float, count: int, time_limit: float | None) -> float:
    """The time limit, after a look at everything else."""
    if type(problem) not in (MaxMinDiversity, ConditionalDPP, ImplicitWeight):
        raise TypeError(f"optimal_sets takes the objectives of this package, got {type(problem).__name__}")
    if problem.constraints:
        raise ValueError("optimal_sets cannot honour constraints")
    most = 1.0 if isinstance(problem, MaxMinDiversity) else math.inf
    if not 0.0 <= eps < most:
        raise ValueError(f"eps must be >= 0 and below {most:g}, got {eps}")
    if isinstance(count, bool) or not isinstance(count, int | np.integer):
        raise TypeError(f"count must be a whole number, got {count!r}")
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    limit = SECONDS if time_limit is None else time_limit
    if not 0 <= limit < math.inf:
        raise ValueError(f"time_limit must be a finite number of seconds >= 0, got {time_limit}")
    return limit


def _threshold(problem: Problem, eps: float, value: float) -> float:
    if isinstance(problem, MaxMinDiversity):
        return (1.0 - eps) * value
    if isinstance(problem, ConditionalDPP):
        return value - eps - TOLERANCE
    return value - (eps + TOLERANCE) * abs(value)


def _rows(
    problem: Problem, threshold: float, best: Int, count: int, rng: np.random.Generator, deadline: float
) -> tuple[list[Int], bool, str]:
    """(sets, whether these are all, how they are distributed)."""
    n, k = problem.n, problem.k
    if k in (0, n):
        return [np.arange(k)], True, "all"
    if k == 1 and isinstance(problem, MaxMinDiversity):
        chosen = np.sort(rng.permutation(n)[:count]) if count < n else np.arange(n)
        return [np.array([i]) for i in chosen], count >= n, "all" if count >= n else "uniform"
    level = level_of(problem, threshold, best)
    listed = level.everything(MOST, deadline) if time.perf_counter() < deadline else None
    if listed is not None:
        if len(listed) <= count:
            return list(listed), True, "all"
        return list(listed[np.sort(rng.permutation(len(listed))[:count])]), False, "uniform"
    found: dict[bytes, Int] = {}
    fruitless = 0
    while len(found) < count and fruitless < FRUITLESS and time.perf_counter() < deadline:
        start = level.restart(rng, deadline)
        if start is None:
            start = best if not found else list(found.values())[rng.integers(len(found))]
        tokens = level.walk(start, rng)
        fruitless += 1
        if tokens.tobytes() not in found and problem.value(tokens) >= threshold:
            found[tokens.tobytes()] = tokens
            fruitless = 0
    return list(found.values()) or [best], False, "not uniform"


def level_of(problem: Any, threshold: float, best: Int) -> Level:
    """The level set; `best` is one of its members. Imports the compiled kernels."""
    if isinstance(problem, MaxMinDiversity):
        from solvers.ensemble.max_min_level import MaxMinLevel

        return MaxMinLevel(problem, threshold, best)
    from solvers.ensemble.swap_level import SwapLevel

    return SwapLevel(problem, threshold, best)


def _selection(problem: Problem, tokens: Int, best: Selection, stats: dict[str, Any], seconds: float) -> Selection:
    value = problem.value(tokens)
    bound = max(value, best.bound)
    return Selection(
        indices=tokens,
        objective=value,
        bound=bound,
        status=Status.OPTIMAL if value == bound else Status.FEASIBLE,
        solver="optimal_sets:cpu",
        problem=best.problem,
        gap_kind=problem.gap_kind,
        seconds=seconds,
        stats=dict(stats),
    )

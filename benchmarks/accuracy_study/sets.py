"""The sets of tokens that are compared: from random ones to the best known, and deliberately bad ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.accuracy_study import design
from mmdp import ConditionalDPP, MaxMinDiversity, Problem, Selection
from mmdp.checks import Float, Int
from solvers import optimal_sets, refined, solve


@dataclass(frozen=True, eq=False)
class Named:
    """A set under a name; the names of several sets of a kind end in "/0", "/1", ..."""

    name: str
    kept: Int
    value: float


@dataclass(frozen=True, eq=False)
class Family:
    """The sets of one objective.

    Attributes
    ----------
    best, bound, proved : the best value known, what no set exceeds, and whether they are the same.
    floor : the mean value of the random sets.
    slack : how far below the best the sets of the ensemble may be, as a share of best - floor.
    """

    sets: tuple[Named, ...]
    best: float
    bound: float
    proved: bool
    floor: float
    slack: float

    def at(self, places: Int) -> Family:
        """The same sets as indices of a larger ground set, token i being its token places[i]."""
        return replace(self, sets=tuple(replace(each, kept=places[each.kept]) for each in self.sets))


def random_sets(n: int, k: int, seed: int) -> list[Int]:
    """Uniform."""
    rng = np.random.default_rng(seed)
    return [np.sort(rng.permutation(n)[:k]) for _ in range(design.RANDOM_SETS)]


def clustered_sets(distances: Float, k: int, seed: int) -> list[Int]:
    """A random token and its k - 1 nearest: deliberately bad."""
    centres = np.random.default_rng(seed).permutation(len(distances))[: design.CLUSTERED]
    return [np.sort(np.argsort(distances[c], kind="stable")[:k]) for c in centres]


def build_family(
    name: str, problem: Problem, draws: list[Int], seed: int, others: dict[str, Int] | None = None
) -> Family:
    """Every set of an objective.

    Parameters
    ----------
    name : a key of `design.ENSEMBLE`.
    draws : the random sets.
    others : further sets by name.
    """
    made = {f"random/{i}": kept for i, kept in enumerate(draws)} | (others or {})
    floor = float(np.mean([problem.value(kept) for kept in draws]))
    for method in ("greedy", "multi_start", "local_search"):
        found = solve(problem, method, time_limit=design.SECONDS.get(method), seed=seed, bound="none")
        made[method] = found.indices
    best = _best(problem, [made["multi_start"], made["local_search"]], seed)
    made["best"] = best.indices
    slack = 0.0
    if design.ENSEMBLE[name]:
        sample, slack = _ensemble(problem, best, floor, design.ENSEMBLE[name], seed)
        made |= {f"ensemble/{i}": kept for i, kept in enumerate(sample)}
    if isinstance(problem, MaxMinDiversity):
        for criterion in ("leximin", "cover"):
            found = refined(problem, best, criterion, seed=seed, time_limit=design.SECONDS["refined"])
            made[criterion] = found.indices
    if design.AT_LEVEL[name]:
        for level in design.LEVELS:
            room = (1.0 - level) * (best.objective - floor)  # walks of swaps end at or a little above a level
            sample = _near(problem, best, room, design.AT_LEVEL[name], seed, design.SECONDS["level"])
            made |= {f"level {level}/{i}": kept for i, kept in enumerate(sample)}
    sets = tuple(Named(label, np.sort(kept), problem.value(kept)) for label, kept in made.items())
    return Family(sets, best.objective, best.bound, best.proved, floor, slack)


def _best(problem: Problem, known: list[Int], seed: int) -> Selection:
    """The best of the exact method, stopped where it has to be, and of what is known, with the bound of the former."""
    best = solve(problem, "exact", time_limit=design.SECONDS["exact"], seed=seed)
    for kept in known:
        if (value := problem.value(kept)) > best.objective:
            best = replace(best, indices=np.sort(kept), objective=value, bound=max(value, best.bound), certificate=None)
    return best


def _ensemble(problem: Problem, best: Selection, floor: float, count: int, seed: int) -> tuple[list[Int], float]:
    """`count` sets of the first slack that has them, else those of the last."""
    for slack in design.SLACKS:
        sample = _near(problem, best, slack * (best.objective - floor), count, seed, design.SECONDS["ensemble"])
        if len(sample) >= count:
            break
    return sample, slack


def _near(problem: Problem, best: Selection, room: float, count: int, seed: int, seconds: float) -> list[Int]:
    """Sets with values of at least best - room."""
    eps = max(room, 0.0)
    if not isinstance(problem, ConditionalDPP):
        eps = min(eps / abs(best.objective), 1.0 - 1e-9) if best.objective else 0.0
    found = optimal_sets(problem, eps, count, seed, seconds, best=best)
    return [each.indices for each in found]


def covering(distances: Float) -> Callable[[Int], tuple[float, float]]:
    """kept -> (covering radius, mean distance to the nearest kept token)."""

    def of(kept: Int) -> tuple[float, float]:
        nearest = distances[:, kept].min(axis=1)
        return float(nearest.max()), float(nearest.mean())

    return of

"""Approximation factors, known before anything is solved, as data: tests try to break them, the documentation prints
them.

A guarantee (a priori, from the algorithm) is not a certificate (a posteriori, from the numbers; see `mmdp.bounds`).
Two that are often quoted do **not** hold and are not here: 1/2 for farthest-first on 1 - cos, which is not a metric
(1/4 is right, and tight); and 1 - 1/e for greedy MAP, since log det of a kernel with diagonal <= 1 is not monotone.

All are stated on nonzero rows. Distances that `GroundSet` snaps to 0 count as the largest that it snaps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from mmdp.ground_set import SNAP
from mmdp.objectives import ConditionalDPP, ImplicitWeight, MaxMinDiversity
from mmdp.problem import Problem

SLACK = 1e-9  # relative, for rounding


@dataclass(frozen=True)
class Guarantee:
    """One theorem about one algorithm.

    Attributes
    ----------
    name : short, unique.
    objective : name of the objective.
    solvers : names in the catalogue whose output the theorem is about.
    statement : the theorem in one sentence.
    conditions : when it applies, in words.
    factor : the factor, in a few signs.
    source : bibliography key of the original; for a result derived from it the reasoning stands in `statement` or
        beside the row.
    applies : whether the conditions hold for a problem. What concerns a run (no pivot rejected, a local optimum)
        cannot be seen from the problem and stands in `conditions` alone.
    holds : (problem, value, optimum) -> whether a solver's value keeps the promise.
    """

    name: str
    objective: str
    solvers: tuple[str, ...]
    statement: str
    conditions: str
    factor: str
    source: str
    applies: Callable[[Problem], bool]
    holds: Callable[[Problem, float, float], bool]


def angular_factor(optimum: float) -> float:
    """1 / (4 cos^2(phi / 4)) with phi = arccos(1 - optimum): what farthest-first reaches of a known optimum in 1 - cos.

    Grows from 1/4 (phi -> 0) to 1/2 (phi = pi).

    >>> round(angular_factor(0.0), 6), round(angular_factor(2.0), 6)
    (0.25, 0.5)
    """
    return 1 / (4 * math.cos(math.acos(min(max(1 - optimum, -1.0), 1.0)) / 4) ** 2)


def _angular(problem: Problem) -> bool:
    return (
        isinstance(problem, MaxMinDiversity)
        and problem.ground.metric == "cosine"
        and not problem.ground.zero_rows.any()
    )


def _metric(problem: Problem) -> bool:
    return isinstance(problem, MaxMinDiversity) and not problem.ground.zero_rows.any() and problem.ground.is_metric


def _submodular(problem: Problem) -> bool:
    return isinstance(problem, ImplicitWeight) and problem.is_submodular


def _at_least(value: float, promised: float) -> bool:
    return value >= promised or value >= promised - SLACK * abs(promised)


def _half(problem: Problem, value: float, optimum: float) -> bool:
    snapped = math.sqrt(2 * SNAP) if problem.ground.metric == "chordal" else 0.0
    return _at_least(max(value, snapped), optimum / 2)


def _quarter(problem: Problem, value: float, optimum: float) -> bool:
    return _at_least(max(value, SNAP), optimum / 4)


def _angular_share(problem: Problem, value: float, optimum: float) -> bool:
    return _at_least(max(value, SNAP), angular_factor(optimum) * optimum)


def _volume(problem: Problem, value: float, optimum: float) -> bool:
    promised = optimum - 2 * math.lgamma(problem.k + 1)
    return value >= promised or value >= promised - SLACK * max(1.0, abs(promised))


def _explained(problem: Problem, value: float, optimum: float, factor: float) -> bool:
    total = problem.total_energy if isinstance(problem, ImplicitWeight) else math.nan
    return total + value >= factor * (total + optimum) - SLACK * total


GUARANTEES: tuple[Guarantee, ...] = (
    Guarantee(
        name="farthest-first, metric",
        objective=MaxMinDiversity.name,
        solvers=("farthest_first",),
        statement=(
            "min d over the picks >= 1/2 of the optimum: the k optimal tokens share the k - 1 balls around the "
            "earlier picks whose radius a is the last picking distance, so two of them lie within 2 a of each "
            "other."
        ),
        conditions="d obeys the triangle inequality (chordal, Euclidean); any start token.",
        factor="1/2",
        source="ravi1994heuristic",
        applies=_metric,
        holds=_half,
    ),
    Guarantee(
        name="farthest-first, 1 - cos",
        objective=MaxMinDiversity.name,
        solvers=("farthest_first",),
        statement=(
            "min (1 - cos) over the picks >= 1/4 of the optimum, since 1 - cos is half the square of the chord, "
            "a metric with the same order; tight, also for DivPrune's start."
        ),
        conditions="cosine distance; any start token.",
        factor="1/4",
        source="ravi1994heuristic",
        applies=_angular,
        holds=_quarter,
    ),
    Guarantee(
        name="farthest-first, 1 - cos, by the optimum",
        objective=MaxMinDiversity.name,
        solvers=("farthest_first",),
        statement=(
            "min (1 - cos) over the picks >= 1 - cos(phi*/2) = (1 - cos phi*) / (4 cos^2(phi*/4)) with phi* the "
            "angle of the optimum, since the angle is a metric with the same order."
        ),
        conditions="cosine distance; any start token.",
        factor="1/(4 cos^2(phi*/4)), in (1/4, 1/2]",
        source="ravi1994heuristic",
        applies=_angular,
        holds=_angular_share,
    ),
    Guarantee(
        name="greedy MAP",
        objective=ConditionalDPP.name,
        solvers=("greedy_map",),
        statement=(
            "det L_greedy >= det L_S / (k!)^2 for every |S| = k, where each pick is the token farthest from the "
            "span of the earlier ones."
        ),
        conditions="L positive semidefinite, and greedy made all k picks itself (no pivot rejected as dependent).",
        factor="1/(k!)^2 on det",
        source="civril2009selecting",
        applies=lambda problem: isinstance(problem, ConditionalDPP),
        holds=_volume,
    ),
    Guarantee(
        name="rank-1 greedy",
        objective=ImplicitWeight.name,
        solvers=("rank1",),
        statement=(
            "F(greedy) >= (1 - 1/e) F(S) for every |S| = k, with F = 1'G1 - y'Gy the explained energy, which is "
            "monotone and submodular with F(empty) = 0 when G >= 0."
        ),
        conditions="G >= 0 entrywise, as in the squared form; it bounds the explained energy, not the energy left.",
        factor="1 - 1/e on the explained energy",
        source="nemhauser1978analysis",
        applies=_submodular,
        holds=lambda problem, value, optimum: _explained(problem, value, optimum, 1 - math.exp(-1)),
    ),
    # Proof for a 1-swap optimum S and any T, |T| = k, F monotone submodular, F(empty) = 0. Take s in S and write
    # T as t_1, ..., t_k. No swap gains, so F(S-s+t) - F(S-s) <= F(S) - F(S-s) =: m(s) (for t in S it is 0 or
    # m(s)). Adding T to S-s token by token, F(T) <= F(S-s+t_1) + sum_{i>1} (F(S-s+t_i) - F(S-s)) <= F(S) + (k-1)
    # m(s). By submodularity the m(s) sum to at most F(S); the least of them gives F(T) <= F(S) (1 + (k-1)/k).
    Guarantee(
        name="1-swap",
        objective=ImplicitWeight.name,
        solvers=("local_search",),
        statement=(
            "F(S) >= k/(2k - 1) F(T) for every |T| = k when no exchange of one token raises the explained "
            "energy F: F(T) <= F(S) + (k - 1) m, with m <= F(S)/k the least loss of dropping one token of S."
        ),
        conditions="G >= 0 entrywise, and S is a local optimum (the search ended by itself).",
        factor="k/(2k - 1) on the explained energy",
        source="nemhauser1978analysis",
        applies=_submodular,
        holds=lambda problem, value, optimum: _explained(
            problem, value, optimum, problem.k / max(1, 2 * problem.k - 1)
        ),
    ),
)

"""Measure one case of the greedy benchmark, behind the rule that a ratio needs the same answer."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.greedy_calls import Int, picks_of
from benchmarks.greedy_cases import ONE, Case
from benchmarks.greedy_check import TOLERANCE, same_answer, shortfall
from benchmarks.greedy_contenders import CONTENDERS, OURS, Contender
from benchmarks.greedy_inputs import Sample, sample
from benchmarks.paired import paired


def measure(case: Case, seconds: float) -> dict[str, Any]:
    """The row of a case: our median, and for each peer its median and ratio, or why there is none.

    Raises
    ------
    ValueError : our own answer is wrong in float64: nothing is to be said about its speed.
    """
    row = [each for each in CONTENDERS if each.algorithm == case.algorithm]
    mine = next(each for each in row if each.name == OURS)
    samples = [sample(case.kind, case.n, case.d, seed) for seed in range(case.batch)]
    ours = mine.prepare(samples, case.k, [0] * case.batch)
    picks = picks_of(ours())
    check_ours(case, samples, picks)
    peers = {peer.name: against(case, peer, samples, ours, picks, seconds) for peer in row if peer is not mine}
    medians = [peer["ours_ms"] for peer in peers.values() if "ours_ms" in peer]
    own = {each.name for each in row if each.own}
    ratios = {name: peer["ratio"] for name, peer in peers.items() if "ratio" in peer and name not in own}
    if not ratios:
        raise ValueError(f"{case.name}: no peer gives the same answer")
    return {
        **vars(case),
        "ours_ms": float(np.median(medians)),
        "best_peer": min(ratios, key=lambda name: ratios[name]),
        "ratio": min(ratios.values()),
        "peers": peers,
    }


def check_ours(case: Case, samples: list[Sample], picks: Int) -> None:
    """ValueError unless every pick of ours is within 1e-6 of the best of its step, in float64."""
    for each, chosen in zip(samples, picks, strict=True):
        lost = shortfall(algorithm_of(case), each, chosen)
        if len(chosen) != case.k or lost > TOLERANCE:
            raise ValueError(f"{case.name}: ours is {lost:.2g} off the best token of a step; nothing is timed")


def against(
    case: Case, peer: Contender, samples: list[Sample], ours: Any, picks: Int, seconds: float
) -> dict[str, Any]:
    """One peer: its times, or the words that stand in their place."""
    if reason := peer.absent(case.kind, case.n):
        return {"left_out": reason}
    theirs = peer.prepare(samples, case.k, picks[:, 0].tolist())
    answer = picks_of(theirs())
    pairs = list(zip(samples, picks, answer, strict=True))
    if not all(same_answer(algorithm_of(case), each, mine, other) for each, mine, other in pairs):
        common = int(np.mean([len(set(mine.tolist()) & set(other.tolist())) for _, mine, other in pairs]))
        return {"other_answer": f"{common} of {case.k} tokens in common"}
    ours()
    clock = time.process_time if case.cores == ONE else time.perf_counter
    times = paired(ours, theirs, clock=clock, seconds=seconds)
    return {
        "ours_ms": 1e3 * times.ours,
        "ms": 1e3 * times.theirs,
        "ratio": times.ratio,
        "rounds": times.rounds,
        "same_sequence": bool((answer == picks).all()),
    }


def algorithm_of(case: Case) -> str:
    """The rule by which the answers are compared."""
    return case.algorithm.partition(",")[0]

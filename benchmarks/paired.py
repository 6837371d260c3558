"""Two functions timed in turns, so that a slow moment of the machine falls on both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

Call = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Pair:
    """Medians over the rounds. The ratio is the median of the rounds' own ratios, not that of the medians."""

    ours: float
    theirs: float
    ratio: float
    rounds: int


def paired(
    ours: Call,
    theirs: Call,
    *,
    clock: Clock = time.perf_counter,
    seconds: float = 1.0,
    least: int = 3,
    most: int = 25,
) -> Pair:
    """Time both once a round, in alternating order; as many rounds as fit into `seconds`, `least` to `most`.

    Both should have run before: the first round is not warm-up. With one thread ``time.process_time`` counts the
    seconds of the processor, and what else runs on the machine does not.
    """
    rounds: list[tuple[float, float]] = []
    enabled, started = gc.isenabled(), clock()
    gc.disable()
    try:
        while len(rounds) < least or (len(rounds) < most and clock() - started < seconds):
            if len(rounds) % 2:
                second = once(theirs, clock)
                first = once(ours, clock)
            else:
                first = once(ours, clock)
                second = once(theirs, clock)
            rounds.append((first, second))
    finally:
        if enabled:
            gc.enable()
    return Pair(
        statistics.median(first for first, _ in rounds),
        statistics.median(second for _, second in rounds),
        statistics.median(second / first for first, second in rounds),
        len(rounds),
    )


def once(call: Call, clock: Clock) -> float:
    """Seconds of one call."""
    started = clock()
    call()
    return clock() - started

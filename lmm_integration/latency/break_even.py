"""From which output length, and from which batch, pruning pays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Lengths:
    """Output lengths at which pruning pays, both ends included."""

    first: int
    last: int

    def __contains__(self, n: int) -> bool:
        return self.first <= n <= self.last


def break_even_length(ahead: float, gain: float, longest: int) -> Lengths | None:
    """The output lengths n in [1, longest] at which the pruned request takes no longer than the unpruned one.

    An output of n tokens takes first + (n - 1) step, where `first` is everything up to the first token (vision,
    relevance, selection, prefill, and what lies between), so that pruning saves ahead + (n - 1) gain. That is a straight
    line, and the lengths at which it is >= 0 are one stretch: from 1 on where the prefill saves more than the selection
    costs; later where each decoding step pays a little back; up to a last one where slower steps eat the lead up. None:
    never within the sweep.

    Parameters
    ----------
    ahead : milliseconds saved up to the first token; negative where the selection costs more than it saves.
    gain : milliseconds saved by each further token.

    >>> break_even_length(-30, 2, 128), break_even_length(-30, 0.1, 128)
    (Lengths(first=16, last=128), None)
    """
    if ahead >= 0:
        return Lengths(1, longest if gain >= 0 else min(longest, 1 + math.floor(ahead / -gain)))
    if gain <= 0:
        return None
    first = 1 + math.ceil(-ahead / gain)
    return Lengths(first, longest) if first <= longest else None


def break_even_batch(pays: Mapping[int, bool]) -> int | None:
    """The smallest batch of a sweep from which on pruning pays: there, and at every larger batch that was measured.

    Parameters
    ----------
    pays : batch -> whether the pruned request takes no longer than the unpruned one.

    None: never within the sweep.

    >>> break_even_batch({1: False, 4: True, 8: True}), break_even_batch({1: True, 4: False})
    (4, None)
    """
    found = None
    for batch in sorted(pays, reverse=True):
        if not pays[batch]:
            break
        found = batch
    return found

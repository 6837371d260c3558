"""What is known so far: a set, and the smallest distance level that is proved out of reach."""

from __future__ import annotations

import numpy as np

from mmdp.certificates import Certificate, ColouringCertificate
from mmdp.checks import Float, Int


def min_distance(distances: Float, tokens: Int) -> float:
    """The smallest distance between two of at least two tokens."""
    inside = distances[np.ix_(tokens, tokens)]
    return float(inside[np.triu_indices(len(tokens), 1)].min())


class Bracket:
    """The optimum lies in levels[low] .. levels[high - 1].

    Attributes
    ----------
    distances, k : the problem, 2 <= k <= n.
    tokens : (k,) the best set so far.
    levels : the distinct distances from the first set's value up, ascending.
    low : index of the value of `tokens`.
    high : index of the smallest refuted level, len(levels) at first.
    certificate : what proves that, where it was written down.
    """

    def __init__(self, distances: Float, tokens: Int) -> None:
        self.distances, self.k, self.tokens = distances, len(tokens), tokens
        value = min_distance(distances, tokens)
        upper = distances[np.triu_indices(len(distances), 1)]
        self.levels: Float = np.unique(upper[upper >= value])
        self.low, self.high = 0, len(self.levels)
        beyond = float(np.nextafter(self.levels[-1], np.inf))
        nothing = np.zeros((0, 3), np.int64)
        self.certificate: Certificate | None = ColouringCertificate(beyond, np.full(len(distances), -1), nothing)

    @property
    def value(self) -> float:
        """Of the best set."""
        return float(self.levels[self.low])

    @property
    def bound(self) -> float:
        """No set has a larger value."""
        return float(self.levels[self.high - 1])

    @property
    def closed(self) -> bool:
        """Whether the best set is proved optimal."""
        return self.high - self.low <= 1

    def found(self, tokens: Int) -> None:
        """A set of k tokens; kept when it is better."""
        index = int(np.searchsorted(self.levels, min_distance(self.distances, tokens)))
        if index > self.low:
            self.tokens = tokens  # first: an interruption in between must not leave a worse set at a higher level
            self.low = index

    def refuted(self, threshold: float, certificate: Certificate | None) -> None:
        """No k tokens are pairwise at distance >= threshold; the certificate says so, when there is one."""
        index = int(np.searchsorted(self.levels, threshold))
        if index < self.high:
            self.certificate = certificate  # first, for the same reason
            self.high = index

    def between(self, threshold: float) -> float:
        """A threshold with the same far pairs, where possible in the middle between two distances."""
        index = int(np.searchsorted(self.levels, threshold))
        if not 0 < index < len(self.levels):
            return threshold
        middle = float((self.levels[index - 1] + self.levels[index]) / 2)
        return middle if self.levels[index - 1] < middle else threshold

    def index_at(self, threshold: float) -> int:
        """The open level nearest above a threshold; the bracket must not be closed."""
        index = int(np.searchsorted(self.levels, threshold))
        return min(max(index, self.low + 1), self.high - 1)

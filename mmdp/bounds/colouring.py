"""Upper bounds on max-min diversity from colourings of the far graph, for one budget or many at once."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from mmdp.bounds.far_graph import FarGraph
from mmdp.bounds.max_min import farthest_first_picks
from mmdp.checks import Float, Int, as_budget, as_distances

KEPT_GRAPHS = 64  # far graphs held at once; neighbouring budgets ask for the same thresholds


class Colouring(NamedTuple):
    """Why no k tokens are pairwise at distance >= threshold; see `mmdp.certificates.ColouringCertificate`."""

    bound: float  # the largest distance below the threshold
    threshold: float
    classes: Int  # (n,), -1 outside the core
    triples: Int  # (q, 3) classes that count as two


def colouring_bound(distances: Any, k: int) -> float:
    """The largest distance that no colouring refutes: an upper bound on the optimum, for any distances.

    For a threshold t join i and j when d_ij >= t. A set of value >= t is a clique of size k of this far graph: it
    lies in the (k-1)-core (what remains after dropping, again and again, tokens with fewer than k - 1 far
    neighbours), and it meets every class of a colouring at most once. So t is refuted when the core has fewer than k
    tokens or takes fewer than k colours. Colours are dealt greedily in smallest-last order; a token that would need
    colour k first tries to displace a single neighbour :cite:p:`tomita2010simple`, and else to join two classes with
    which it forms no triangle, so that the three count as two :cite:p:`sansegundo2015infra`.

    The thresholds are the distinct distances; bisection ends at neighbours v_l, v_(l+1) of which the upper one is
    refuted, hence the optimum is at most v_l. (Greedy colouring is not monotone in t, so v_l need not be the best
    such level; the bound holds anyway.)

    *Tolerance.* None: the proof only compares the float64 distances given. Deterministic.

    Parameters
    ----------
    distances : (n, n) symmetric, >= 0, zero diagonal; no triangle inequality needed.
    k : 0 <= k <= n; inf for k < 2.

    Notes
    -----
    Time O(n^2 log n), plus log n colourings with bit sets; about 0.05 s at n = 576, for all budgets at once 20 s.

    Examples
    --------
    >>> colouring_bound([[0, 1, 2], [1, 0, 3], [2, 3, 0]], 3)
    1.0
    """
    d = as_distances(distances)
    k = as_budget(k, len(d))
    return _Levels(d).lowest_refuted(k)[0] if k >= 2 else math.inf


def colouring_bounds(distances: Any, budgets: Iterable[int]) -> dict[int, float]:
    """`colouring_bound` for many budgets in one run; each at most the single one.

    What refutes a threshold for k refutes it for every larger budget, and all higher thresholds too. So budgets are
    taken upwards, each starts where the last one ended, thresholds that a farthest-first run attains are not tried,
    and the order and bit sets of a far graph serve all budgets. Each budget follows the bisection of
    `colouring_bound` and only skips levels whose answer is known, so it ends at least as low.

    Examples
    --------
    >>> colouring_bounds([[0, 1, 2], [1, 0, 3], [2, 3, 0]], [2, 3])
    {2: 3.0, 3: 1.0}
    """
    d = as_distances(distances)
    wanted = {k: as_budget(k, len(d)) for k in budgets}
    levels = _Levels(d)
    found = {k: levels.lowest_refuted(k)[0] if k >= 2 else math.inf for k in sorted(set(wanted.values()))}
    return {k: found[k] for k in wanted}


def best_colouring(distances: Float, k: int) -> Colouring:
    """`colouring_bound` with the colouring that proves it; k >= 2."""
    levels = _Levels(distances)
    bound, index = levels.lowest_refuted(k)
    threshold = threshold_above(distances, bound)
    graph = levels.graph(index) if index < len(levels.values) else FarGraph(distances >= threshold)
    colouring = graph.colouring(k)
    if colouring is None:
        raise RuntimeError(f"level {index} counts as refuted for k = {k}, but no colouring refutes it")
    return Colouring(bound, threshold, *colouring)


def coarse_colouring(distances: Float, k: int, low: float, high: float, steps: int) -> Colouring | None:
    """The lowest threshold that a few bisection steps between `low` and `high` refute; None when there is none."""
    found = None
    for _ in range(steps):
        threshold = (low + high) / 2
        colouring = FarGraph(distances >= threshold).colouring(k) if low < threshold else None
        if colouring is None:
            low = threshold
        else:
            high = threshold
            found = Colouring(float(distances[distances < threshold].max()), threshold, *colouring)
    return found


def threshold_above(distances: Float, bound: float) -> float:
    """A threshold in the middle between `bound` and the next larger distance, so that rounding does not move it."""
    above = distances[distances > bound]
    if not above.size:
        return 2 * bound if bound > 0 else 1.0
    upper = float(above.min())
    middle = bound + (upper - bound) / 2
    return middle if middle > bound else upper


class _Levels:
    """The distinct distances as thresholds, and which are known to be refuted for which budget."""

    def __init__(self, distances: Float) -> None:
        n = len(distances)
        self.distances = distances
        self.values: Float = np.unique(distances[np.triu_indices(n, 1)])
        self._refuted_at = np.full(n + 1, len(self.values))  # by budget: the lowest level refuted so far
        self.graph = lru_cache(maxsize=KEPT_GRAPHS)(self._graph)

    def _graph(self, index: int) -> FarGraph:
        return FarGraph(self.distances >= self.values[index])

    @cached_property
    def _attained(self) -> Float:
        """By budget, the value of a farthest-first prefix: no proof can refute it."""
        n = len(self.distances)
        picks = farthest_first_picks(self.distances, n, np.arange(n))
        inside = np.tril(self.distances[np.ix_(picks, picks)]) + np.where(np.tri(n, k=-1, dtype=bool), 0.0, np.inf)
        return np.concatenate([[np.inf], np.minimum.accumulate(inside.min(axis=1))])

    def lowest_refuted(self, k: int) -> tuple[float, int]:
        """The bound for a budget k >= 2, and the level just above it, which is refuted."""
        low, high = 0, len(self.values)  # values[0] is attained by every set; values[high] is refuted
        while high - low > 1:
            middle = (low + high) // 2
            if self._refutes(middle, k):
                high = middle
            else:
                low = middle
        high = min(high, int(self._refuted_at[k]))
        return float(self.values[high - 1]), high

    def _refutes(self, index: int, k: int) -> bool:
        if index >= self._refuted_at[k]:
            return True
        if self.values[index] <= self._attained[k]:
            return False
        graph = self.graph(index)
        least = graph.least_refuted
        if least > k and graph.coloured(k) is not None:
            least = k
        np.minimum(self._refuted_at[least:], index, out=self._refuted_at[least:])
        return bool(least <= k)

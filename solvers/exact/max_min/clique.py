"""Is there a clique of size k? Depth-first search on bit rows with the bounds of `propagation`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from enum import Enum

import numpy as np

from mmdp.checks import Bool, Int
from solvers.exact.max_min.bitsets import ZERO, Words, bit, full, leading_zeros, lowest, size
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.far_graph import FarGraph, far_graph
from solvers.exact.max_min.node_log import NOTHING, POSITION, Short, end_record, note_group, room, start_record
from solvers.exact.max_min.propagation import REST, colour_classes, needs_no_branch, tables

CHUNK_SECONDS = 0.03  # between two looks at the clock
_FOUND, _NONE, _LIMIT, _NO_ROOM = 1, 0, -1, -2


class Outcome(Enum):
    """What a search found out."""

    CLIQUE = "clique"  #: there is one: here it is
    NONE = "none"  #: proved: there is none
    UNDECIDED = "undecided"  #: the budget was spent


@kernel
def _search(
    far: Words,
    close: Words,
    k: int,
    candidates: Words,
    branches: Words,
    chosen: Int,
    depth: int,
    max_nodes: int,
    log: Short,
    cursor: Int,
    sets: Words,
    vertices: Int,
    classes: Int,
) -> tuple[int, int, int]:
    """Go on with the search at a node of the given depth that is not yet looked at: (outcome, depth, nodes).

    candidates[d] are the vertices joined to chosen[:d], branches[d] those of them still to try. A log with room is
    written from cursor[0] on, as `node_log` says.
    """
    width = far.shape[1]
    logged = len(log) > 0
    nodes = 0
    fresh = True
    while True:
        if fresh:
            need = k - depth
            if need == 0:
                return _FOUND, depth, nodes
            if nodes == max_nodes:
                return _LIMIT, depth, nodes
            if logged and cursor[0] + room(len(far), k) > len(log):
                return _NO_ROOM, depth, nodes
            nodes += 1
            fresh = False
            if size(candidates[depth]) < need:
                branches[depth] = ZERO
            else:
                left = colour_classes(close, candidates, depth, need - 1, sets, vertices, classes)
                if logged:
                    start_record(candidates, depth, log, cursor, sets, vertices)
                for w in range(width):
                    rest = sets[REST, w]
                    branches[depth, w] = rest
                    while left > 0 and need > 1 and rest != ZERO:
                        v = w * 64 + np.int64(lowest(rest))
                        rest &= ~bit(v)
                        if needs_no_branch(close, v, need - 1, sets, vertices, classes):
                            branches[depth, w] &= ~bit(v)
                            if logged:
                                note_group(v, need - 1, log, cursor, vertices, classes)
                if logged:
                    end_record(candidates, depth, log, cursor, vertices)
        v = -1
        for w in range(width - 1, -1, -1):
            if branches[depth, w] != ZERO:
                v = w * 64 + 63 - np.int64(leading_zeros(branches[depth, w]))
                branches[depth, w] &= ~bit(v)
                break
        if v >= 0:
            chosen[depth] = v
            for w in range(width):
                candidates[depth + 1, w] = candidates[depth, w] & far[v, w]
            depth += 1
            fresh = True
        elif depth == 0:
            return _NONE, depth, nodes
        else:  # all cliques with the last choice are done
            depth -= 1
            v = chosen[depth]
            candidates[depth, v >> 6] &= ~bit(v)


class CliqueSearch:
    """A search for a clique of size k >= 1 that can be stopped and taken up again.

    Attributes
    ----------
    graph, k : what is searched.
    nodes : looked at so far.
    outcome : what is known.
    most_words : of the log that it may write; 0 for none.
    """

    def __init__(self, graph: FarGraph, k: int, most_words: int = 0) -> None:
        m, width = graph.far.shape
        self.graph, self.k, self.nodes = graph, k, 0
        self.outcome = Outcome.UNDECIDED if m >= k else Outcome.NONE
        self._candidates = np.zeros((k + 1, width), np.uint64)
        self._candidates[0] = full(m)
        self._branches = np.zeros((k + 1, width), np.uint64)
        self._chosen = np.zeros(k, np.int64)
        self._depth = 0
        self._tables = tables(m, k)
        self._chunk = 64
        self.most_words = most_words
        self._log = NOTHING
        self._cursor = np.zeros(2, np.int64)
        if most_words:
            self._extend_log()

    def advance(self, max_nodes: int, deadline: float = math.inf) -> Outcome:
        """Search for at most `max_nodes` more nodes, or until `time.perf_counter()` passes the deadline."""
        last = self.nodes + max_nodes
        while self.outcome is Outcome.UNDECIDED and self.nodes < last:
            started = time.perf_counter()
            if started >= deadline:
                break
            found, self._depth, nodes = _search(
                self.graph.far,
                self.graph.close,
                self.k,
                self._candidates,
                self._branches,
                self._chosen,
                self._depth,
                min(self._chunk, last - self.nodes),
                self._log,
                self._cursor,
                *self._tables,
            )
            self.nodes += nodes
            if found == _NO_ROOM:
                self._extend_log()
            elif found != _LIMIT:
                self.outcome = Outcome.CLIQUE if found == _FOUND else Outcome.NONE
            rate = nodes / max(time.perf_counter() - started, 1e-6)
            self._chunk = max(1, min(4 * self._chunk, int(rate * CHUNK_SECONDS)))
        return self.outcome

    def _extend_log(self) -> None:
        """Twice the room; none any more where that exceeds what is allowed."""
        words = 2 * len(self._log) + room(len(self.graph.far), self.k)
        if words > self.most_words:
            self.most_words, self._log = 0, NOTHING
        else:
            self._log = np.concatenate([self._log, np.zeros(words - len(self._log), np.uint16)])

    @property
    def log(self) -> Short | None:
        """What was written, as `node_log` says; None when it was not asked for or became too long."""
        return self._log[: self._cursor[POSITION]] if self.most_words else None

    @property
    def clique(self) -> Int:
        """The tokens of the clique that was found, ascending."""
        return np.sort(self.graph.tokens[self._chosen])


@dataclass(frozen=True)
class Decision:
    """Outcome of `clique_of_size`: the clique (ascending) if there is one, and the nodes that it took."""

    outcome: Outcome
    clique: Int | None
    nodes: int


def clique_of_size(
    adjacent: Bool, k: int, *, max_nodes: int | None = None, time_limit: float | None = None
) -> Decision:
    """Decide whether a graph has a clique of size k >= 1.

    Parameters
    ----------
    adjacent : (n, n) symmetric boolean matrix; the diagonal is ignored.
    k : the size.
    max_nodes, time_limit : budgets in nodes and seconds; None means none.

    Examples
    --------
    >>> import numpy as np
    >>> pentagon = np.zeros((5, 5), bool)
    >>> for i in range(5):
    ...     pentagon[i, (i + 1) % 5] = pentagon[(i + 1) % 5, i] = True
    >>> clique_of_size(pentagon, 3).outcome, clique_of_size(pentagon, 2).clique.tolist()
    (<Outcome.NONE: 'none'>, [0, 1])
    """
    deadline = math.inf if time_limit is None else time.perf_counter() + time_limit
    search = CliqueSearch(far_graph(np.ascontiguousarray(adjacent, dtype=np.float64), 0.5, k), k)
    outcome = search.advance(2**62 if max_nodes is None else max_nodes, deadline)
    return Decision(outcome, search.clique if outcome is Outcome.CLIQUE else None, search.nodes)

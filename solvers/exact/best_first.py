"""Best-first branch and bound: the open nodes, and the loop that any branch and bound here runs."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable
from typing import Generic, NamedTuple, TypeVar

Node = TypeVar("Node")
MEMORY = 400e6  # bytes of open nodes above which the search dives


class Entry(NamedTuple, Generic[Node]):
    """An open node: `key` bounds everything below it (smaller is more promising), `size` is what it takes in bytes."""

    key: float
    order: int
    node: Node
    size: int


class OpenNodes(Generic[Node]):
    """Nodes waiting to be expanded, least key first.

    Once more than `budget` bytes are held, children of the node in hand go to a stack and are explored to their end
    first: such a depth-first dive holds a few nodes per level, so memory stops growing. The node in hand counts as open
    until `done`, so that `least` is a valid bound whenever the search is interrupted.

    Examples
    --------
    >>> nodes = OpenNodes(budget=100)
    >>> for key, name in [(3.0, "c"), (1.0, "a"), (2.0, "b")]:
    ...     nodes.push(key, name, size=8)
    >>> nodes.pop().node, nodes.least
    ('a', 1.0)
    >>> nodes.done()
    >>> nodes.least, len(nodes)
    (2.0, 2)
    """

    def __init__(self, budget: float = MEMORY) -> None:
        self.budget = budget
        self._heap: list[Entry[Node]] = []
        self._stack: list[Entry[Node]] = []
        self._in_hand: Entry[Node] | None = None
        self._held = 0
        self._count = itertools.count()

    def __len__(self) -> int:
        return len(self._heap) + len(self._stack) + (self._in_hand is not None)

    @property
    def least(self) -> float:
        """The least key of all; inf when nothing is open."""
        keys = [entry.key for entry in (*self._heap[:1], *self._stack)]
        if self._in_hand is not None:
            keys.append(self._in_hand.key)
        return min(keys, default=math.inf)

    def push(self, key: float, node: Node, size: int) -> None:
        """Add a node."""
        entry = Entry(key, next(self._count), node, size)
        self._held += size
        if self._held > self.budget:
            self._stack.append(entry)
        else:
            heapq.heappush(self._heap, entry)

    def pop(self) -> Entry[Node]:
        """Take the next node in hand."""
        self._in_hand = self._stack[-1] if self._stack else self._heap[0]
        if self._stack:
            self._stack.pop()
        else:
            heapq.heappop(self._heap)
        return self._in_hand

    def done(self) -> None:
        """Forget the node in hand."""
        if self._in_hand is not None:
            self._held -= self._in_hand.size
            self._in_hand = None


def explore(
    nodes: OpenNodes[Node],
    expand: Callable[[Node], Iterable[tuple[float, Node, int]]],
    cutoff: Callable[[], float],
    deadline: float,
) -> bool:
    """Expand open nodes until none has a key below the cutoff (True) or the deadline passes (False).

    `expand` gives the (key, node, size) of the children worth keeping; `cutoff` may fall as better sets are found;
    `deadline` is a time of `time.perf_counter`.
    """
    while len(nodes):
        if time.perf_counter() >= deadline:
            return False
        entry = nodes.pop()
        if entry.key < cutoff():
            for key, node, size in expand(entry.node):
                if key < cutoff():
                    nodes.push(key, node, size)
        nodes.done()
    return True

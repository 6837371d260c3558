"""Who takes part in the greedy benchmark: our compiled doors, the published loops, numpy, torch and packages."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.greedy_inputs import Sample
from benchmarks.peers import numpy_loops, packages

Int = npt.NDArray[np.int64]
Call = Callable[[], Any]
ALGORITHMS = {
    "max-min": "farthest-first traversal (DivPrune)",
    "max-min, distances given": "the loop of the traversal alone, on a distance matrix",
    "dpp": "greedy MAP of a determinantal point process (CDPruner)",
    "mmr": "maximal marginal relevance on rank-1 updates",
}
OURS = "ours"


@dataclass(frozen=True)
class Contender:
    """One row.

    Attributes
    ----------
    name : for the tables.
    algorithm : a key of `ALGORITHMS`.
    prepare : (samples, k, first tokens) -> a call without arguments whose result `picks_of` reads; what it does before
        the call is not timed.
    note : what it is and what it is handed.
    requires : import name of a package, "" for none.
    most_tokens : larger samples would take it minutes.
    duplicates : whether it can take tokens with copies.
    own : one of our own paths, forced; shown beside the peers and never the best of them.
    """

    name: str
    algorithm: str
    prepare: Callable[[Sequence[Sample], int, Sequence[int]], Call]
    note: str
    requires: str = ""
    most_tokens: int = 10_000
    duplicates: bool = True
    own: bool = False

    def absent(self, kind: str, n: int) -> str | None:
        """Why it does not take part with these tokens, or None."""
        if self.requires and find_spec(self.requires.partition(".")[0]) is None:
            return f"{self.requires.partition('.')[0]} is not installed"
        if n > self.most_tokens:
            return f"takes minutes at n = {n}"
        if kind == "duplicates" and not self.duplicates:
            return "does not end on copies"
        return None


def picks_of(result: Any) -> Int:
    """(B, k) tokens from whatever a call returned."""
    if isinstance(result, list):
        result = np.stack([np.asarray(each) for each in result])
    return np.asarray(result, dtype=np.int64)


def stacked(samples: Sequence[Sample], *names: str) -> list[npt.NDArray[np.float32]]:
    """The arrays of a batch; no batch axis for one sample."""
    parts = ([getattr(each, name) for each in samples] for name in names)
    return [np.stack(part) if len(part) > 1 else part[0] for part in parts]


def tensors(samples: Sequence[Sample], *names: str) -> list[tuple[Any, ...]]:
    """For each sample its arrays as tensors."""
    import torch

    return [tuple(torch.from_numpy(getattr(each, name)) for name in names) for each in samples]


def our_door(module: str, name: str, *parts: str) -> Callable[[Sequence[Sample], int, Sequence[int]], Call]:
    """Our raw door on the whole batch."""

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        door = getattr(importlib.import_module(module), name)
        arrays = dict(zip(parts, stacked(samples, *parts), strict=True))
        relevance = {"relevance": arrays.pop("relevance")} if "relevance" in arrays else {}
        return lambda: _batched(door(*arrays.values(), k, **relevance))

    return prepare


def our_path(
    module: str, name: str, *parts: str, **limits: float
) -> Callable[[Sequence[Sample], int, Sequence[int]], Call]:
    """Our door with the limits by which it chooses between its two paths set so that it has no choice."""
    whole = our_door(module, name, *parts)

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        call = whole(samples, k, first)

        def run() -> Any:
            with patch.multiple(module, **limits):
                return call()

        return run

    return prepare


def our_loop(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
    """Our traversal of problems that are known by their distances, from the first token as the others."""
    from mmdp import MaxMinDiversity
    from solvers.answer import Request
    from solvers.farthest_first.cpu import run

    problems = [MaxMinDiversity.from_distances(packages.distances(each.X), k) for each in samples]
    starts = [int(run(problem, Request()).indices[0]) for problem in problems]
    return lambda: [run(problem, Request(), start=j).indices for problem, j in zip(problems, starts, strict=True)]


def _batched(chosen: Int) -> Int:
    return chosen if chosen.ndim == 2 else chosen[None]


def each_alone(
    call: Callable[..., Any], *names: str, torch: bool = False, start: bool = False
) -> Callable[[Sequence[Sample], int, Sequence[int]], Call]:
    """A peer that takes one sample at a time: call(*arrays, k), with the first token behind k where it asks for one."""

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        inputs = [tuple(getattr(each, name) for name in names) for each in samples]
        if torch:
            inputs = tensors(samples, *names)
        starts = [(j,) for j in first] if start else [()] * len(inputs)
        return lambda: [call(*arrays, k, *more) for arrays, more in zip(inputs, starts, strict=True)]

    return prepare


def on_distances(call: Callable[[Any, int, int, int], Int], *, triangle: bool = False, timed: bool = False) -> Any:
    """A peer that takes a distance matrix: call(matrix, n, k, first); the matrix is `timed` or handed over."""

    def matrix_of(sample: Sample) -> npt.NDArray[np.float64]:
        matrix = packages.distances(sample.X)
        return matrix[np.tril_indices(len(matrix), -1)] if triangle else matrix

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        given = [None if timed else matrix_of(each) for each in samples]

        def run() -> list[Int]:
            rows = zip(samples, given, first, strict=True)
            return [call(matrix_of(each) if own is None else own, len(each.X), k, j) for each, own, j in rows]

        return run

    return prepare


def published(name: str, *parts: str) -> Callable[[Sequence[Sample], int, Sequence[int]], Call]:
    """A loop of `benchmarks.peers.published`, one sample at a time."""

    def call(*arguments: Any) -> Any:
        from benchmarks.peers import published

        return getattr(published, name)(*arguments)

    return each_alone(call, *parts, torch=True)


def published_dpp(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
    """The published loop of CDPruner, which takes a batch."""
    import torch

    from benchmarks.peers.published import cdpruner

    X, relevance = (torch.stack(part) for part in zip(*tensors(samples, "X", "relevance"), strict=True))
    return lambda: cdpruner(X, relevance, k)


def incremental(name: str, *parts: str) -> Callable[[Sequence[Sample], int, Sequence[int]], Call]:
    """A loop of `benchmarks.peers.incremental`."""

    def call(*arguments: Any) -> Any:
        from benchmarks.peers import incremental

        return getattr(incremental, name)(*arguments)

    return each_alone(call, *parts, torch=True)


def _rdkit(triangle: Any, n: int, k: int, first: int) -> Int:
    return packages.rdkit(triangle, n, k, first)


def _qc_selector(matrix: Any, n: int, k: int, first: int) -> Int:
    return packages.qc_selector(matrix, k, first)


LAZY, GRAM = "our lazy path", "our Gram path"
CONTENDERS: tuple[Contender, ...] = (
    Contender(
        OURS,
        "max-min",
        our_door("solvers.farthest_first.cpu", "farthest_first", "X"),
        "`solvers.farthest_first.cpu`",
        "numba",
    ),
    Contender("as published", "max-min", published("divprune", "X"), "all chosen rows again at every step", "torch"),
    Contender("torch", "max-min", incremental("farthest_first", "X"), "running minimum", "torch"),
    Contender("numpy", "max-min", each_alone(numpy_loops.farthest_first, "X"), "running minimum, SYRK"),
    Contender(
        "fpsample",
        "max-min",
        each_alone(packages.fpsample, "X", start=True),
        "handed the first token",
        "fpsample",
        most_tokens=2880,
    ),
    Contender(
        "RDKit",
        "max-min",
        on_distances(_rdkit, triangle=True, timed=True),
        "MaxMinPicker; handed the first token, distances from numpy",
        "rdkit",
        most_tokens=2880,
    ),
    Contender(
        "qc-selector",
        "max-min",
        on_distances(_qc_selector, timed=True),
        "MaxMin; handed the first token, distances from numpy",
        "selector",
        most_tokens=2880,
    ),
    Contender(
        "submodlib",
        "max-min",
        each_alone(packages.submodlib_disparity, "X"),
        "DisparityMin, which starts by another rule",
        "submodlib",
        most_tokens=576,
    ),
    Contender(
        LAZY,
        "max-min",
        our_path("solvers.farthest_first.cpu", "farthest_first", "X", START=np.inf, LOOP=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(
        GRAM,
        "max-min",
        our_path("solvers.farthest_first.cpu", "farthest_first", "X", NARROW=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(OURS, "max-min, distances given", our_loop, "handed the first token", "numba"),
    Contender(
        "RDKit", "max-min, distances given", on_distances(_rdkit, triangle=True), "handed the first token", "rdkit"
    ),
    Contender(
        "qc-selector",
        "max-min, distances given",
        on_distances(_qc_selector),
        "handed the first token",
        "selector",
        most_tokens=2880,
    ),
    Contender(
        OURS,
        "dpp",
        our_door("solvers.greedy_map.cpu", "greedy_map", "X", "relevance"),
        "`solvers.greedy_map.cpu`",
        "numba",
    ),
    Contender("as published", "dpp", published_dpp, "batched, whole kernel", "torch"),
    Contender(
        "numpy fast MAP", "dpp", each_alone(numpy_loops.fast_map, "X", "relevance"), "Chen, Zhang and Zhou, SYRK"
    ),
    Contender(
        "submodlib",
        "dpp",
        each_alone(packages.submodlib_log_det, "X", "relevance"),
        "LogDeterminant, lazy greedy, kernel from numpy",
        "submodlib",
        most_tokens=576,
        duplicates=False,
    ),
    Contender(
        LAZY,
        "dpp",
        our_path("solvers.greedy_map.cpu", "greedy_map", "X", "relevance", EFFORT=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(
        GRAM,
        "dpp",
        our_path("solvers.greedy_map.cpu", "greedy_map", "X", "relevance", EFFORT=0.0),
        "forced",
        "numba",
        own=True,
    ),
    Contender(OURS, "mmr", our_door("solvers.rank1.mmr_cpu", "mmr", "K", "V"), "`solvers.rank1.mmr_cpu`", "numba"),
    Contender("as published", "mmr", published("mmr", "K", "V"), "two Gram matrices", "torch"),
    Contender("torch", "mmr", incremental("mmr", "K", "V"), "two Gram matrices, running maximum", "torch"),
    Contender(
        "retrieval style",
        "mmr",
        each_alone(numpy_loops.mmr_of_retrieval, "K", "V"),
        "as LangChain does it, on the same scores",
        most_tokens=576,
    ),
    Contender(
        LAZY, "mmr", our_path("solvers.rank1.mmr_cpu", "mmr", "K", "V", EFFORT=np.inf), "forced", "numba", own=True
    ),
    Contender(GRAM, "mmr", our_path("solvers.rank1.mmr_cpu", "mmr", "K", "V", EFFORT=0.0), "forced", "numba", own=True),
)

"""How the contenders of the greedy benchmark are called: each factory gives a `Prepare`.

A `Prepare` takes samples, k and the first token of each sample, and returns a call without arguments; what happens
before that call is not timed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from benchmarks.greedy_inputs import Sample
from benchmarks.peers import packages

Int = npt.NDArray[np.int64]
Call = Callable[[], Any]
Prepare = Callable[[Sequence[Sample], int, Sequence[int]], Call]


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


def our_door(module: str, name: str, *parts: str) -> Prepare:
    """Our raw door on the whole batch."""

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        door = getattr(importlib.import_module(module), name)
        arrays = dict(zip(parts, stacked(samples, *parts), strict=True))
        relevance = {"relevance": arrays.pop("relevance")} if "relevance" in arrays else {}
        return lambda: _batched(door(*arrays.values(), k, **relevance))

    return prepare


def our_path(module: str, name: str, *parts: str, **limits: float) -> Prepare:
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


def each_alone(call: Callable[..., Any], *names: str, torch: bool = False, start: bool = False) -> Prepare:
    """A peer that takes one sample at a time: call(*arrays, k), with the first token behind k where it asks for one."""

    def prepare(samples: Sequence[Sample], k: int, first: Sequence[int]) -> Call:
        inputs = [tuple(getattr(each, name) for name in names) for each in samples]
        if torch:
            inputs = tensors(samples, *names)
        starts = [(j,) for j in first] if start else [()] * len(inputs)
        return lambda: [call(*arrays, k, *more) for arrays, more in zip(inputs, starts, strict=True)]

    return prepare


def on_distances(call: Callable[[Any, int, int, int], Int], *, triangle: bool = False, timed: bool = False) -> Prepare:
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


def published(name: str, *parts: str) -> Prepare:
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


def incremental(name: str, *parts: str) -> Prepare:
    """A loop of `benchmarks.peers.incremental`."""

    def call(*arguments: Any) -> Any:
        from benchmarks.peers import incremental

        return getattr(incremental, name)(*arguments)

    return each_alone(call, *parts, torch=True)


def rdkit(triangle: Any, n: int, k: int, first: int) -> Int:
    """For `on_distances`."""
    return packages.rdkit(triangle, n, k, first)


def qc_selector(matrix: Any, n: int, k: int, first: int) -> Int:
    """For `on_distances`."""
    return packages.qc_selector(matrix, k, first)

"""Packages that offer one of the greedies, each through its own interface (`pip install 'mmdp[peers]'`).

None takes tokens and finds the first one by the rule of DivPrune, so they are handed what they lack: the first token
always, the distance matrix where they want one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Int = npt.NDArray[np.int64]


def units(X: Floats) -> Floats:
    """Rows of norm 1: what is farthest in the Euclidean distance is then farthest in 1 - cos."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def distances(X: Floats) -> npt.NDArray[np.float64]:
    """1 - cos in float64, symmetric with zero diagonal."""
    unit = units(X)
    matrix = (1 - unit @ unit.T).astype(np.float64)
    np.fill_diagonal(matrix, 0.0)
    return matrix


def fpsample(X: Floats, k: int, first: int) -> Int:
    """fpsample: farthest point sampling in any dimension, from a given point."""
    import fpsample as package

    return np.asarray(package.fps_sampling(units(X), k, start_idx=first), dtype=np.int64)


def rdkit(triangle: npt.NDArray[np.float64], n: int, k: int, first: int) -> Int:
    """RDKit's MaxMinPicker on the lower triangle of a distance matrix, from a given point."""
    from rdkit.SimDivFilters.rdSimDivPickers import MaxMinPicker

    return np.array(MaxMinPicker().Pick(triangle, n, k, [first]), dtype=np.int64)


def qc_selector(matrix: npt.NDArray[np.float64], k: int, first: int) -> Int:
    """MaxMin of qc-selector on a distance matrix, from a given point."""
    from selector.methods.distance import MaxMin

    return np.array(MaxMin(ref_index=[first]).select_from_cluster(matrix, k), dtype=np.int64)


def submodlib_disparity(X: Floats, k: int) -> Int:
    """DisparityMin of submodlib: max-min diversity by its own greedy, which starts by another rule."""
    from submodlib import DisparityMinFunction

    function = DisparityMinFunction(n=len(X), mode="dense", data=units(X), metric="cosine")
    return _tokens(function.maximize(budget=k, optimizer="NaiveGreedy", show_progress=False))


def submodlib_log_det(X: Floats, relevance: Floats, k: int) -> Int:
    """LogDeterminant of submodlib by its lazy greedy, on a kernel formed in numpy."""
    from submodlib import LogDeterminantFunction

    rows = relevance[:, None] * units(X)
    function = LogDeterminantFunction(n=len(X), mode="dense", lambdaVal=0, sijs=rows @ rows.T)
    options = {"stopIfZeroGain": False, "stopIfNegativeGain": False, "show_progress": False}
    return _tokens(function.maximize(budget=k, optimizer="LazyGreedy", **options))


def _tokens(pairs: list[tuple[int, float]]) -> Int:
    return np.array([token for token, _gain in pairs], dtype=np.int64)

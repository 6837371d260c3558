"""How far the picks of a greedy are from the best token of each step, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.greedy_inputs import Sample

Floats = npt.NDArray[np.float64]
TOLERANCE = 1e-6  # two picks this close are equally good: rounding decides between them
BLOCK = 1024


def same_answer(algorithm: str, sample: Sample, picks: npt.NDArray[np.int64], others: npt.NDArray[np.int64]) -> bool:
    """Whether two sequences agree, or both take a token within 1e-6 of the best at every step."""
    if picks.tolist() == others.tolist():
        return True
    return all(shortfall(algorithm, sample, each) <= TOLERANCE for each in (picks, others))


def shortfall(algorithm: str, sample: Sample, picks: npt.NDArray[np.int64]) -> float:
    """The largest amount by which a pick misses the best score of its step, given the picks before it.

    Max-min in units of 1 - cos, DPP of the largest squared relevance 1, MMR of the largest magnitude; inf where a token
    is picked twice.
    """
    if len(set(picks.tolist())) < len(picks) or (len(picks) and not 0 <= picks.min() <= picks.max() < len(sample.X)):
        return float("inf")
    return {"max-min": _max_min, "dpp": _dpp, "mmr": _mmr}[algorithm](sample, picks)


def _worst(picks: npt.NDArray[np.int64], score: Floats, after: object) -> float:
    free, worst = np.ones(len(score), dtype=np.bool_), 0.0
    for j in picks:
        worst = max(worst, float(score[free].max() - score[j]))
        free[j] = False
        score = after(j, score)  # type: ignore[operator]
    return worst


def _units(X: npt.NDArray[np.float32]) -> Floats:
    units = X.astype(np.float64)
    return units / np.linalg.norm(units, axis=1, keepdims=True)


def _max_min(sample: Sample, picks: npt.NDArray[np.int64]) -> float:
    units = _units(sample.X)
    nearest = np.full(len(units), np.inf)
    isolation = np.empty(len(units))
    for a in range(0, len(units), BLOCK):
        cosines = units[a : a + BLOCK] @ units.T
        cosines[np.arange(len(cosines)), a + np.arange(len(cosines))] = -np.inf
        isolation[a : a + BLOCK] = 1 - cosines.max(axis=1)

    def after(j: int, score: Floats) -> Floats:
        return np.minimum(nearest, 1 - units @ units[j], out=nearest)

    return _worst(picks, isolation, after)


def _dpp(sample: Sample, picks: npt.NDArray[np.int64]) -> float:
    rows = sample.relevance.astype(np.float64)[:, None] * _units(sample.X)
    factor = np.empty((0, len(rows)))

    def after(j: int, score: Floats) -> Floats:
        nonlocal factor
        row = (rows @ rows[j] - factor[:, j] @ factor) / np.sqrt(score[j])
        factor = np.vstack([factor, row])
        return score - row**2

    return _worst(picks, (rows**2).sum(axis=1), after)


def _mmr(sample: Sample, picks: npt.NDArray[np.int64], lam: float = 0.5) -> float:
    K, V = sample.K.astype(np.float64), sample.V.astype(np.float64)
    magnitude = np.linalg.norm(K, axis=1) * np.linalg.norm(V, axis=1)
    magnitude, scale = magnitude / magnitude.max(), magnitude.max()
    duplication = np.full(len(K), -np.inf)

    def after(j: int, score: Floats) -> Floats:
        np.maximum(duplication, (K @ K[j]) * (V @ V[j]) / scale, out=duplication)
        return lam * magnitude - (1 - lam) * duplication

    return _worst(picks, magnitude, after)

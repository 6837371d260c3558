"""The families of the maximum-diversity benchmark library MDPLIB: generators, and its text format."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from mmdp.checks import Float, as_budget
from mmdp.ground_set import GroundSet
from mmdp.instances.instance import Instance
from mmdp.instances.recipes import whole

SPAN = 10.0


def gkd(n: int, seed: int = 0, *, k: int | None = None, dimension: int = 10) -> Instance:
    """Family GKD: Euclidean distances of n points, uniform in [0, 10]^dimension :cite:p:`marti2013mdplib`.

    The library's own GKD-Ia has n = 10, 15, 30 and GKD-Ic n = 500, k = 50; these are new draws of the same kind, not
    its files (`read_mdplib` takes those). In 10 dimensions the min distances come out at the size of GKD-Ic's.

    Parameters
    ----------
    n : number of points, >= 2.
    seed : of the random draw.
    k : the budget that goes with the instance; None is max(2, n // 10).
    dimension : number of coordinates, >= 1.

    Examples
    --------
    >>> instance = gkd(30, seed=1)
    >>> instance.name, instance.k, instance.problem("max-min", 3).ground.is_metric
    ('mdplib/gkd/30/1', 3, True)
    """
    n, seed, dimension = whole(n, "n", 2), whole(seed, "seed", 0), whole(dimension, "dimension", 1)
    points = np.random.default_rng(seed).uniform(0.0, SPAN, (n, dimension))
    suffix = "" if dimension == 10 else f" dimension={dimension}"
    return _instance("gkd", n, seed, k, cdist(points, points), f"uniform points in {dimension} dimensions", suffix)


def mdg(n: int, seed: int = 0, *, k: int | None = None) -> Instance:
    """Family MDG: distances uniform in [0, 10) and independent; no metric :cite:p:`marti2013mdplib`.

    Parameters as in `gkd`.
    """
    n, seed = whole(n, "n", 2), whole(seed, "seed", 0)
    draws = np.random.default_rng(seed).uniform(0.0, SPAN, n * (n - 1) // 2)
    return _instance("mdg", n, seed, k, _symmetric(draws, n), "uniform real distances")


def som(n: int, seed: int = 0, *, k: int | None = None) -> Instance:
    """Family SOM: whole distances, uniform in 0 .. 9 and independent; no metric, many ties :cite:p:`marti2013mdplib`.

    Parameters as in `gkd`.
    """
    n, seed = whole(n, "n", 2), whole(seed, "seed", 0)
    draws = np.random.default_rng(seed).integers(0, 10, n * (n - 1) // 2)
    return _instance("som", n, seed, k, _symmetric(draws.astype(np.float64), n), "uniform whole distances")


MDPLIB: dict[str, Callable[..., Instance]] = {"gkd": gkd, "mdg": mdg, "som": som}


def _instance(family: str, n: int, seed: int, k: int | None, D: Float, kind: str, suffix: str = "") -> Instance:
    return Instance(
        name=f"mdplib/{family}/{n}/{seed}{suffix}",
        distances=D,
        k=max(2, n // 10) if k is None else as_budget(k, n),
        source={"kind": f"MDPLIB family {family.upper()}: {kind}", "seed": str(seed)},
    )


def _symmetric(upper: Float, n: int) -> Float:
    D = np.zeros((n, n))
    D[np.triu_indices(n, 1)] = upper
    return D + D.T


def read_mdplib(path: str | Path) -> Instance:
    """An instance from a file in MDPLIB's text format: a line ``n k``, then a line ``i j d`` for every pair.

    Tokens are counted from 0. A pair may appear in both directions, and the diagonal with d = 0; blank lines are
    skipped.

    Raises
    ------
    FileNotFoundError : no such file.
    ValueError : the first line that does not fit, with its number and what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no MDPLIB file at {path}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in MDPLIB's format ({error})") from error
    rows = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    n, k = _header(path, *(rows[0] if rows else (1, "")))
    pairs = n * (n - 1) // 2
    if len(rows) - 1 < pairs:
        raise ValueError(
            f"{path}, line {len(lines)}: expected {pairs} lines 'i j d', one for each pair, got {len(rows) - 1}"
        )
    D = np.full((n, n), np.nan)
    np.fill_diagonal(D, 0.0)
    for number, line in rows[1:]:
        i, j, d = _pair(path, number, line, n)
        if not math.isnan(D[i, j]) and d != D[i, j]:
            raise ValueError(
                f"{path}, line {number}: expected the distance {D[i, j]:g} of pair ({i}, {j}) again, got {d:g}"
            )
        D[i, j] = D[j, i] = d
    if np.isnan(D).any():
        i, j = (int(v) for v in np.argwhere(np.isnan(D))[0])
        raise ValueError(f"{path}, line {len(lines)}: expected a line for pair ({i}, {j}) before the end, got none")
    return Instance(name=path.stem, distances=D, k=k, source={"kind": "MDPLIB file", "file": path.name})


def _header(path: Path, number: int, line: str) -> tuple[int, int]:
    try:
        n, k = (int(word) for word in line.split())
    except ValueError:
        n, k = 0, 0
    if n < 2 or not 0 < k <= n:
        raise ValueError(
            f"{path}, line {number}: expected 'n k', whole numbers with 2 <= n and 1 <= k <= n, got {line!r}"
        )
    return n, k


def _pair(path: Path, number: int, line: str, n: int) -> tuple[int, int, float]:
    try:
        first, second, distance = line.split()
        i, j, d = int(first), int(second), float(distance)
        fits = 0 <= i < n and 0 <= j < n and 0 <= d < math.inf and (i != j or d == 0)
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{path}, line {number}: expected 'i j d' with i and j in 0 .. {n - 1} and a finite d >= 0, got {line!r}"
        )
    return i, j, d


def write_mdplib(instance: Instance, path: str | Path, k: int | None = None) -> None:
    """Write an instance in MDPLIB's text format, with enough digits to read back the same float64 distances.

    Features are written as their distances 1 - cos. `k` is the budget on the first line; None takes `instance.k`.
    """
    k = instance.k if k is None else k
    if k is None:
        raise ValueError(f"instance {instance.name!r} has no customary budget; give k between 1 and {instance.n}")
    if instance.n < 2:
        raise ValueError(f"MDPLIB's format needs at least 2 tokens, got {instance.n}")
    k = whole(k, "k", 1, instance.n)
    D = instance.distances if instance.distances is not None else GroundSet(instance.features).distances
    pairs = (f"{i} {j} {float(D[i, j])!r}\n" for i in range(instance.n) for j in range(i + 1, instance.n))
    Path(path).write_text(f"{instance.n} {k}\n" + "".join(pairs), encoding="utf-8")

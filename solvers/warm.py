"""Compile every numba kernel once and keep it on disk: `python -m solvers.warm`, so that no user waits for it."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from mmdp.instances.synthetic import gaussian
from solvers.catalog import CATALOG
from solvers.farthest_first.cpu import farthest_first
from solvers.greedy_map.cpu import greedy_map
from solvers.rank1.cpu import rank1
from solvers.rank1.mmr_cpu import mmr
from solvers.rank1.pc_mmr_cpu import pc_mmr
from solvers.solve import solve

SIZES = ((30, 8, 6), (100, 64, 20))  # n, d, k: one that is proved at once, one whose proof needs every kernel
SECONDS = 3.0


def main() -> None:
    """Run every compiled solver on small problems, in both precisions."""
    started = time.perf_counter()
    for row in (row for row in CATALOG if row.compiled and not row.missing):
        for n, d, k in SIZES:
            instance = gaussian(n, d, seed=0)
            for dtype in (np.float64,) if row.exact else (np.float32, np.float64):
                typed = replace(instance, features=np.asarray(instance.features, dtype))
                for objective in sorted(row.solves):
                    solve(typed.problem(objective, k), row.name, backend=row.backend, time_limit=SECONDS)
    warm_doors()
    print(f"compiled kernels are ready ({time.perf_counter() - started:.0f} s)")


def warm_doors() -> None:
    """Run the raw doors in both precisions: on wide tokens (lazily) and on narrow ones for a large budget (a matrix)."""
    rng = np.random.default_rng(0)
    for dtype in (np.float32, np.float64):
        for d, k in ((160, 5), (16, 90)):
            X = rng.normal(size=(100, d)).astype(dtype)
            farthest_first(X, k)
            greedy_map(X, k)
            rank1(X, X, k)
            mmr(X, X, k)
            pc_mmr(np.ones(100), X, X, k)


if __name__ == "__main__":
    main()

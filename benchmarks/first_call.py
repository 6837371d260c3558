"""What the first call of a compiled door costs: `first_calls()` measures it in processes of their own."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DOORS = {
    "farthest_first": ("solvers.farthest_first.cpu", 1),
    "greedy_map": ("solvers.greedy_map.cpu", 1),
    "rank1": ("solvers.rank1.cpu", 2),
    "mmr": ("solvers.rank1.mmr_cpu", 2),
    "pc_mmr": ("solvers.rank1.pc_mmr_cpu", 3),
}


def first_calls() -> dict[str, dict[str, float]]:
    """For each door the seconds of its import and first call: with nothing compiled, and with everything in the cache."""
    found = {}
    for door in DOORS:
        with tempfile.TemporaryDirectory() as cache:
            found[door] = {"compiling": seconds_of(door, cache), "from the cache": seconds_of(door, cache)}
    return found


def seconds_of(door: str, cache: str) -> float:
    """In a new process that keeps compiled code in the folder `cache`."""
    command = [sys.executable, "-m", "benchmarks.first_call", door]
    settings = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(command, cwd=ROOT, env=settings, capture_output=True, text=True, check=True)
    return float(done.stdout)


def main(door: str) -> None:
    """Print the seconds of the import and a first call on 576 tokens of width 256."""
    module, count = DOORS[door]
    X = np.random.default_rng(0).normal(size=(576, 256)).astype(np.float32)
    tokens = [X] * count if count < 3 else [np.ones(576, dtype=np.float32), X, X]
    started = time.perf_counter()
    getattr(importlib.import_module(module), door)(*tokens, 58)
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main(sys.argv[1])

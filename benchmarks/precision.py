"""What 16-bit numbers do to the greedy choices: `python -m benchmarks.precision [--table]`.

For every picture, algorithm and number type the picks are compared with those of float64 arithmetic: where only the
tokens are rounded, where only the arithmetic is, where both are, and with our compiled doors, which take rounded tokens
and compute in float32. A relative jitter of 1e-6 on the tokens is the control. A study (`mmdp gap`) adds certified gaps
by backend and number type. Writes benchmarks/results/precision.json as it goes and goes on where it stopped (delete the
file to start anew), then docs/_tables/precision.md.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from benchmarks.greedy_inputs import Sample, sample
from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, Problem, optimality_gap
from mmdp.instances import Instance
from mmdp.instances.pictures import PHOTOS
from solvers.rounding import rounded
from solvers.study import run_study

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "precision.json"
TABLE = ROOT / "docs" / "_tables" / "precision.md"
Int = npt.NDArray[np.int64]
Arrays = dict[str, npt.NDArray[Any]]
DTYPES = ("float16", "bfloat16")
JITTER = 1e-6
SIZES = ((576, 1024, 58), (576, 1024, 192), (576, 4096, 58), (2880, 1024, 288))
PICTURES, LARGE_PICTURES = 6, 2
STUDIED = (576, 1024, 58)  # the size whose gaps are certified
LIMIT = 10.0  # seconds for each run of a method that proves


@dataclass(frozen=True)
class Algorithm:
    """A greedy: its parts of a sample, its naive and compiled module, and the objective that judges it."""

    name: str
    parts: tuple[str, ...]
    naive: str
    cpu: str
    objective: str

    def door(self, module: str) -> Callable[..., Int]:
        """The raw door of that name in a module."""
        call = getattr(importlib.import_module(module), self.name)

        def choose(data: Arrays, k: int) -> Int:
            options = {"relevance": data["relevance"]} if "relevance" in self.parts else {}
            chosen: Int = call(*(data[part] for part in self.parts if part not in options), k, **options)
            return chosen

        return choose

    def in_type(self, data: Arrays, k: int, dtype: str) -> Int:
        """Every number in one type; the data are representable in it."""
        import torch

        from benchmarks import low_precision

        tensors = (torch.from_numpy(data[part]).to(getattr(torch, dtype)) for part in self.parts)
        chosen: Int = getattr(low_precision, self.name)(*tensors, k)
        return chosen


ALGORITHMS = (
    Algorithm("farthest_first", ("X",), "solvers.farthest_first.naive", "solvers.farthest_first.cpu", "max-min"),
    Algorithm(
        "greedy_map", ("X", "relevance"), "solvers.greedy_map.naive", "solvers.greedy_map.cpu", "conditional-dpp"
    ),
    Algorithm("rank1", ("K", "V"), "solvers.rank1.naive", "solvers.rank1.cpu", "implicit-weight"),
    Algorithm("mmr", ("K", "V"), "solvers.rank1.mmr_naive", "solvers.rank1.mmr_cpu", "implicit-weight"),
    Algorithm("pc_mmr", ("P", "K", "V"), "solvers.rank1.pc_mmr_naive", "solvers.rank1.pc_mmr_cpu", "implicit-weight"),
)
METHODS = {
    "max-min": ("farthest_first",),
    "conditional-dpp": ("greedy_map",),
    "implicit-weight": ("rank1", "mmr", "pc_mmr"),
}


def exact(one: Sample) -> Arrays:
    """The sample in float64, with the magnitudes that PC-MMR starts from."""
    data = {name: getattr(one, name).astype(np.float64) for name in ("X", "relevance", "K", "V")}
    magnitude = np.linalg.norm(data["K"], axis=1) * np.linalg.norm(data["V"], axis=1)
    return {**data, "P": magnitude / magnitude.max()}


def nearest(data: Arrays, dtype: str) -> Arrays:
    """The same with every number rounded."""
    return {name: rounded(part, dtype) for name, part in data.items()}


def jittered(data: Arrays, seed: int) -> Arrays:
    """The same with a relative error of 1e-6 on every number."""
    rng = np.random.default_rng(seed)
    return {name: part * (1 + JITTER * rng.normal(size=part.shape)) for name, part in data.items()}


def problem_of(objective: str, data: Arrays, k: int) -> Problem:
    """The problem by which a set is judged: on the exact tokens."""
    if objective == "max-min":
        return MaxMinDiversity.from_features(data["X"], k)
    if objective == "conditional-dpp":
        return ConditionalDPP.from_features(data["X"], k, data["relevance"])
    return ImplicitWeight.from_keys_values(data["K"], data["V"], k)


def compare(problem: Problem, picks: Int, reference: Int) -> dict[str, Any]:
    """Overlap, the first step with another token (from 1; None for none), and the loss on the scale of the gap."""
    differs = np.flatnonzero(picks != reference)
    values = [problem.value(each) for each in (picks, reference)]
    return {
        "overlap": len(set(picks.tolist()) & set(reference.tolist())) / len(reference),
        "diverges": int(differs[0]) + 1 if len(differs) else None,
        "loss": optimality_gap(*values, problem.gap_kind),
    }


def variants(algorithm: Algorithm, data: Arrays, k: int, seed: int) -> Iterator[tuple[str, str, Int, Int]]:
    """(what is rounded, number type, picks, the picks they are compared with)."""
    naive, cpu = algorithm.door(algorithm.naive), algorithm.door(algorithm.cpu)
    reference = naive(data, k)
    yield "jitter 1e-6", "float64", naive(jittered(data, seed), k), reference
    yield "ours, float32 arithmetic", "float32", cpu(nearest(data, "float32"), k), reference
    for dtype in DTYPES:
        low = nearest(data, dtype)
        inputs, everything = naive(low, k), algorithm.in_type(low, k, dtype)
        yield "tokens", dtype, inputs, reference
        yield "arithmetic", dtype, everything, inputs
        yield "both", dtype, everything, reference
        yield "ours, float32 arithmetic", dtype, cpu(low, k), inputs


def rows_of(n: int, d: int, k: int, seed: int) -> list[dict[str, Any]]:
    """Every algorithm and variant on one picture."""
    data = exact(sample("photo", n, d, seed))
    rows = []
    for algorithm in ALGORITHMS:
        problem = problem_of(algorithm.objective, data, k)
        for what, dtype, picks, reference in variants(algorithm, data, k, seed):
            facts = {"algorithm": algorithm.name, "n": n, "d": d, "k": k, "picture": tuple(PHOTOS)[seed]}
            rows.append({**facts, "rounded": what, "dtype": dtype, **compare(problem, picks, reference)})
    return rows


def gaps_of(seed: int) -> list[dict[str, Any]]:
    """Certified gaps by backend and number type on one picture, as `mmdp gap` would show them."""
    n, d, k = STUDIED
    one = sample("photo", n, d, seed)
    name = f"projected/{tuple(PHOTOS)[seed]}/{n}x{d}"
    instance = Instance(name, features=one.X, relevance=one.relevance, keys=one.K[None], values=one.V[None])
    doors = [f"{backend}:{dtype}" for backend in ("cpu", "gpu") for dtype in ("float32", *DTYPES)]
    found = []
    for objective, methods in METHODS.items():
        greedies = [f"{method}:{door}" for method in methods for door in ("naive", *doors)]
        records = run_study([instance], [objective], [k], [*greedies, "exact"], time_limit=LIMIT)
        optimum = any(record.proved for record in records)
        keep = ("instance", "objective", "k", "method", "value", "best_bound", "gap", "gap_kind", "indices")
        for record in records:
            if record.error is not None:
                raise RuntimeError(f"{record.instance} {record.method}: {record.error}")
            if record.value is not None:
                found.append({key: record.to_dict()[key] for key in keep} | {"optimum_proved": optimum})
        problem, bound = instance.problem(objective, k), records[0].best_bound
        for algorithm in (each for each in ALGORITHMS if each.name in methods):
            for dtype in DTYPES:
                picks = algorithm.in_type(nearest(exact(one), dtype), k, dtype)
                value = problem.value(picks)
                facts = {"method": f"{algorithm.name}:everything:{dtype}", "value": value, "indices": picks.tolist()}
                found.append({**found[-1], **facts, "gap": optimality_gap(value, bound, problem.gap_kind)})
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what is missing, write the table."""
    parser = argparse.ArgumentParser(description="What 16-bit numbers do to the greedy choices.")
    parser.add_argument("--table", action="store_true", help="write the table only")
    options = parser.parse_args(argv)
    data = load_results()
    if not options.table:
        import torch

        torch.set_num_threads(1)
        cells = {
            f"{n}x{d} k={k} {seed}": (n, d, k, seed)
            for n, d, k in SIZES
            for seed in range(PICTURES if n == 576 else LARGE_PICTURES)
        }
        todo = [*cells, *(f"gaps {seed}" for seed in range(PICTURES))]
        with threadpool_limits(limits=1):
            for name in todo:
                if name not in data["cells"]:
                    data["cells"][name] = rows_of(*cells[name]) if name in cells else gaps_of(int(name.split()[1]))
                    save(data)
                    print(name, flush=True)
    write_table(data)
    return 0


def load_results() -> dict[str, Any]:
    """What was measured so far."""
    if RESULTS.is_file():
        data: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
        return data
    return {"cells": {}}


def save(data: dict[str, Any]) -> None:
    """With machine, versions, commit and date of the last cell, in one step."""
    from benchmarks.greedy_speed import session

    data["session"] = session(busy=False)
    draft = RESULTS.with_suffix(".new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(RESULTS)
    write_table(data)


def write_table(data: dict[str, Any]) -> None:
    """The table of the documentation."""
    from benchmarks.precision_page import page

    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(page(data), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

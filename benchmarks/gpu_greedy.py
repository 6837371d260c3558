"""Greedy selection on a GPU against the loops as published, in one run: `python -m benchmarks.gpu_greedy [--quick]`.

The gate comes first: the tests of the doors and of the kernels must pass on this card. Then every case is timed by
device events, the answers are compared, and nothing is written when they differ. Published loops run on the same
numbers in float32 (in 16 bits they choose other tokens); ours on 16-bit and on float32 features.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.greedy_check import TOLERANCE, shortfall
from benchmarks.greedy_inputs import Sample, sample

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "greedy_gpu.json"
GATE = ("tests/solvers/test_doors_gpu.py", "tests/gpu")
SIZES = ((576, 1024, 58), (576, 1024, 64), (576, 1024, 128), (576, 1024, 192), (576, 4096, 58), (2880, 4096, 288))
LARGE = (6272, 3584, 627)
BATCHES = (1, 8)
SETS = 4  # inputs that are cycled through, so that no cache holds them all
PICTURES = 8
PARTS = ("X", "relevance", "K", "V")
RULES = {"farthest_first": "max-min", "greedy_map": "dpp", "mmr": "mmr"}


@dataclass(frozen=True)
class Case:
    """One algorithm at one size."""

    door: str
    n: int
    d: int
    k: int
    batch: int
    dtype: str

    @property
    def name(self) -> str:
        """As in the table."""
        return f"{self.door} {self.n}x{self.d} k={self.k} B={self.batch} {self.dtype}"


def cases(quick: bool) -> Iterator[Case]:
    """Every door at every size; `quick` takes one size."""
    for n, d, k in SIZES[:1] if quick else (*SIZES, LARGE):
        for batch in BATCHES:
            for door in RULES:
                for dtype in ("bfloat16", "float32"):
                    yield Case(door, n, d, k, batch, dtype)


def batch_of(case: Case, first: int) -> dict[str, Any]:
    """A batch of photo tokens as tensors; eight pictures, in another order for each `first`."""
    import torch

    samples = [sample("photo", case.n, case.d, (first + b) % PICTURES) for b in range(case.batch)]
    return {name: torch.from_numpy(np.stack([getattr(each, name) for each in samples])) for name in PARTS}


def median_ms(call: Callable[[int], Any], repetitions: int) -> float:
    """Median of device times; call(i) works on input set i."""
    import torch

    for i in range(SETS):
        call(i)
    times = []
    for i in range(repetitions):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        call(i % SETS)
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def replayed_ms(call: Callable[[int], Any], repetitions: int) -> float:
    """The same for a CUDA graph of each call: without the host's share."""
    import torch

    graphs = []
    for i in range(SETS):
        call(i)
        torch.cuda.synchronize()
        graphs.append(torch.cuda.CUDAGraph())
        with torch.cuda.graph(graphs[-1]):
            call(i)
    return median_ms(lambda i: graphs[i].replay(), repetitions)


def ours(case: Case, data: dict[str, Any]) -> Any:
    """Our door on a batch."""
    from solvers.farthest_first.gpu import farthest_first
    from solvers.greedy_map.gpu import greedy_map
    from solvers.rank1.mmr_gpu import mmr

    if case.door == "farthest_first":
        return farthest_first(data["X"], case.k)
    if case.door == "greedy_map":
        return greedy_map(data["X"], case.k, relevance=data["relevance"])
    return mmr(data["K"], data["V"], case.k)


def published(case: Case, data: dict[str, Any]) -> Any:
    """The loop as published; it takes one sample at a time, but for the determinantal one."""
    import torch

    from benchmarks.peers import published as peers

    if case.door == "greedy_map":
        return peers.cdpruner(data["X"], data["relevance"], case.k)
    if case.door == "farthest_first":
        return torch.stack([peers.divprune(X, case.k) for X in data["X"]])
    return torch.stack([peers.mmr(K, V, case.k) for K, V in zip(data["K"], data["V"], strict=True)])


def check_answers(case: Case, data: dict[str, Any], mine: Any, theirs: Any) -> None:
    """SystemExit unless both chose the same tokens, or differ by rounding alone."""
    for b, (own, other) in enumerate(zip(mine.cpu().numpy(), theirs.cpu().numpy(), strict=True)):
        if own.tolist() != other.tolist():
            one = Sample(**{name: data[name][b].float().cpu().numpy() for name in PARTS})
            for who, picks in (("ours", own), ("the published loop", other)):
                lost = shortfall(RULES[case.door], one, picks)
                if lost > TOLERANCE:
                    sys.exit(f"{case.name}: the answers differ, {who} is {lost:.2g} off the best token; nothing timed")


def measure(case: Case, repetitions: int) -> dict[str, Any]:
    """One row of the table."""
    import torch

    dtype = getattr(torch, case.dtype)
    low, full = [], []
    for i in range(SETS):
        batch = batch_of(case, i)
        low.append({name: part.to("cuda", dtype) for name, part in batch.items()})
        full.append({name: part.float() for name, part in low[-1].items()})
    check_answers(case, full[0], ours(case, low[0]), published(case, full[0]))
    eager = median_ms(lambda i: ours(case, low[i]), repetitions)
    graph = replayed_ms(lambda i: ours(case, low[i]), repetitions)
    peer = median_ms(lambda i: published(case, full[i]), max(3, repetitions // 5))
    return {
        "case": case.name,
        **vars(case),
        "ours_ms": eager,
        "ours_graph_ms": graph,
        "published_ms": peer,
        "ratio": peer / eager,
        "ratio_graph": peer / graph,
    }


def machine() -> dict[str, Any]:
    """Card, driver, versions and commit."""
    import torch

    from solvers.environment import environment

    def output(*command: str) -> str | None:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        return done.stdout.strip() if done.returncode == 0 else None

    triton = importlib.util.find_spec("triton")
    return {
        "card": torch.cuda.get_device_name(),
        "driver": output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "cuda": torch.version.cuda or torch.version.hip,
        "triton": importlib.import_module("triton").__version__ if triton else None,
        "commit": output("git", "rev-parse", "HEAD"),
        "uncommitted": bool(output("git", "status", "--porcelain", "--", "solvers", "mmdp", "benchmarks")),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **environment(),
    }


def main() -> None:
    """Gate, measure, write."""
    parser = argparse.ArgumentParser(description="Greedy selection on a GPU against the loops as published.")
    parser.add_argument("--quick", action="store_true", help="one size, few repetitions, nothing written")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the table goes (JSON)")
    arguments = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        sys.exit("benchmarks.gpu_greedy needs torch: pip install 'mmdp[torch]'")
    import torch

    if not torch.cuda.is_available():
        sys.exit("benchmarks.gpu_greedy needs a CUDA or ROCm device, and torch finds none here")
    if not (ROOT / "benchmarks" / "peers" / "published.py").exists():
        sys.exit("benchmarks.gpu_greedy compares with benchmarks/peers/published.py, which is not there")
    if subprocess.run([sys.executable, "-m", "pytest", "-q", *GATE], cwd=ROOT, check=False).returncode:
        sys.exit("the tests fail on this device, so nothing is timed")
    rows = []
    for case in cases(arguments.quick):
        rows.append(measure(case, 10 if arguments.quick else 50))
        row = rows[-1]
        print(
            f"{row['ratio']:7.1f}x (graph {row['ratio_graph']:.1f}x)  {row['case']}: {1e3 * row['ours_ms']:.0f} us, "
            f"graph {1e3 * row['ours_graph_ms']:.0f} us, published {1e3 * row['published_ms']:.0f} us",
            flush=True,
        )
    if not arguments.quick:
        arguments.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""The shapes behind published latencies, on a CUDA card: `python -m benchmarks.latency_7b [--model llava-next-7b]`.

LLaVA-1.5-7B keeps 64 of 576 tokens and LLaVA-NeXT-7B 320 of 2928, with random weights and nothing downloaded, each
against the unpruned model, behind a green gate; `mmdp latency` does the rest. A few minutes a model; run again, it goes
on. Writes benchmarks/results/latency/<model>/.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
GATE = ("tests/lmm_integration/test_latency.py", "tests/lmm_integration/test_latency_random_weights.py")
KEEP = {"llava-1.5-7b": "64", "llava-next-7b": "320", "llava-1.5-13b": "64"}
BATCHES = {"llava-1.5-7b": "1,4,8", "llava-next-7b": "1,4", "llava-1.5-13b": "1,4,8"}


def command(model: str) -> list[str]:
    """What is run for a model."""
    return [
        *(sys.executable, "-m", "lmm_integration", "latency", "--random-weights", model, "--device", "cuda"),
        *("--methods", "none,random,divprune,cdpruner,fastv", "--keep", KEEP[model], "--batch", BATCHES[model]),
        *("--new-tokens", "1,32,128", "--repeats", "5", "--warmup", "2"),
        *("--out", str(ROOT / "benchmarks" / "results" / "latency" / model)),
    ]


def main() -> int:
    """The gate, then one model after another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=tuple(KEEP), help="one of them; by default both of 7 billion weights")
    asked = parser.parse_args()
    if not torch.cuda.is_available():
        print("this needs a CUDA card, and torch sees none: nothing is measured", file=sys.stderr)
        return 2
    gate = subprocess.run([sys.executable, "-m", "pytest", "-q", *GATE], cwd=ROOT, check=False)
    if gate.returncode:
        print("the gate is red: nothing is measured", file=sys.stderr)
        return 1
    models = [asked.model] if asked.model else ["llava-1.5-7b", "llava-next-7b"]
    return max(subprocess.run(command(model), cwd=ROOT, check=False).returncode for model in models)


if __name__ == "__main__":
    sys.exit(main())

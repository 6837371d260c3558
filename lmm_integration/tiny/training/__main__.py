"""`python -m lmm_integration.tiny.training`: train the shipped models from nothing, or go on where it was stopped."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lmm_integration.tiny import weights
from lmm_integration.tiny.training.recipes import RUNS, SHIPPED
from lmm_integration.tiny.training.run import export


def main() -> None:
    """Train, export, and say how it goes."""
    parser = argparse.ArgumentParser(prog="python -m lmm_integration.tiny.training", description=__doc__)
    parser.add_argument("--runs", default=",".join(SHIPPED), help=f"of {', '.join(RUNS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/tiny"), help="checkpoints and logs")
    parser.add_argument("--ship", action="store_true", help="write the folders inside the package, not under --out")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if unknown := [name for name in given.runs.split(",") if name not in RUNS]:
        parser.error(f"--runs must be of {', '.join(RUNS)}, got {unknown[0]!r}")
    torch.set_num_threads(given.threads)
    for name in given.runs.split(","):
        where = weights(name) if given.ship else given.out / "folders" / f"{name}-{given.seed}"
        export(name, given.seed, given.out, where)
        print(f"{name}: {where}")


if __name__ == "__main__":
    main()

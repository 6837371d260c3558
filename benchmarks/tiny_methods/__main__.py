"""Every method on the tiny models: `python -m benchmarks.tiny_methods [--parts methods,several,few,positions]`.

Runs what is missing and goes on where it was stopped; what ran lies in runs/tiny_methods, the summaries in
benchmarks/results/tiny_methods, tables and figures in docs. `--report` writes these anew from the summaries alone.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from benchmarks.tiny_methods.design import DRAWS, PARTS, Part, pruners_of
from benchmarks.tiny_methods.page import RESULTS, write_pages
from lmm_integration.evaluate.accuracy.bench import Bench, Setup, cells
from lmm_integration.evaluate.accuracy.report import report
from lmm_integration.evaluate.accuracy.run import answer_all
from solvers.environment import environment
from solvers.records import to_json

RUNNING = Path("runs/tiny_methods")
BATCH = 48


def main() -> None:
    """Run, condense, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated")
    parser.add_argument("--runs", default="", help="trained models, comma-separated; all of the part by default")
    parser.add_argument("--folders", type=Path, default=Path("runs/tiny/folders"), help="of models that do not ship")
    parser.add_argument("--commit", default="", help="of the package that is measured, for the record")
    parser.add_argument("--report", action="store_true", help="only write tables and figures")
    given = parser.parse_args()
    if unknown := [name for name in given.parts.split(",") if name not in PARTS]:
        parser.error(f"--parts must be of {', '.join(PARTS)}, got {unknown[0]!r}")
    if not given.report:
        for part in (PARTS[name] for name in given.parts.split(",")):
            for run in given.runs.split(",") if given.runs else part.runs:
                where = folder_of(run, given.folders)
                if (where / "config.json").is_file():
                    measure(part, run, where, given.commit)
                else:
                    print(f"{part.name} {run}: there is no model at {where}; see lmm_integration.tiny.training")
    write_pages()


def folder_of(run: str, folders: Path) -> Path:
    """Where a trained model lies, or would: in the package, or among those that training leaves."""
    from lmm_integration import tiny

    return tiny.weights(run) if run in tiny.TOWERS else folders / f"{run}-0"


def measure(part: Part, run: str, folder: Path, commit: str) -> None:
    """Answer every question with every method at every budget, and write the summary."""
    import torch

    from lmm_integration.model_files import load_model
    from lmm_integration.tiny import test_questions

    torch.set_num_threads(1)
    loaded = load_model(str(folder), dtype="float32")
    pruners = pruners_of(part.name, str(folder))
    bench = Bench(
        loaded.model,
        loaded.processor,
        pruners,
        name=run,
        fingerprint=Setup(run, str(folder), ()).fingerprint,
        described={label: repr(pruner) for label, pruner in pruners.items() if "relevance" not in repr(pruner)},
    )
    questions = test_questions(part.questions, kinds=part.kinds, scenes=part.scenes)
    table = cells(["none", "blind", *pruners], list(part.keeps), DRAWS)
    started = time.monotonic()

    def progress(lines: Any, finished: int, total: int) -> None:
        print(f"{part.name} {run}: {finished} of {total}, {(time.monotonic() - started) / 60:.1f} min", flush=True)

    lines = answer_all(
        bench, questions, table, batch=BATCH, max_new_tokens=4, out=RUNNING / part.name / run, on_lines=progress
    )
    facts = {
        "part": part.name,
        "model": run,
        "questions": len(questions),
        "commit": commit,
        "environment": environment(),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = report(lines, facts)
    found.pop("panels") if part.name == "positions" else None
    (RESULTS / f"{part.name}_{run}.json").write_text(
        json.dumps(to_json(found), allow_nan=False) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()

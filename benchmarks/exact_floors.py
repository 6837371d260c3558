"""The exact methods against their targets: `python -m benchmarks.exact_floors [--only WORD] [--again] [--busy]`.

One process, one thread, one run after another, behind a green gate (the tests that compare with enumeration). Each
case runs with `method="exact"`; where a case names OR-Tools models, they run beside it. Writes
benchmarks/results/exact_floors.json after every run and docs/_tables/exact_floors.md; what the present commit has
measured already is not run again without --again. About 20 minutes on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.exact_formulations import cell, label
from benchmarks.floors import FLOORS, Case, Floor, Record
from benchmarks.vit_tokens import load_any
from mmdp import Selection
from solvers import solve
from solvers.environment import environment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "exact_floors.json"
TABLE = ROOT / "docs" / "_tables" / "exact_floors.md"
GATE = ("tests/solvers/test_exact_agreement.py", "tests/solvers/test_exact_max_min.py")
REPEATS = 3  # of runs that end within a second; longer ones run once
OWN = "exact"


def measure(floor: Floor, case: Case, method: str, options: dict[str, Any], limit: float) -> Record:
    """One run, or the median of three short ones."""
    problem = load_any(case.instance).problem(case.objective, case.k)
    runs: list[Selection] = []
    began = time.process_time()
    while len(runs) < REPEATS and all(run.seconds < 1 for run in runs):
        runs.append(solve(problem, method, time_limit=limit, **options))
    facts = runs[-1].to_dict()
    return {
        "floor": floor.name,
        "instance": case.instance,
        "objective": case.objective,
        "k": case.k,
        "method": label(method, options),
        "limit": limit,
        "seconds": median(run.seconds for run in runs),
        "cpu_seconds": (time.process_time() - began) / len(runs),
        "runs": len(runs),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        **{key: facts[key] for key in ("status", "bound", "gap", "gap_kind")},
        "value": facts["objective"],
    }


def key(record: Record) -> tuple[Any, ...]:
    """Which run a record is of."""
    return tuple(record[name] for name in ("floor", "instance", "k", "method"))


def page(data: dict[str, Any]) -> str:
    """The table of the documentation."""
    records: list[Record] = data["records"]
    machine = data["environment"]
    versions = ", ".join(f"{name} {machine['packages'][name]}" for name in ("numpy", "numba", "ortools"))
    peak = max((record["peak_mb"] for record in records), default=0)
    lines = [
        "Each row holds several problems; seconds are wall-clock on one thread, the median of three runs where a run takes "
        "less than a second; compilation is not counted. "
        f"Measured on {data['date']} at commit `{data['commit']}` on {machine['cpu']}, Python {machine['python']}, "
        f"{versions}, with {data['load']}; the process peaked at {peak} MB.\n",
        "| case | target | proved | median, worst s | widest gap left | target met |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(floor, own) for floor in FLOORS if (own := _own(records, floor.name))),
        "\nOR-Tools models in the same process, on some of these problems:\n",
        "| problem | k | ours, s | model | s |",
        "| --- | --- | --- | --- | --- |",
        *(_peer_row(record, _own(records, record["floor"])) for record in records if record["method"] != OWN),
    ]
    return "\n".join(lines) + "\n"


def _own(records: list[Record], floor: str) -> list[Record]:
    return [r for r in records if r["floor"] == floor and r["method"] == OWN]


def _row(floor: Floor, own: list[Record]) -> str:
    seconds = [r["seconds"] for r in own]
    open_ = [r for r in own if r["status"] != "optimal"]
    widest = max(open_, key=lambda r: r["gap"] if r["gap"] is not None else float("inf"), default=None)
    met = ("yes" if floor.met(own) else "no") if len(own) == len(floor.cases) else "not all run"
    return (
        f"| {floor.name} | {floor.target} | {len(own) - len(open_)} of {len(floor.cases)} | "
        f"{median(seconds):.3g}, {max(seconds):.3g} | {_gap(widest)} | {met} |"
    )


def _peer_row(record: Record, own: list[Record]) -> str:
    ours = next((r for r in own if (r["instance"], r["k"]) == (record["instance"], record["k"])), None)
    return f"| {record['instance']}, {record['objective']} | {record['k']} | {cell(ours)} | {record['method']} | {cell(record)} |"


def _gap(record: Record | None) -> str:
    if record is None:
        return ""
    if record["gap"] is None:
        return "no bound"
    if record["gap_kind"] == "absolute":
        return f"{record['gap'] / record['k']:.3f} nats per token"
    return f"{100 * record['gap']:.2g} %"


def main() -> int:
    """The gate, then every case that is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="the rows whose name holds this word")
    parser.add_argument("--again", action="store_true", help="also what this commit has measured already")
    parser.add_argument("--busy", action="store_true", help="say in the data that other work ran beside")
    arguments = parser.parse_args()
    gate = subprocess.run([sys.executable, "-m", "pytest", "-q", *GATE], cwd=ROOT, check=False)
    if gate.returncode:
        print("the gate is red: nothing is measured", file=sys.stderr)
        return 1
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    old = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    data: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": head.stdout.strip(),
        "load": "other work on the machine" if arguments.busy else "nothing else running",
        "environment": environment(),
    }
    found = {key(r): r for r in old.get("records", [])} if old.get("commit") == data["commit"] else {}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(limits=1):
        for floor in (floor for floor in FLOORS if arguments.only in floor.name):
            for case in floor.cases:
                for method, options, limit in ((OWN, {}, case.limit), *case.peers):
                    mark = (floor.name, case.instance, case.k, label(method, options))
                    if mark in found and not arguments.again:
                        continue
                    found[mark] = record = measure(floor, case, method, options, limit)
                    print(floor.name, case.instance, case.k, record["method"], cell(record), flush=True)
                    data["records"] = list(found.values())
                    RESULTS.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    data["records"] = list(found.values())
    TABLE.write_text(page(data), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

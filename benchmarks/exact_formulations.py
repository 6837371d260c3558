"""Exact formulations side by side: `python -m benchmarks.exact_formulations`.

Every proving method of the catalogue on small and middle-sized instances: one process, one thread, one run after
another, and only behind a green gate (the tests that compare them with enumeration). Writes
benchmarks/results/exact_formulations.json as it goes and docs/_tables/exact_formulations.md from it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

from mmdp import Selection
from mmdp.instances import load
from solvers import solve
from solvers.environment import environment

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "exact_formulations.json"
TABLE = ROOT / "docs" / "_tables" / "exact_formulations.md"
GATE = "tests/solvers/test_exact_agreement.py"
LIMIT = 30.0
REPEATS = 3  # of runs that end within a second; longer ones run once

METHODS: dict[str, tuple[tuple[str, dict[str, Any]], ...]] = {
    "max-min": (
        ("branch_and_bound", {}),
        ("node_packing", {}),
        ("kuby", {"solver": "highs"}),
        ("kuby", {"solver": "scip"}),
        ("kuby", {"solver": "cp_sat"}),
        ("sayah_irnich", {"solver": "highs"}),
        ("sayah_irnich", {"solver": "scip"}),
    ),
    "conditional-dpp": (("branch_and_bound", {}), ("outer_approximation", {})),
    "implicit-weight": (("branch_and_bound", {}), ("linearised", {}), ("miqp", {})),
}
INSTANCES = {
    30: ("photo/astronaut/pca/30", "gaussian/30x64/0"),
    50: ("photo/astronaut/pca/50", "gaussian/50x64/0"),
    100: ("photo/astronaut/pca/100", "gaussian/100x64/0"),
    576: ("photo/astronaut/pca",),
}
CASES = [
    (name, objective, 16 if n == 576 else n // 10)
    for objective in METHODS
    for n, names in INSTANCES.items()
    for name in names
]
TEXTBOOK = ("kuby", "sayah_irnich")  # a limit for n = 576 would say nothing that n = 100 does not


def label(method: str, options: dict[str, Any]) -> str:
    """ "kuby (highs)"."""
    return f"{method} ({options['solver']})" if options else method


def measure(name: str, objective: str, k: int, method: str, options: dict[str, Any]) -> dict[str, Any]:
    """One cell: the median of the seconds, and what was proved."""
    problem = load(name).problem(objective, k)
    runs: list[Selection] = []
    while len(runs) < REPEATS and all(run.seconds < 1 for run in runs):
        runs.append(solve(problem, method, time_limit=LIMIT, **options))
    facts = runs[-1].to_dict()
    return {
        "instance": name,
        "objective": objective,
        "k": k,
        "method": label(method, options),
        "seconds": median(run.seconds for run in runs),
        "runs": len(runs),
        **{key: facts[key] for key in ("status", "bound", "gap", "gap_kind")},
        "value": facts["objective"],
    }


def cell(record: dict[str, Any] | None) -> str:
    """Seconds to the proof, or how far it was from one when time was up."""
    if record is None:
        return ""
    if record["status"] == "optimal":
        return f"{record['seconds']:.2f}" if record["seconds"] >= 0.1 else f"{record['seconds']:.3f}"
    gap = record["gap"]
    if gap is None:
        return "limit"
    return f"limit, ≤ {gap:.2g} nats" if record["gap_kind"] == "absolute" else f"limit, ≤ {100 * gap:.2g} %"


def page(data: dict[str, Any]) -> str:
    """The tables of the documentation."""
    machine = data["environment"]
    versions = ", ".join(f"{name} {machine['packages'][name]}" for name in ("numpy", "numba", "ortools"))
    parts = [
        f"Seconds to a proven optimum on one thread, median of {REPEATS} runs where a run takes less than a second; "
        f"limit: not proved in {LIMIT:.0f} s, with the gap that was left. Compilation is not counted. "
        f"Measured on {data['date']} at commit `{data['commit']}` on {machine['cpu']}, Python {machine['python']}, "
        f"{versions}, {data['load']}\n"
    ]
    for objective, methods in METHODS.items():
        names = [label(*method) for method in methods]
        parts.append(f"\n**{objective}**\n\n| instance | k | {' | '.join(names)} |\n|---|---|{'---|' * len(names)}")
        for name, posed, k in CASES:
            if posed == objective:
                found = {r["method"]: r for r in data["records"] if (r["instance"], r["objective"]) == (name, posed)}
                parts.append(f"| {name} | {k} | {' | '.join(cell(found.get(each)) for each in names)} |")
    return "\n".join(parts) + "\n"


def main() -> int:
    """The gate, then every cell; the JSON is rewritten after each."""
    gate = subprocess.run([sys.executable, "-m", "pytest", "-q", GATE], cwd=ROOT, check=False)
    if gate.returncode:
        print("the gate is red: nothing is measured", file=sys.stderr)
        return 1
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    data: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "time_limit": LIMIT,
        "seed": 0,
        "load": "with other work on the machine" if "--busy" in sys.argv else "with nothing else running",
        "environment": environment(),
        "records": [],
    }
    with threadpool_limits(limits=1):
        for name, objective, k in CASES:
            for method, options in METHODS[objective]:
                if method in TEXTBOOK and load(name).n > 100:
                    continue
                record = measure(name, objective, k, method, options)
                data["records"].append(record)
                print(name, objective, record["method"], cell(record), flush=True)
                RESULTS.parent.mkdir(parents=True, exist_ok=True)
                RESULTS.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    TABLE.write_text(page(data), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

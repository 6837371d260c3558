"""Our compiled greedies against the published loops and other packages: `python -m benchmarks.greedy_speed`.

    --only PATTERN   cases whose name matches (fnmatch), measured again; see `benchmarks.greedy_cases`, or "first call"
    --seconds S      for each pair of ours and a peer (1)
    --cores KIND     "one core" or "all cores" (both)
    --busy           say in the results that other work was on the machine
    --table          write the tables from the results there are, measure nothing

The gate comes first: the tests of the doors must pass. Then every case runs in a process of its own kind (one pinned
core, or all cores), ours and each peer in turns, and the results are rewritten after each case; what was measured at
this commit on this machine is not measured again. No ratio is written where the answers differ. Processors with AVX-512
and with AVX2 have results and a table each: what the loops are made of differs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.greedy_cases import ALL, ONE, cases
from solvers.lazy.tiles import FEATURES

VECTORS = "avx512" if FEATURES.get("avx512f") else "avx2" if FEATURES.get("avx2") else platform.machine()
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / f"greedy_speed_{VECTORS}.json"
TABLES = ROOT / "docs" / "_tables"
GATE = (
    "tests/solvers/test_doors_cpu.py",
    "tests/solvers/test_published_loops.py",
    "tests/benchmarks/test_greedy_speed.py",
)
PACKAGES = ("fpsample", "rdkit", "qc-selector", "submodlib-py")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
MEASURED = ("solvers", "mmdp", "benchmarks/*.py", "benchmarks/peers")
SAME = ("commit", "cpu", "python", "packages", "peers", "uncommitted", "load")


def session(busy: bool) -> dict[str, Any]:
    """Machine, versions, date, and the last commit that changed what is measured."""
    from solvers.environment import environment

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return {
        **environment(),
        "peers": {name: _installed(name) for name in PACKAGES},
        "commit": git("log", "-1", "--format=%h", "--", *MEASURED),
        "uncommitted": bool(git("status", "--porcelain", "--", *MEASURED)),
        "date": datetime.now(UTC).date().isoformat(),
        "load": "with other work on the machine" if busy else "with nothing else running",
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def load_results(path: Path | None = None) -> dict[str, Any]:
    """What was measured so far, on processors of this kind unless another file is named."""
    path = path or RESULTS
    if path.is_file():
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return data
    return {"sessions": [], "first_call": {}, "rows": {}}


def save_results(data: dict[str, Any]) -> None:
    """In one step; equal sessions become one, and those of which no row is left are dropped."""
    sessions: list[dict[str, Any]] = []
    rows = {}
    for name, row in data["rows"].items():
        own = data["sessions"][row["session"]]
        if own not in sessions:
            sessions.append(own)
        rows[name] = {**row, "session": sessions.index(own)}
    kept = {"sessions": sessions, "first_call": data["first_call"], "rows": rows}
    text = json.dumps(kept, indent=1) + "\n"
    draft = RESULTS.with_suffix(".new")
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.write_text(text, encoding="utf-8")
    draft.replace(RESULTS)
    write_tables()


def measure_all(cores: str, only: str, seconds: float, busy: bool, again: bool) -> int:
    """The cases of one kind of process; 1 when one of ours was wrong."""
    from benchmarks.greedy_measure import measure

    now, wrong = session(busy), 0
    for case in cases():
        if case.cores != cores or not fnmatch(case.name, only):
            continue
        data = load_results()
        row = data["rows"].get(case.name)
        if row and not again and all(data["sessions"][row["session"]].get(key) == now[key] for key in SAME):
            continue
        try:
            row = measure(case, seconds)
        except (ValueError, ImportError) as error:
            print(f"{case.name}: {error}", file=sys.stderr, flush=True)
            wrong = 1
            continue
        data["sessions"].append(now)
        data["rows"][case.name] = {**row, "session": len(data["sessions"]) - 1}
        save_results(data)
        print(f"{row['ratio']:7.2f}x {row['best_peer']:16} {row['ours_ms']:9.3f} ms  {case.name}", flush=True)
    return wrong


def in_child(cores: str, arguments: Sequence[str]) -> int:
    """Measure in a process whose libraries see one core, or all, from their first breath."""
    count = "1" if cores == ONE else str(len(os.sched_getaffinity(0)))
    settings = os.environ | dict.fromkeys(THREADS, count)
    command = [sys.executable, "-m", "benchmarks.greedy_speed", "--child", cores, *arguments]
    return subprocess.run(command, cwd=ROOT, env=settings, check=False).returncode


def write_tables() -> None:
    """The tables of the documentation, one from each file of results."""
    from benchmarks.greedy_page import page

    TABLES.mkdir(parents=True, exist_ok=True)
    for path in RESULTS.parent.glob("greedy_speed_*.json"):
        (TABLES / f"{path.stem}.md").write_text(page(load_results(path)), encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Gate, measure, write."""
    parser = argparse.ArgumentParser(description="Greedy selection on the CPU against everyone else.")
    parser.add_argument("--only", default="*", help="pattern of case names")
    parser.add_argument("--seconds", type=float, default=1.0, help="for each pair of ours and a peer")
    parser.add_argument("--busy", action="store_true", help="other work is on the machine")
    parser.add_argument("--table", action="store_true", help="write the tables only")
    parser.add_argument("--cores", choices=[ONE, ALL], help="one kind of process only")
    parser.add_argument("--child", help=argparse.SUPPRESS)  # the process that measures, started by `in_child`
    options = parser.parse_args(argv)
    if options.child:
        if options.child == ONE:
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        return measure_all(options.child, options.only, options.seconds, options.busy, options.only != "*")
    write_tables()
    wrong = 0
    if not options.table:
        if subprocess.run([sys.executable, "-m", "pytest", "-q", *GATE], cwd=ROOT, check=False).returncode:
            print("the gate is red: nothing is measured", file=sys.stderr)
            return 1
        arguments = ["--only", options.only, "--seconds", str(options.seconds), *(["--busy"] if options.busy else [])]
        wrong = max(in_child(cores, arguments) for cores in ([options.cores] if options.cores else [ONE, ALL]))
        if fnmatch("first call", options.only):
            from benchmarks.first_call import first_calls

            save_results({**load_results(), "first_call": first_calls()})
    return wrong


if __name__ == "__main__":
    sys.exit(main())

"""The automatic choice of the compiled greedies against both of its paths: `python -m benchmarks.greedy_choice`.

    --only PATTERN   cases whose name matches (fnmatch), measured again
    --busy           say in the results that other work was on the machine
    --table          write the tables from the results there are, measure nothing

On one pinned core, for every algorithm, kind of tokens and share of them that is kept: the choice as it is made, and
each path forced to its end, all three in turns and in every order. It resumes.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from typing import Any

import numpy as np

from benchmarks.greedy_calls import Call, Prepare, our_path, picks_of
from benchmarks.greedy_cases import Case
from benchmarks.greedy_check import same_answer
from benchmarks.greedy_inputs import EQUAL, KINDS, sample
from benchmarks.greedy_speed import ROOT, SAME, TABLES, THREADS, VECTORS, session
from benchmarks.paired import once
from solvers.farthest_first import cpu as farthest_first_cpu
from solvers.greedy_map import cpu as greedy_map_cpu
from solvers.rank1 import mmr_cpu

RESULTS = ROOT / "benchmarks" / "results" / f"greedy_choice_{VECTORS}.json"
SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8)
SECONDS, LEAST = 0.5, 6  # of each case, and its rounds
AUTO, LAZY, GRAM = "choice", "lazy", "Gram"

FIRST = (farthest_first_cpu.__name__, "farthest_first", "X")
MAP = (greedy_map_cpu.__name__, "greedy_map", "X", "relevance")
MMR = (mmr_cpu.__name__, "mmr", "K", "V")
DOORS: dict[str, tuple[Prepare, Prepare, Prepare]] = {  # limits are set for the choice too, to those it has
    "max-min": (
        our_path(*FIRST, SHARE=farthest_first_cpu.SHARE),
        our_path(*FIRST, SHARE=np.inf, START=np.inf, LOOP=np.inf),
        our_path(*FIRST, SHARE=0.0),
    ),
    "dpp": (
        our_path(*MAP, SHARE=greedy_map_cpu.SHARE),
        our_path(*MAP, SHARE=np.inf, EFFORT=np.inf),
        our_path(*MAP, SHARE=0.0),
    ),
    "mmr": (
        our_path(*MMR, SHARE=mmr_cpu.SHARE),
        our_path(*MMR, SHARE=np.inf, EFFORT=np.inf),
        our_path(*MMR, SHARE=0.0),
    ),
}


def cases() -> Iterator[Case]:
    """The grid; no more orthogonal tokens than columns, and no determinant of more, which is 0."""
    for (n, d), algorithm, kind, share in itertools.product(((576, 1024), (2880, 2048)), DOORS, KINDS, SHARES):
        k = round(share * n)
        if (kind != EQUAL or n <= d) and (algorithm != "dpp" or k <= d):
            yield Case(algorithm, kind, n, d, k)


def measure(case: Case) -> dict[str, Any]:
    """Milliseconds of the three, medians, and the median ratio of the choice to the better of the two paths.

    Raises
    ------
    ValueError : the three do not choose the same tokens: nothing is to be said about their speed.
    """
    samples = [sample(case.kind, case.n, case.d)]
    calls: dict[str, Call] = {
        name: prepare(samples, case.k, [0])
        for name, prepare in zip((AUTO, LAZY, GRAM), DOORS[case.algorithm], strict=True)
    }
    first, *others = (picks_of(call())[0] for call in calls.values())
    if not all(same_answer(case.algorithm, samples[0], first, picks) for picks in others):
        raise ValueError(f"{case.name}: the paths choose different tokens; nothing is timed")
    orders = itertools.cycle(itertools.permutations(calls))
    rounds: list[dict[str, float]] = []
    started = time.perf_counter()
    while len(rounds) < LEAST or time.perf_counter() - started < SECONDS:
        rounds.append({name: once(calls[name], time.process_time) for name in next(orders)})
    return {
        **vars(case),
        "ms": {name: 1e3 * float(np.median([each[name] for each in rounds])) for name in calls},
        "ratio": float(np.median([each[AUTO] / min(each[LAZY], each[GRAM]) for each in rounds])),
        "rounds": len(rounds),
    }


def table(data: dict[str, Any]) -> str:
    """A row for each algorithm and kind, a column for each share."""
    now = data["session"]
    state = " with uncommitted changes" if now["uncommitted"] else ""
    lines = [["algorithm", "tokens", "n × d", *(f"k = {share:g} n" for share in SHARES)], ["---"] * (3 + len(SHARES))]
    for key, group in itertools.groupby(cases(), key=lambda case: (case.algorithm, case.kind, case.n, case.d)):
        rows_of = {case.k: data["rows"].get(case.name) for case in group}
        found = [rows_of.get(round(share * key[2])) for share in SHARES]
        if any(found):
            lines.append([*key[:2], f"{key[2]} × {key[3]}", *map(_cell, found)])
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"Measured on {now['date']} at commit `{now['commit']}`{state} on {now['cpu']}, {now['load']}.\n\n{rows}\n"


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    lazy, gram = row["ms"][LAZY], row["ms"][GRAM]
    return f"{row['ratio']:.2f} ({LAZY if lazy < gram else GRAM}, {max(lazy, gram) / min(lazy, gram):.1f}×)"


def write_tables() -> None:
    """One table from each file of results."""
    for path in RESULTS.parent.glob("greedy_choice_*.json"):
        (TABLES / f"{path.stem}.md").write_text(table(json.loads(path.read_text(encoding="utf-8"))), encoding="utf-8")


def measure_all(only: str, busy: bool) -> int:
    """What is missing at this commit, or what is asked for; 1 where answers differed."""
    now = session(busy)
    data = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {"rows": {}}
    if any(data.get("session", {}).get(key) != now[key] for key in SAME):
        data["rows"] = {}
    data["session"], wrong = now, 0
    for case in cases():
        if not fnmatch(case.name, only) or (only == "*" and case.name in data["rows"]):
            continue
        try:
            data["rows"][case.name] = row = measure(case)
        except ValueError as error:
            print(error, file=sys.stderr, flush=True)
            wrong = 1
            continue
        draft = RESULTS.with_suffix(".new")
        draft.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        draft.replace(RESULTS)
        print(f"{row['ratio']:6.2f}  {_cell(row):24} {case.name}", flush=True)
    return wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, write."""
    parser = argparse.ArgumentParser(description="The automatic choice against both of its paths.")
    parser.add_argument("--only", default="*", help="pattern of case names")
    parser.add_argument("--busy", action="store_true", help="other work is on the machine")
    parser.add_argument("--table", action="store_true", help="write the tables only")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)  # libraries see one core at once
    options = parser.parse_args(argv)
    if options.child:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        return measure_all(options.only, options.busy)
    code = 0
    if not options.table:
        command = [sys.executable, "-m", "benchmarks.greedy_choice", "--child", "--only", options.only]
        settings = os.environ | dict.fromkeys(THREADS, "1")
        code = subprocess.run([*command, *(["--busy"] * options.busy)], cwd=ROOT, env=settings, check=False).returncode
    write_tables()
    return code


if __name__ == "__main__":
    sys.exit(main())

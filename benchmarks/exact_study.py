"""The study of greedy, local search and optimum: `python -m benchmarks.exact_study [--jobs 2] [--minutes 50] [--busy]`.

Runs what is missing (stop it whenever you like: it goes on where it stopped), adds it to benchmarks/results/study/, and
writes the tables and figures of docs/study.md. `python -m benchmarks.study.report` does the last step alone. What ran
lies in runs/study; remove that folder to run everything anew, for instance after a solver has improved, and name the
methods to run anew with `--methods`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from benchmarks.study.data import FOLDER, condense
from benchmarks.study.design import LIMITS, LOG_DET_LIMIT, METHODS, study_plan
from benchmarks.study.report import write_report
from solvers.records import Record, read_records
from solvers.study import RECORDS, SESSIONS, read_sessions, run_plan

RUNNING = Path("runs/study")


def main() -> None:
    """Plan, run, condense, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--methods", default=",".join(METHODS), help="comma-separated")
    parser.add_argument("--busy", action="store_true", help="say in the data that other work ran beside")
    arguments = parser.parse_args()
    started = time.monotonic()

    def progress(record: Record, finished: int, total: int) -> None:
        if finished % 100 == 0:
            print(f"{finished} of {total} runs, {(time.monotonic() - started) / 60:.1f} min", flush=True)
        if time.monotonic() - started > 60 * arguments.minutes:
            raise TimeoutError

    try:
        run_plan(
            study_plan(arguments.methods.split(",")), jobs=arguments.jobs, out=RUNNING, resume=True, on_record=progress
        )
    except (TimeoutError, KeyboardInterrupt):
        print("stopped; the next call goes on from here")
    condense(read_records(RUNNING / RECORDS))
    _note_session(arguments.busy)
    write_report()


def _note_session(busy: bool) -> None:
    """Keep the machine and the versions of the latest session beside the data."""
    session = read_sessions(RUNNING)[-1]
    limits = {**LIMITS, "exact, log det": LOG_DET_LIMIT}
    session |= {"limits": limits, "load": "other work on the machine" if busy else "nothing else running"}
    (FOLDER / SESSIONS).write_text(json.dumps(session, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

"""Does a better objective buy accuracy? `python -m benchmarks.accuracy_study [--tower labelled] [--jobs 2] [--minutes 50]`.

Asks the trained model of the package, with every kind of set, what is missing (stop it whenever you like: it goes on
where it stopped), adds it to benchmarks/results/accuracy_study/, and writes the tables and figures of
docs/optimality_and_accuracy.md. `--report` does the last step alone. What ran lies in runs/accuracy_study too; remove
that folder and the committed records to ask everything anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.accuracy_study.design import PLAN
from benchmarks.accuracy_study.run import run_study
from lmm_integration.tiny import TOWERS, folder

RUNNING = Path("runs/accuracy_study")


def main() -> None:
    """Run, condense, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tower", choices=TOWERS, default="labelled", help="which model to ask")
    parser.add_argument("--jobs", type=int, default=1, help="processes side by side")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument(
        "--images", type=int, default=max(which.stop for _, which in PLAN), help="of the plan, the first"
    )
    parser.add_argument("--report", action="store_true", help="write tables and figures from what is committed")
    arguments = parser.parse_args()
    if arguments.jobs < 1:
        parser.error(f"--jobs must be at least 1, got {arguments.jobs}")
    if arguments.images < 1:
        parser.error(f"--images must be at least 1, got {arguments.images}")
    if not arguments.report:
        try:
            folder(arguments.tower)
        except ValueError as error:  # its weights do not ship
            parser.error(str(error))
        run_study(arguments.tower, RUNNING, arguments.jobs, arguments.minutes, arguments.images)
    from benchmarks.accuracy_study.report import write_report

    write_report()


if __name__ == "__main__":
    main()

"""Run a planned study from the command line: progress, the table, the files, and what to say when it is stopped."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from lmm_integration.commands.progress import StudyProgress

if TYPE_CHECKING:
    from solvers.records import Record
    from solvers.study_plan import Plan

FAILED, INTERRUPTED = 1, 130
WIDTH = 140


def collect(plan: Plan, *, jobs: int, out: Path | None, resume: bool) -> tuple[list[Record], bool]:
    """The records, bounds shared, and whether Ctrl-C cut the study short."""
    from solvers.records import read_records
    from solvers.shared_bounds import share_bounds
    from solvers.study import RECORDS, run_plan

    for note in plan.skipped:
        print(f"left out: {note}", file=sys.stderr)
    finished: list[Record] = []
    with StudyProgress(len(plan.runs)) as progress:

        def keep(record: Record, count: int, total: int) -> None:
            finished.append(record)
            progress.update(record, count, total)

        try:
            records, stopped = run_plan(plan, jobs=jobs, out=out, resume=resume, on_record=keep), False
        except KeyboardInterrupt:
            known = {} if out is None else {record.key: record for record in read_records(out / RECORDS)}
            known.update({record.key: record for record in finished})
            records, stopped = share_bounds(known[run.key] for run in plan.runs if run.key in known), True
    if len(records) > len(finished):
        print(f"{len(records) - len(finished)} runs are from an earlier session in {out}", file=sys.stderr)
    return records, stopped


def write_summary(records: list[Record], out: Path, pictures: dict[str, str] | None = None) -> None:
    """summary.md in the folder of the records."""
    from lmm_integration.evaluate.gap_table import summary_page
    from solvers.study import read_sessions

    (out / "summary.md").write_text(summary_page(records, read_sessions(out), pictures), encoding="utf-8")


def print_tables(records: list[Record]) -> None:
    """Every run, then the summary by method, on stdout."""
    from rich.console import Console

    from lmm_integration.evaluate.gap_table import COLUMNS, SUMMARY, gap_rows, gap_summary, rich_table

    console = Console()
    console.width = max(console.width, WIDTH)  # never cut a number short
    for columns, rows in ((COLUMNS, gap_rows(records)), (SUMMARY, gap_summary(records))):
        if rows:
            console.print(rich_table(columns, rows))


def leave(
    records: list[Record], total: int, *, stopped: bool, out: Path | None, again: str = "--resume goes on"
) -> None:
    """Exit 130 after Ctrl-C and 1 after failed runs, saying so in one line each; `again` is how to go on."""
    failed = [record for record in records if record.error is not None]
    if failed:
        first = " ".join(str(failed[0].error).split())
        print(f"mmdp: {len(failed)} of {total} runs failed, the first with {first}", file=sys.stderr)
    if stopped:
        kept = f"are kept in {out}; {again}" if out else "are shown; --out would have kept them"
        print(f"mmdp: interrupted: the {len(records)} finished of {total} runs {kept}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED)
    if failed:
        raise typer.Exit(FAILED)

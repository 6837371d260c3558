"""Progress on stderr: a bar in a terminal, one line per finished run elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from solvers.records import Record


class Progress:
    """A context manager that shows how far a long run is."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.bar: Any = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            columns = (
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TimeElapsedColumn(),
                TextColumn("{task.description}", markup=False),
            )
            self.bar = Bar(*columns, console=Console(stderr=True), transient=True)
            self.bar.start()
            self.task = self.bar.add_task("starting", total=self.total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def show(self, what: str, finished: int, total: int) -> None:
        """Show what just finished."""
        if self.bar is not None:
            self.bar.update(self.task, completed=finished, total=total, description=what)
        else:
            print(f"{finished}/{total} {what}", file=sys.stderr, flush=True)


class StudyProgress(Progress):
    """Its `update` is the `on_record` of a study."""

    def update(self, record: Record, finished: int, total: int) -> None:
        """Show the run that just finished."""
        what = f"{record.instance} {record.objective} k={record.k} {record.method}: {outcome(record)}"
        self.show(what, finished, total)


def outcome(record: Record) -> str:
    """How a run ended, in a few words."""
    if record.error is not None:
        return "failed, " + " ".join(record.error.split())
    return f"{record.status or 'done'}, {record.seconds or 0.0:.2f} s"

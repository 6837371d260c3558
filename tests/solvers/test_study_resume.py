"""Stopping a study and going on where it stopped."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest

from mmdp.instances import Instance, gaussian
from solvers.records import Record, read_records, write_records
from solvers.study import run_study

TOKENS = ["gaussian/12x4/0", "gaussian/12x4/1"]
GRID = (TOKENS, ["max-min", "conditional-dpp"], [2, 3], ["greedy", "random", "brute_force"])
TOTAL = 2 * 2 * 2 * 4
STOPPED = """
    import os, signal, sys
    from solvers.study import run_study

    def stop(record, finished, total):
        if finished == int(sys.argv[3]):
            os.kill(os.getpid(), getattr(signal, sys.argv[2]))

    run_study(*{grid!r}, jobs=int(sys.argv[4]), out=sys.argv[1], on_record=stop)
"""


def facts(records: list[Record]) -> list[dict[str, object]]:
    """Everything about the records but their times."""
    return [{key: value for key, value in record.to_dict().items() if key != "seconds"} for record in records]


def stop_a_study(folder, kind: str, after: int, jobs: int) -> subprocess.CompletedProcess[str]:
    """Run the grid in another process that kills or interrupts itself after some records."""
    code = textwrap.dedent(STOPPED.format(grid=GRID))
    arguments = [sys.executable, "-c", code, str(folder), kind, str(after), str(jobs)]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("kind", "jobs"), [("SIGKILL", 1), ("SIGINT", 2)])
def test_a_stopped_study_goes_on_where_it_stopped(tmp_path, kind, jobs):
    """Killed or interrupted in the middle and resumed, a study holds the same records as one that was never stopped."""
    stopped = stop_a_study(tmp_path / "study", kind, 9, jobs)
    assert stopped.returncode != 0
    kept = read_records(tmp_path / "study" / "records.jsonl")
    assert len(kept) == 9
    fresh = []
    resumed = run_study(*GRID, out=tmp_path / "study", resume=True, on_record=lambda r, *_: fresh.append(r.key))
    assert len(fresh) == TOTAL - 9
    assert not set(fresh) & {record.key for record in kept}
    assert facts(resumed) == facts(run_study(*GRID))
    assert facts(read_records(tmp_path / "study" / "records.jsonl")) == facts(resumed)
    sessions = json.loads((tmp_path / "study" / "run.json").read_text())["sessions"]
    assert [session["jobs"] for session in sessions] == [jobs, 1]


def test_a_half_written_line_is_run_again(tmp_path):
    """A last line cut short by a kill is dropped, and its run made again."""
    run_study(*GRID, out=tmp_path)
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    assert len(read_records(path)) == TOTAL - 1
    again = []
    resumed = run_study(*GRID, out=tmp_path, resume=True, on_record=lambda record, *_: again.append(record))
    assert len(again) == 1
    assert len(resumed) == len(path.read_bytes().splitlines()) == TOTAL


def test_a_last_line_without_its_end_is_kept(tmp_path):
    """A complete record whose newline alone is missing counts as finished."""
    run_study(*GRID, out=tmp_path)
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-1])
    again = []
    run_study(*GRID, out=tmp_path, resume=True, on_record=lambda record, *_: again.append(record))
    assert again == []


def test_what_failed_is_tried_again(tmp_path):
    """A resumed study repeats failed runs and forgets the failure when they succeed."""
    grid = (TOKENS[:1], ["max-min"], [3], ["greedy"])
    bounds, greedy = run_study(*grid, out=tmp_path)
    write_records(tmp_path / "records.jsonl", [bounds, replace(greedy, value=None, error="MemoryError: not now")])
    again = []
    resumed = run_study(*grid, out=tmp_path, resume=True, on_record=lambda record, *_: again.append(record.method))
    assert again == ["greedy"]
    assert facts(resumed) == facts([bounds, greedy])
    assert facts(read_records(tmp_path / "records.jsonl")) == facts(resumed)


def test_a_changed_file_is_not_mixed_with_old_records(tmp_path):
    """When the data behind a name changed, the old records stay in the file but do not count as finished."""
    first = Instance("mine", features=gaussian(8, 3, 0).features)
    second = Instance("mine", features=gaussian(8, 3, 1).features)
    run_study([first], ["max-min"], [3], ["greedy"], out=tmp_path)
    fresh = []
    run_study(
        [second], ["max-min"], [3], ["greedy"], out=tmp_path, resume=True, on_record=lambda r, *_: fresh.append(r)
    )
    assert len(fresh) == 2
    assert len(read_records(tmp_path / "records.jsonl")) == 4


def test_existing_records_are_never_overwritten(tmp_path):
    """Without `resume` a folder that holds records is refused and left as it is."""
    run_study(*GRID, out=tmp_path)
    before = (tmp_path / "records.jsonl").read_bytes()
    with pytest.raises(FileExistsError, match="already exists"):
        run_study(*GRID, out=tmp_path)
    assert (tmp_path / "records.jsonl").read_bytes() == before


def test_resume_in_an_empty_folder_starts(tmp_path):
    """Nothing to resume is no error."""
    assert len(run_study(TOKENS[:1], ["max-min"], [2], ["greedy"], out=tmp_path / "new", resume=True)) == 2

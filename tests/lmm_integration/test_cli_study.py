"""`mmdp gap` and `mmdp demo`: the table, the files, stopping and going on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lmm_integration.cli import app
from lmm_integration.evaluate.gap_table import COLUMNS, SUMMARY
from mmdp import Status
from solvers.answer import Answer
from solvers.records import read_records
from solvers.study import run_study

TINY = "gaussian/20x4/0"
GRID = ["--tokens", f"{TINY},gaussian/20x4/1", "--k", "3,4", "--methods", "greedy,brute_force", "--jobs", "1"]
MAIN = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from lmm_integration.cli import main
main()
"""
# Local search takes about half a second for each budget, so that there is time to stop the study.
SLOW = ["--tokens", "gaussian/100x12/0", "--k", "8,10,12,14", "--objectives", "max-min", "--time-limit", "30"]
SLOW += ["--methods", "greedy,local_search"]
SLOW_TOTAL = 4 * 3


def run(*arguments: str) -> Result:
    """The command in this process."""
    return CliRunner().invoke(app, list(arguments), prog_name="mmdp")


def table(text: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows below the header of `columns` in the printed text, without the times."""
    lines = iter(text.splitlines())
    for line in lines:
        if re.split(r"\s{2,}", line.strip()) == list(columns):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.strip():
            break
        row = dict(zip(columns, re.split(r"\s{2,}", line.strip()), strict=True))
        rows.append({name: cell for name, cell in row.items() if "seconds" not in name})
    return rows


def start(*arguments: str) -> subprocess.Popen[str]:
    """The command in a process group of its own, like a job started from a shell."""
    command = [sys.executable, "-c", MAIN, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_records(folder: Path, count: int) -> None:
    """Return once a running study has written `count` records."""
    path = folder / "records.jsonl"
    end = time.monotonic() + 60
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert time.monotonic() < end, "the study wrote too few records"
        time.sleep(0.01)


def test_the_table_shows_value_bound_gap_and_proof():
    """One row per run with value, shared bound, gap and verdict, as the study itself says."""
    result = run("gap", *GRID)
    assert result.exit_code == 0
    rows = table(result.stdout, COLUMNS)
    objectives = ["max-min", "conditional-dpp", "implicit-weight"]
    records = run_study([TINY, "gaussian/20x4/1"], objectives, [3, 4], ["greedy", "brute_force"])
    expected = [record for record in records if record.value is not None]
    assert [(row["instance"], row["objective"], row["k"], row["method"]) for row in rows] == [
        (record.instance, record.objective, str(record.k), record.method) for record in expected
    ]
    for row, record in zip(rows, expected, strict=True):
        assert float(row["value"]) == pytest.approx(record.value, rel=1e-5)
        assert float(row["bound"]) == pytest.approx(record.best_bound, rel=1e-5)
        assert row["proved"] == ("optimal" if record.proved else "suboptimal")
    assert {row["proved"] for row in rows} == {"optimal", "suboptimal"}


def test_the_summary_counts_what_is_proved():
    """Per objective, budget and method: median and worst gap, how many of the runs are proved optimal."""
    rows = table(run("gap", *GRID).stdout, SUMMARY)
    assert len(rows) == 3 * 2 * 2
    for row in rows:
        assert row["runs"] == "2"
        if row["method"] == "brute_force":
            assert (row["optimal"], row["open"], row["worst gap"].split()[0]) == ("2", "0", "0")


def test_json_is_one_object_with_every_record():
    """With --json stdout is one strict JSON object; progress and notes go to stderr."""
    result = run("gap", *GRID, "--methods", "greedy,farthest_first", "--json")
    data = json.loads(result.stdout, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert data["total"] == len(data["records"]) == 2 * 2 * (3 + 2 + 2)
    assert data["interrupted"] is False
    assert "left out: farthest_first does not take conditional-dpp" in result.stderr
    assert f"{data['total']}/{data['total']} " in result.stderr


def test_out_holds_records_summary_and_machine(tmp_path):
    """--out gets every record, a Markdown summary with both tables, and the machine and versions."""
    result = run("gap", *GRID, "--out", str(tmp_path / "new" / "study"))
    assert result.exit_code == 0
    folder = tmp_path / "new" / "study"
    assert sorted(path.name for path in folder.iterdir()) == ["records.jsonl", "run.json", "summary.md"]
    assert len(read_records(folder / "records.jsonl")) == 2 * 3 * 2 * 3
    page = (folder / "summary.md").read_text()
    for columns in (COLUMNS, SUMMARY):
        assert "| " + " | ".join(columns) + " |" in page
    assert page.count(f"| {TINY} |") == 3 * 2 * 2
    assert "Python 3." in page


def test_a_folder_with_records_is_refused(tmp_path):
    """A second study into the same folder without --resume is exit code 2, one line, and loses nothing."""
    assert run("gap", *GRID, "--out", str(tmp_path)).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    again = run("gap", *GRID, "--out", str(tmp_path))
    assert (again.exit_code, again.stdout, again.stderr.count("\n")) == (2, "", 1)
    assert "records.jsonl already exists" in again.stderr
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_broken_record_file_is_refused(tmp_path):
    """Resuming on a file that is not ours names the line, in one line."""
    (tmp_path / "records.jsonl").write_text("hello\nworld\n")
    result = run("gap", *GRID, "--out", str(tmp_path), "--resume")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "line 1 of" in result.stderr


def test_failed_runs_are_exit_code_1(monkeypatch):
    """When a run fails the others are still shown, and the command says how many failed and why."""
    monkeypatch.setattr("solvers.random.run", lambda problem, request: 1 / 0)
    result = run("gap", *GRID, "--methods", "greedy,random", "--objectives", "max-min")
    assert result.exit_code == 1
    words = [row["proved"] for row in table(result.stdout, COLUMNS)]
    assert words.count("failed") == 4
    assert len(words) == 8
    assert "4 of 12 runs failed, the first with ZeroDivisionError: division by zero" in result.stderr
    assert "Traceback" not in result.stderr


def test_killed_and_resumed_gives_the_same_table(tmp_path):
    """Killed without warning in the middle and resumed, `mmdp gap` prints the table of an undisturbed study."""
    process = start("gap", *SLOW, "--jobs", "1", "--out", str(tmp_path / "study"))
    wait_for_records(tmp_path / "study", 4)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    kept = read_records(tmp_path / "study" / "records.jsonl")
    assert 4 <= len(kept) < SLOW_TOTAL
    resumed = run("gap", *SLOW, "--jobs", "1", "--out", str(tmp_path / "study"), "--resume")
    assert resumed.exit_code == 0
    undisturbed = run("gap", *SLOW, "--jobs", "1")
    for columns in (COLUMNS, SUMMARY):
        rows = table(resumed.stdout, columns)
        assert rows == table(undisturbed.stdout, columns)
        assert rows
    assert resumed.stderr.startswith(f"{len(kept) + 1}/{SLOW_TOTAL} ")


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_ctrl_c_keeps_what_is_finished(tmp_path, jobs):
    """Ctrl-C in a shell (to the whole process group) is exit code 130, no traceback, and the finished runs are kept."""
    process = start("gap", *SLOW, "--jobs", jobs, "--out", str(tmp_path), "--json")
    wait_for_records(tmp_path, 3)
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    data = json.loads(stdout)
    assert data["interrupted"] is True
    finished = read_records(tmp_path / "records.jsonl")
    assert 3 <= len(finished) == len(data["records"]) < SLOW_TOTAL
    last = stderr.splitlines()[-1]
    assert last.startswith(f"mmdp: interrupted: the {len(finished)} finished of {SLOW_TOTAL} runs are kept in")
    assert (tmp_path / "summary.md").exists()


def test_ctrl_c_in_a_single_solve_is_said(monkeypatch):
    """Ctrl-C while one problem is being solved is exit code 130 and one line."""

    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("solvers.solve", interrupted)
    result = run("solve", TINY, "--k", "3")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "mmdp: interrupted\n")


def test_an_interrupted_answer_is_still_shown(monkeypatch):
    """A solver that answers Ctrl-C with the best it has is shown, and the exit code is 130 all the same."""
    answer = Answer([0, 1, 2], status=Status.INTERRUPTED)
    monkeypatch.setattr("solvers.random.run", lambda problem, request: answer)
    result = run("solve", TINY, "--k", "3", "--method", "random")
    assert result.exit_code == 130
    assert "interrupted (not proved optimal)" in result.stdout
    assert result.stderr == "mmdp: interrupted: this is the best that was found\n"


def test_the_demo_writes_tables_and_pictures(monkeypatch, tmp_path):
    """`mmdp demo` leaves records, summary, a gap chart and a picture per photo; run again, it repeats nothing."""
    pytest.importorskip("skimage")
    monkeypatch.setattr("lmm_integration.commands.arguments.METHODS", "greedy")
    monkeypatch.setattr("lmm_integration.commands.arguments.OBJECTIVES", "max-min")
    asked = []
    monkeypatch.setattr(
        "lmm_integration.commands.demo_answers.answer_questions", lambda out, **options: asked.append((out, options))
    )
    first = run("demo", "--quick", "--out", str(tmp_path / "demo"), "--jobs", "1")
    assert first.exit_code == 0
    assert asked == [(tmp_path / "demo", {"jobs": 1, "quick": True})]
    names = ["gaps.png", "kept_astronaut.png", "records.jsonl", "run.json", "summary.md"]
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == names
    (row,) = table(first.stdout, COLUMNS)
    assert (row["instance"], row["k"], row["method"]) == ("photo/astronaut/pca", "16", "greedy")
    page = (tmp_path / "demo" / "summary.md").read_text()
    assert "](gaps.png)" in page
    assert "](kept_astronaut.png)" in page
    again = run("demo", "--quick", "--out", str(tmp_path / "demo"), "--jobs", "1")
    assert again.exit_code == 0
    assert table(again.stdout, COLUMNS) == [row]
    assert again.stderr == f"2 runs are from an earlier session in {tmp_path / 'demo'}\n"


def test_the_demo_asks_the_tiny_model(tmp_path, capsys):
    """The second half: accuracy by method and budget, curves, and a picture with the question and both answers."""
    pytest.importorskip("skimage")
    pytest.importorskip("transformers")
    from lmm_integration.commands.demo_answers import answer_questions

    answer_questions(tmp_path, jobs=1, quick=True)
    written = {path.name for path in (tmp_path / "answers").iterdir()}
    assert written >= {"answers.jsonl", "summary.json", "table.md", "table.html", "curves.png", "kept_count.png"}
    summary = json.loads((tmp_path / "answers" / "summary.json").read_text())["summary"]
    assert {row["method"] for row in summary} == {"none", "blind", "random", "divprune"}
    assert all(row["n"] == 14 for row in summary)
    assert "kept_count.png" in capsys.readouterr().out

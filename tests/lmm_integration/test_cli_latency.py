"""`mmdp latency`, on a tiny model with random weights and on a folder, offline."""

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from lmm_integration.cli import app

QUICK = ["--batch", "1", "--new-tokens", "1,3", "--repeats", "2", "--warmup", "1", "--device", "cpu"]


def run(*arguments):
    return CliRunner().invoke(app, ["latency", *arguments], prog_name="mmdp")


def test_a_sweep_of_random_weights(tmp_path):
    asked = ["--random-weights", "tiny", "--methods", "none,random,divprune", "--keep", "16", *QUICK, "--words", "20"]
    result = run(*asked, "--baselines", "sdpa,eager,compile", "--out", str(tmp_path / "new"), "--json")
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [row["label"] for row in report["rows"]] == ["unpruned, sdpa", "unpruned, eager", "random 16", "divprune 16"]
    assert report["rows"][2]["layer_tokens"] == [36] * 8
    assert report["rows"][0]["outputs"]["3"]["ratio"] == 1
    assert report["skipped"][0]["kernel"] == "compile"
    assert {row["tokens"] for row in report["selection"]} >= {"i.i.d."}
    assert len(report["break_even"]) == 2
    files = {path.name for path in (tmp_path / "new").iterdir()}
    assert files == {"runs.jsonl", "run.json", "report.json", "report.md", "latency.png"}

    again = run(*asked, "--baselines", "sdpa,eager,compile", "--out", str(tmp_path / "new"))
    assert again.exit_code == 0
    assert "divprune 16" in again.stdout
    assert again.stderr == ""  # nothing was left to run
    other = run(*asked, "--dtype", "bfloat16", "--out", str(tmp_path / "new"))
    assert other.exit_code == 2
    assert "choose another folder" in other.stderr


def test_another_relevance_is_another_setting(tmp_path):
    asked = ["--random-weights", "tiny", "--methods", "random", "--keep", "16", "--baselines", "sdpa", *QUICK]
    assert run(*asked, "--out", str(tmp_path)).exit_code == 0
    other = run(*asked, "--relevance", "llm", "--out", str(tmp_path))
    assert other.exit_code == 2
    assert "relevance None (now 'llm'): choose another folder" in other.stderr


def test_without_matplotlib_there_is_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr("lmm_integration.commands.latency.find_spec", lambda name: None)
    asked = ["--random-weights", "tiny", "--methods", "random", "--keep", "16", "--baselines", "sdpa", *QUICK]
    result = run(*asked, "--out", str(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert "pip install 'mmdp[report]'" in result.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"runs.jsonl", "run.json", "report.json", "report.md"}
    assert "latency.png" not in (tmp_path / "report.md").read_text()


def test_a_folder_with_its_processor(llava_folder):
    result = run(
        "--model", str(llava_folder), "--methods", "random", "--keep", "9", "--baselines", "sdpa", *QUICK, "--json"
    )
    assert result.exit_code == 0, result.stderr
    report = json.loads(result.stdout)
    assert [row["visual"] for row in report["rows"]] == [[36, 36], [36, 9]]
    assert report["pictures"] in ("photographs", "noise")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([], "name one model"),
        (["--random-weights", "tiny", "--model", "x"], "name one model"),
        (["--random-weights", "llava-7b"], "llava-1.5-7b"),
        (["--random-weights", "tiny", "--keep", "0"], "keep must be"),
        (["--random-weights", "tiny", "--batch", "0"], "--batch must name whole numbers >= 1, got 0"),
        (["--random-weights", "tiny", "--new-tokens", "1,x"], "--new-tokens must be"),
        (["--random-weights", "tiny", "--methods", "divprun"], "did you mean divprune?"),
        (["--random-weights", "tiny", "--baselines", "flash"], "got 'flash'"),
        (["--random-weights", "tiny", "--device", "mps"], "cpu or cuda"),
        (["--random-weights", "tiny", "--words", "1"], ">= 2"),
        (["--random-weights", "tiny", "--dtype", "int8"], "dtype must be"),
        (["--random-weights", "tiny", "--keep", "65"], "at most the 64"),
        (["--model", "tiny:large"], "tower must be one of"),
        (["--model", "/nowhere/at/all"], "cannot read the model"),
        (["--model", "/nowhere/at/all", "--methods", "cdpruner"], "needs relevance"),
    ],
)
def test_bad_input_is_one_line(asked, said):
    device = [] if "--device" in asked else ["--device", "cpu"]
    result = run(*asked, *device)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("mmdp:")]) == 1

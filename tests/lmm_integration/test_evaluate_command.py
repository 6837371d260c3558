"""`mmdp evaluate` on a model built from a config in a folder, offline."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")
pytest.importorskip("jinja2")
from PIL import Image
from transformers import AutoConfig

from lmm_integration.calibration import Calibration, save_policy
from lmm_integration.calibration.meter import described
from lmm_integration.cli import app
from lmm_integration.evaluate.accuracy.answers import read_lines
from lmm_integration.evaluate.accuracy.task import Question, write_task
from lmm_integration.flops import DecoderShape
from lmm_integration.pruners import CDPruner, DivPrune
from lmm_integration.relevance import EmbeddingRelevance
from mmdp.depth_policy import DepthPolicy


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    rng = np.random.default_rng(0)
    pictures = [Image.fromarray(rng.integers(0, 255, (84, 84, 3), dtype=np.uint8)) for _ in range(4)]
    asked = [("is it red ?", "yes", "exists"), ("what is it ?", "cat", "<kind>"), ("is it blue ?", "no", "exists")]
    questions = [
        Question(f"{i} {kind} {answer}", (shown,), text, answer, kind=kind, group=f"scene {i}")
        for i, shown in enumerate(pictures)
        for text, answer, kind in asked
    ]
    return write_task(questions, tmp_path_factory.mktemp("task"))


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *arguments], prog_name="mmdp")


def arguments(folder, task, *more):
    return ["--model", str(folder), "--task", str(task), "--max-new-tokens", "2", "--jobs", "1", *more]


@pytest.fixture(scope="module")
def finished(llava_folder, task, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    options = ["--methods", "none,blind,random,divprune", "--keep", "0.25,9", "--limit", "6", "--draws", "2"]
    return options, out, run(*arguments(llava_folder, task, *options, "--json", "--out", str(out)))


def test_one_object_whose_summary_is_a_list_of_rows(finished):
    _, _, result = finished
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert [(row["method"], row["keep"]) for row in found["summary"]] == [
        ("none", 1.0),
        ("blind", 0.0),
        *(("random", keep) for keep in (0.25, 9)),
        *(("divprune", keep) for keep in (0.25, 9)),
    ]
    for row in found["summary"]:
        assert row["n"] == 6
        assert 0 <= row["accuracy"] <= 1
        assert row["stderr"] >= 0
        assert row["tokens"]["input"] == {"none": 36, "blind": 0}.get(row["method"], 9)
    assert found["kinds"] == {"exists": 4, "<kind>": 2}
    assert [panel["measure"] for panel in found["panels"]] == ["input tokens", "cache"]


def test_the_files(finished):
    _, out, result = finished
    assert json.loads((out / "summary.json").read_text()) == json.loads(result.stdout)
    assert len(read_lines(out / "answers.jsonl")) == 6 * (2 + 2 * 2 + 2)
    page = (out / "table.md").read_text()
    assert "| divprune | 9 |" in page
    assert "![Accuracy against cost](curves.png)" in page
    html = (out / "table.html").read_text()
    assert "<td>divprune</td>" in html
    assert "&lt;kind&gt;" in html
    assert "<kind>" not in html
    with Image.open(out / "curves.png") as drawn:
        assert min(drawn.size) > 300
        assert len(np.unique(np.asarray(drawn.convert("L")))) > 50


def test_run_again_it_goes_on(finished, llava_folder, task):
    options, out, first = finished
    answers = (out / "answers.jsonl").read_bytes()
    (out / "answers.jsonl").write_bytes(answers[: len(answers) // 2])  # as a run that was killed leaves it
    result = run(*arguments(llava_folder, task, *options, "--json", "--out", str(out)))
    assert accuracies(result) == accuracies(first)
    (out / "answers.jsonl").write_bytes(answers)


def accuracies(result):
    return [
        (row["method"], row["keep"], row["accuracy"], row["stderr"]) for row in json.loads(result.stdout)["summary"]
    ]


@pytest.mark.slow
def test_processes_find_the_same(finished, llava_folder, task):
    options, _, first = finished
    two = [*options, "--methods", "none,random", "--batch", "3", "--jobs", "2", "--json"]
    result = run(*arguments(llava_folder, task, *two))
    assert result.exit_code == 0, result.stderr
    assert accuracies(result) == [row for row in accuracies(first) if row[0] in ("none", "random")]


def test_the_plain_report(finished, llava_folder, task):
    options, out, _ = finished
    result = run(*arguments(llava_folder, task, *options, "--out", str(out)))
    assert result.exit_code == 0
    assert "By kind of question" in result.stdout
    assert "Equal cache" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("answers.jsonl, summary.json, table.md, table.html, curves.png")


def test_depth_policies_by_file(llava_folder, task, tmp_path):
    """Whatever the case of its name; answers hang on what the file holds, not on what it is called."""
    counts = {0: 1.0, 2: 0.5}
    path, shape = tmp_path / "Policy.json", DecoderShape.of(AutoConfig.from_pretrained(llava_folder))

    def policy_of(depths, reducer):
        calibration = Calibration(
            counts, counts, {36: 0.0}, 36, [(10, 36)], shape, "qkv", {"reducer": described(reducer)}
        )
        save_policy(path, DepthPolicy(*depths, 36, 0.0, 1.0, 2.0), calibration, 1.0)

    def flops(method, *more):
        options = ("--methods", method, "--keep", "9", "--limit", "2", "--out", str(tmp_path), "--json")
        result = run(*arguments(llava_folder, task, *options, *more))
        assert result.exit_code == 0, result.output
        (row,) = json.loads(result.stdout)["summary"]
        assert row["method"] == f"dop:{path}"
        return [(line.key, line.flops["decoder"]) for line in read_lines(tmp_path / "answers.jsonl")]

    policy_of((1, 0), DivPrune())
    first = flops(f"DOP:{path}")
    assert flops(f"dop:{path}") == first
    policy_of((2, 1), DivPrune())
    both = flops(f"dop:{path}")
    assert both[:2] == first
    assert len(both) == 4
    assert all(deep > shallow for (_, deep), (_, shallow) in zip(both[2:], first, strict=True))
    policy_of((2, 1), CDPruner(relevance=EmbeddingRelevance(sign=-1)))
    refused = run(*arguments(llava_folder, task, "--methods", f"dop:{path}"))
    assert "needs relevance" in refused.stderr
    wrong = run(*arguments(llava_folder, task, "--methods", f"dop:{path}", "--relevance", "llm"))
    assert "was calibrated with the reducer CDPruner" in wrong.stderr
    assert refused.exit_code == wrong.exit_code == 2
    assert len(flops(f"dop:{path}", "--relevance", "llm", "--relevance-sign", "-1")) == 6


def test_ctrl_c_keeps_what_is_known(llava_folder, task, tmp_path, monkeypatch):
    from lmm_integration.evaluate.accuracy import answering

    whole = answering.BatchRun.answer

    def until(self, cell, key):
        if cell.method == "blind":
            raise KeyboardInterrupt
        return whole(self, cell, key)

    monkeypatch.setattr(answering.BatchRun, "answer", until)
    result = run(*arguments(llava_folder, task, "--methods", "none,blind", "--limit", "6", "--out", str(tmp_path)))
    assert result.exit_code == 130
    assert "the 6 finished of 12 answers are kept" in result.stderr
    assert len(read_lines(tmp_path / "answers.jsonl")) == 6


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--methods": "divprun"}, "did you mean divprune?"),
        ({"--methods": "dop:"}, "dop alone takes a file"),
        ({"--methods": "dop:/nowhere/Policy.json"}, "No such file or directory: /nowhere/Policy.json"),
        ({"--methods": "none,,blind"}, "without empty entries"),
        ({"--keep": "0"}, "number of tokens >= 1 or a ratio in (0, 1]"),
        ({"--keep": "0.5,1.5"}, "got '1.5'"),
        ({"--keep": "37", "--methods": "divprune"}, "at most the 36 visual tokens"),
        ({"--limit": "0"}, "must be a whole number >= 1, got '0'"),
        ({"--methods": "cdpruner"}, "needs relevance"),
        ({"--methods": "cdpruner", "--relevance": "/nowhere/at/all"}, "cannot read the relevance tower"),
        ({"--relevance-sign": "2"}, "must be +1 or -1"),
        ({"--model": "/nowhere/at/all"}, "cannot read the model"),
        ({"--task": "/nowhere/task.jsonl"}, "No such file"),
        ({"--jobs": "0"}, "must be a whole number >= 1"),
    ],
)
def test_bad_input_is_one_line(llava_folder, task, change, said):
    given = dict(zip(*[iter(arguments(llava_folder, task, "--methods", "divprune", "--limit", "2"))] * 2, strict=True))
    result = run(*(text for pair in {**given, **change}.items() for text in pair))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_a_wrong_task_names_its_line(llava_folder, tmp_path):
    (tmp_path / "task.jsonl").write_text('\n{"images": [], "question": "what ?", "answer": "cat"}\n')
    result = run(*arguments(llava_folder, tmp_path / "task.jsonl"))
    assert result.exit_code == 2
    assert "task.jsonl, line 2: images must name one picture" in result.stderr


def test_a_model_of_ones_own_needs_a_task(llava_folder):
    result = run("--model", str(llava_folder))
    assert result.exit_code == 2
    assert "--task is needed" in result.stderr


def test_a_processor_without_pictures(llava_folder, task, tmp_path):
    from transformers import AutoProcessor

    AutoProcessor.from_pretrained(llava_folder).tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_bytes((llava_folder / "config.json").read_bytes())
    result = run(*arguments(tmp_path, task, "--limit", "2"))
    assert result.exit_code == 2
    assert "processor" in result.stderr

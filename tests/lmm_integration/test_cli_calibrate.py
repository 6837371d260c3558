"""`mmdp calibrate`: a policy that prunes, files that a stopped run goes on with, bad input in one line."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

from lmm_integration.calibration import load_dop, load_policy  # noqa: E402
from lmm_integration.cli import app  # noqa: E402


def run(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)], prog_name="mmdp")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for seed in range(3):
        pixels = np.random.default_rng(seed).integers(0, 255, (90, 90, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{seed}.png")
    lines = [{"images": [f"{seed}.png"], "question": "what is it ?", "answer": "a cat"} for seed in range(3)]
    (folder / "task.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_policy_for_a_task(llava_folder, pictures, tmp_path):
    """Within the budget, loadable, told in plain words; run again, nothing is measured anew."""
    out = tmp_path / "policy.json"
    options = ("--model", llava_folder, "--task", pictures / "task.jsonl", "--budget", 0.5, "--out", out, "--limit", 2)
    result = run(*options, "--grid", "3,3,3", "--check", 4, "--json")
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    policy, calibration = load_policy(out)
    assert facts["share"] == policy.share <= 0.5
    assert (facts["samples"], facts["layers"], facts["checked"]) == (2, 2, 4)
    assert facts["keep"] == policy.tokens / 36
    assert facts["summed_divergence"] == policy.loss
    assert facts["joint"] >= 0
    assert load_dop(out).depths(2) == (policy.attention_depth, policy.mlp_depth)
    assert set(calibration.attention) == {0, 1, 2}
    before = (tmp_path / "policy.jsonl").read_text()
    again = run(*options, "--grid", "3,3,3", "--check", 4)
    assert again.exit_code == 0
    assert (tmp_path / "policy.jsonl").read_text() == before
    assert f"{policy.tokens} of 36 visual tokens enter" in again.stdout
    assert "rank correlation" in again.stdout


def test_a_policy_for_pictures(llava_folder, pictures, tmp_path):
    """All asked the same question, under the other reading."""
    result = run(
        "--model", llava_folder, "--images", pictures, "--question", "what is it ?", "--budget", 0.8, "--attn-prune", "q",
        "--out", tmp_path / "p.json", "--grid", "2,2,2", "--check", 0, "--limit", 1, "--reducer", "uniformgrid",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "rank correlation" not in result.stdout
    _, calibration = load_policy(tmp_path / "p.json")
    assert calibration.attn_prune == "q"
    assert calibration.settings["reducer"].startswith("UniformGrid(")


def test_the_command_that_prunes_takes_the_file(llava_folder, pictures, tmp_path):
    """With the reducer that it was made for; other methods take none."""
    out = tmp_path / "Policy.json"
    made = run(
        "--model", llava_folder, "--images", pictures, "--budget", 0.8, "--out", out, "--grid", "2,2,2", "--check", 0,
        "--limit", 1, "--reducer", "uniformgrid",
    )  # fmt: skip
    assert made.exit_code == 0, made.output

    def prune(method):
        words = ("prune", "--model", llava_folder, "--image", pictures / "0.png", "--question", "what is it ?")
        return CliRunner().invoke(
            app, [*map(str, words), "--method", method, "--keep", "4", "--json"], prog_name="mmdp"
        )

    facts = json.loads(prune(f"dop:{out}").stdout)
    assert (facts["method"], facts["kept"]) == ("DOP", 4)
    for method, said in (
        (f"divprune:{out}", "dop alone takes a file, as in dop:policy.json"),
        ("dop:nowhere.json", "No such file"),
        (f"dop:{pictures / 'task.jsonl'}", "is no depth policy"),
    ):
        refused = prune(method)
        assert refused.exit_code == 2
        assert said in refused.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--budget": 1.5}, "--budget must be a share of the dense operations in (0, 1], got 1.5"),
        ({"--budget": 0.001}, "budget must be at least"),
        ({"--grid": "9,9"}, "--grid must be three whole numbers, comma-separated, got '9,9'"),
        ({"--grid": "1,9,8"}, "--grid needs 2 depths or more"),
        ({"--attn-prune": "kv"}, "--attn-prune must be qkv or q, got 'kv'"),
        ({"--reducer": "fastv"}, "--reducer must be a method that prunes the input, got 'fastv'"),
        ({"--reducer": "nothing"}, "unknown method 'nothing'"),
        ({"--out": "/nowhere/p.json"}, "there is no folder /nowhere"),
        ({"--out": "policy.jsonl"}, "--out must name a file that does not end in .jsonl"),
        ({"--out": "."}, "--out must name a file"),
        ({"--limit": 0}, "must be a whole number >= 1, got '0'"),
        ({"--task": None}, "--task or --images is needed"),
        ({"--images": "x"}, "--task or --images, not both"),
    ],
)
def test_bad_input_is_one_line(llava_folder, pictures, tmp_path, change, said):
    options = {
        "--model": llava_folder,
        "--task": pictures / "task.jsonl",
        "--budget": 0.5,
        "--out": tmp_path / "policy.json",
        "--limit": 1,
        "--grid": "2,2,1",
    } | change
    result = run(*(word for pair in options.items() if pair[1] is not None for word in pair))
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "policy.json").exists()
    kept = tmp_path / "policy.jsonl"
    assert not kept.exists() or len(kept.read_text().splitlines()) == 1  # nothing was measured in vain
    assert "Traceback" not in result.output


def test_a_stopped_run_says_how_to_go_on(llava_folder, pictures, tmp_path, monkeypatch):
    from lmm_integration.calibration import meter

    seen = []

    def stop(*arguments):
        seen.append(arguments)
        if len(seen) == 3:
            raise KeyboardInterrupt
        return 0.5

    monkeypatch.setattr(meter, "divergence", stop)
    out = tmp_path / "policy.json"
    result = run(
        "--model", llava_folder, "--task", pictures / "task.jsonl", "--budget", 0.5, "--out", out, "--limit", 1
    )
    assert result.exit_code == 130
    assert "run it again to go on" in result.stderr
    assert len((tmp_path / "policy.jsonl").read_text().splitlines()) == 3

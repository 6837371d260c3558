"""`mmdp prune` on a model that is built from a config in a folder, offline."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")
from PIL import Image  # noqa: E402

from lmm_integration.cli import app  # noqa: E402
from lmm_integration.model_files import load_model  # noqa: E402
from lmm_integration.pruners.named import method_named, method_names  # noqa: E402


@pytest.fixture(scope="module")
def folder(llava_folder, tmp_path_factory):
    """A LLaVA's config and processor, without weights; beside it a picture."""
    pixels = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(llava_folder / "photo.png")
    return llava_folder


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="mmdp")


def arguments(folder, *more):
    photo = str(folder / "photo.png")
    return ["prune", "--model", str(folder), "--image", photo, "--question", "what is it ?", "--keep", "9", *more]


def test_both_answers_tokens_and_times(folder, tmp_path):
    result = run(*arguments(folder, "--json", "--max-new-tokens", "4", "--out", str(tmp_path / "kept.png")))
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["tokens"], facts["kept"], facts["method"]) == (36, 9, "DivPrune")
    assert facts["pruned_seconds"] >= facts["selection_seconds"] >= 0  # the one contains the other
    assert "weights" in result.stderr
    with Image.open(tmp_path / "kept.png") as drawn:
        assert min(drawn.size) > 200
        assert len(np.unique(np.asarray(drawn.convert("L")))) > 50


def test_the_plain_report_names_the_method(folder):
    result = run(*arguments(folder, "--method", "uniformgrid", "--max-new-tokens", "2"))
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].startswith("all 36 tokens")
    assert lines[1].startswith("9 of them by UniformGrid")


def test_relevance_by_the_models_own_words(folder):
    """CDPruner without a text tower."""
    result = run(*arguments(folder, "--method", "cdpruner", "--relevance", "llm", "--max-new-tokens", "2", "--json"))
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["method"], facts["kept"]) == ("CDPruner", 9)


def test_the_model_that_ships_is_called_tiny(folder):
    """Nothing is downloaded, and its weights are trained ones."""
    given = arguments(folder, "--max-new-tokens", "2", "--dtype", "float32", "--device", "cpu", "--json")
    result = run(*["tiny" if argument == str(folder) else argument for argument in given])
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert (facts["model"], facts["tokens"], facts["kept"]) == ("tiny", 256, 9)
    assert "random" not in result.stderr


def test_keeping_everything_answers_the_same(folder):
    result = run(*arguments(folder, "--json", "--keep", "1.0", "--max-new-tokens", "5"))
    facts = json.loads(result.stdout)
    assert facts["answer"] == facts["pruned_answer"]


def test_random_weights_are_the_same_each_time(folder):
    first, second = (load_model(str(folder), device="cpu").model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_saved_weights_are_read(folder, tmp_path):
    loaded = load_model(str(folder), device="cpu")
    loaded.model.save_pretrained(tmp_path)
    loaded.processor.save_pretrained(tmp_path)
    again = load_model(str(tmp_path), device="cpu")
    assert not again.random_weights
    for name, value in loaded.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"--keep": "0"}, "number of tokens >= 1 or a ratio"),
        ({"--keep": "many"}, "got 'many'"),
        ({"--keep": "37"}, "at most the 36 visual tokens"),
        ({"--image": "nowhere.png"}, "no picture at nowhere.png"),
        ({"--model": "/nowhere/at/all"}, "cannot read the model"),
        ({"--method": "divprun"}, "did you mean divprune?"),
        ({"--method": "cdpruner"}, "needs relevance: name a CLIP or SigLIP checkpoint, or llm"),
        ({"--out": "/nowhere/kept.png"}, "no folder"),
        ({"--dtype": "int8"}, "dtype must be"),
    ],
)
def test_bad_input_is_one_line(folder, change, said):
    given = arguments(folder)
    for option, value in change.items():
        given = given[:1] + [option, value] + [a for i, a in enumerate(given[1:]) if not _belongs(given[1:], i, option)]
    result = run(*given)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("mmdp:")]) >= 1


def _belongs(given, i, option):
    return given[i] == option or (i > 0 and given[i - 1] == option)


def test_a_file_that_is_no_picture(folder, tmp_path):
    (tmp_path / "fake.png").write_text("not a picture")
    result = run(*[a if a != str(folder / "photo.png") else str(tmp_path / "fake.png") for a in arguments(folder)])
    assert result.exit_code == 2
    assert "not a picture" in result.stderr


def test_names_are_those_of_the_table():
    assert {"divprune", "cdpruner", "trimtokenatorlc"} <= set(method_names())
    assert type(method_named("DivPrune")).__name__ == "DivPrune"

"""`mmdp capture`: tokens, relevance, keys and values of a model as token files."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
Image = pytest.importorskip("PIL.Image")

from lmm_integration import DivPrune, prune  # noqa: E402
from lmm_integration.ask import prompt_for, to_model  # noqa: E402
from lmm_integration.capture import capture, pictures_in  # noqa: E402
from lmm_integration.cli import app  # noqa: E402
from lmm_integration.model_files import load_model  # noqa: E402
from mmdp.instances import load  # noqa: E402
from solvers import solve  # noqa: E402


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="mmdp")


@pytest.fixture(scope="module")
def photos(llava_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (50, 70, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{i}.png")
    return folder


@pytest.fixture(scope="module")
def loaded(llava_folder):
    return load_model(str(llava_folder), device="cpu")


def test_files_hold_what_the_pruner_would_choose_from(llava_folder, photos, loaded, tmp_path):
    result = run(
        *("capture", "--model", str(llava_folder), "--images", str(photos), "--out", str(tmp_path)),
        *("--question", "what is it ?", "--layer", "1", "--json"),
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["new"] == 2
    instance = load(str(tmp_path / "photo1.safetensors"))
    assert (instance.n, instance.grid, instance.image.shape) == (36, (6, 6), (84, 84, 3))
    assert instance.keys.shape == instance.values.shape == (4, 36, 8)
    picks = solve(instance.problem("max-min", 7), "greedy").indices
    picture = Image.open(photos / "photo1.png").convert("RGB")
    text = prompt_for(loaded.processor, "what is it ?")
    inputs = to_model(loaded.processor(images=picture, text=text, return_tensors="pt"), loaded.model)
    with prune(loaded.model, DivPrune(), keep=7) as pruning, torch.no_grad():
        loaded.model(**inputs)
    assert sorted(picks.tolist()) == pruning.last_indices[0].tolist()
    with torch.no_grad():
        cache = loaded.model(**inputs, use_cache=True).past_key_values
    places = (inputs["input_ids"][0] == 4).nonzero().flatten()
    np.testing.assert_array_equal(instance.keys, cache.layers[1].keys[0][:, places].numpy())
    assert instance.problem("implicit-weight", 7).value(picks) <= 0


def test_pictures_done_before_are_not_run_again(llava_folder, photos, tmp_path):
    arguments = (
        "capture",
        "--model",
        str(llava_folder),
        "--images",
        str(photos / "photo0.png"),
        "--out",
        str(tmp_path),
    )
    assert run(*arguments).exit_code == 0
    before = (tmp_path / "photo0.safetensors").stat().st_mtime_ns
    again = run(*arguments, "--json")
    assert json.loads(again.stdout)["new"] == 0
    assert "(was there)" in again.stderr
    assert (tmp_path / "photo0.safetensors").stat().st_mtime_ns == before


class Brightness:
    sign = -1

    def __call__(self, patches, text):
        return patches.float().mean(-1)


def test_relevance_is_signed_and_scaled(loaded, photos):
    picture = Image.open(photos / "photo0.png").convert("RGB")
    instance = capture(
        loaded.model, loaded.processor, picture, name="x", question="what", relevance=Brightness(), layer=None
    )
    assert instance.relevance.min() == pytest.approx(1e-6)
    assert instance.relevance.max() == 1.0
    assert instance.keys is None
    assert instance.problem("conditional-dpp", 5).n == 36


def test_relevance_of_the_models_own_words_is_kept(llava_folder, photos, loaded, tmp_path):
    result = run(
        *("capture", "--model", str(llava_folder), "--images", str(photos / "photo0.png"), "--out", str(tmp_path)),
        *("--question", "what is it ?", "--relevance", "llm"),
    )
    assert result.exit_code == 0, result.stderr
    instance = load(str(tmp_path / "photo0.safetensors"))
    words = loaded.processor.tokenizer("what is it ?", add_special_tokens=False, return_tensors="pt").input_ids[0]
    with torch.no_grad():
        asked = loaded.model.get_input_embeddings()(words).mean(0)
    raw = torch.nn.functional.cosine_similarity(torch.as_tensor(instance.features), asked, dim=-1)
    scaled = (raw - raw.min()) / (raw.max() - raw.min())
    np.testing.assert_allclose(instance.relevance, scaled.clamp(min=1e-6), atol=1e-5)


def test_bfloat16_tokens_become_float32(llava_folder, photos):
    low = load_model(str(llava_folder), dtype="bfloat16", device="cpu")
    picture = Image.open(photos / "photo0.png").convert("RGB")
    instance = capture(low.model, low.processor, picture, name="x")
    assert instance.features.dtype == np.float32


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--layer", "9"), "layer must be between 0 and 1, got 9"),
        (("--relevance", "some/clip"), "--relevance needs --question"),
        (("--layer", "-1"), "whole number >= 0"),
    ],
)
def test_bad_input(llava_folder, photos, tmp_path, more, said):
    result = run("capture", "--model", str(llava_folder), "--images", str(photos), "--out", str(tmp_path / "o"), *more)
    assert result.exit_code == 2
    assert said in result.stderr


def test_pictures_are_found_and_named_apart(photos, tmp_path):
    assert [file.name for file in pictures_in([photos])] == ["photo0.png", "photo1.png"]
    with pytest.raises(ValueError, match="different names, got 'photo0' twice"):
        pictures_in([photos, photos / "photo0.png"])
    with pytest.raises(ValueError, match="no pictures in"):
        pictures_in([tmp_path])
    with pytest.raises(ValueError, match="no picture at"):
        pictures_in([tmp_path / "none.png"])


def test_relevance_needs_a_question(loaded, photos):
    picture = Image.open(photos / "photo0.png").convert("RGB")
    with pytest.raises(ValueError, match="needs a question"):
        capture(loaded.model, loaded.processor, picture, name="x", relevance=Brightness())

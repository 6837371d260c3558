"""The shipped weights: their score on a frozen set, and where the relevance of their text tower points."""

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

from lmm_integration import tiny
from lmm_integration.evaluate.accuracy.bench import Cell, Setup
from lmm_integration.evaluate.accuracy.run import answer_all
from lmm_integration.relevance import ClipRelevance
from lmm_integration.tiny.relevance import calibrated_sign, relevance_auc

FROZEN = {"labelled": 86, "control": 74}  # right answers to the first questions of the test
POINTS_AT = {"labelled": (0.95, 0.95), "control": (0.85, 0.65)}  # least AUC, for pairs met in training and not
QUESTIONS = 105
TOWERS = list(FROZEN)


@pytest.fixture(scope="module", params=TOWERS)
def tower(request):
    return request.param


@pytest.fixture(scope="module")
def bench(tower):
    return Setup(tower, str(tiny.folder(tower)), ("none", "blind"), device="cpu").build()


def test_the_score_on_the_frozen_set(bench, tower):
    questions = tiny.test_questions(QUESTIONS)
    lines = answer_all(bench, questions, [Cell("none", 1.0)], max_new_tokens=4)
    assert abs(sum(line.correct for line in lines) - FROZEN[tower]) <= 2


def test_the_relevance_points_at_what_is_named(bench, tower):
    """Also for pairs of colour and shape, in words, that the text tower never met; the sign is that of calibration."""
    relevance = ClipRelevance.from_pretrained(str(tiny.folder(tower) / "clip"), sign=1)
    assert calibrated_sign(bench.model, relevance, scenes=10) == 1
    for held_out, least in zip((False, True), POINTS_AT[tower], strict=True):
        assert relevance_auc(bench.model, relevance, split="test", scenes=15, held_out=held_out) > least


def test_both_halves_of_a_folder_are_there(tower):
    folder = tiny.folder(tower)
    assert sum(path.stat().st_size for path in folder.rglob("*.safetensors")) < 12e6
    for name in ("recipe.json", "tower_log.jsonl", "language_log.jsonl", "clip/config.json", "chat_template.jinja"):
        assert (folder / name).is_file()


def test_unknown_towers_are_named():
    with pytest.raises(ValueError, match="tower must be one of labelled, control, got 'other'"):
        tiny.folder("other")

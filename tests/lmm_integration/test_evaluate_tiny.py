"""The shipped model: pruning shows in its answers as it should, and planted errors are found."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import tiny  # noqa: E402
from lmm_integration.evaluate.accuracy.bench import Cell, Setup  # noqa: E402
from lmm_integration.evaluate.accuracy.run import answer_all  # noqa: E402
from lmm_integration.evaluate.accuracy.summary import columns_of  # noqa: E402

KEEP = 0.11
pytestmark = pytest.mark.skipif(not tiny.weights("labelled").exists(), reason="the tiny model is not trained yet")


@pytest.fixture(scope="module")
def columns(planted):
    folder = tiny.folder()
    methods = ("none", "blind", "random", "divprune", "cdpruner")
    bench = Setup("tiny", str(folder), methods, str(folder / "clip"), 1, device="cpu").build()
    right = bench.pruners["cdpruner"]
    wrong = {"wrong sign": replace(right, sign=-1), "shuffled": planted.shuffled, "lost": planted.lost}
    bench = replace(bench, pruners={**bench.pruners, **wrong})
    questions = tiny.test_questions(180, kinds=("exist", "color", "shape"))
    wanted = [Cell("none", 1.0), Cell("blind", 0.0), Cell("lost", 1.0), Cell("divprune", 1.0)]
    wanted += [Cell(name, KEEP) for name in ("random", "divprune", "cdpruner", "wrong sign", "shuffled")]
    return columns_of(answer_all(bench, questions, wanted, max_new_tokens=4))


def test_it_sees_and_it_needs_to(columns):
    assert columns["none", 1.0].accuracy().mean > 0.85
    assert columns["blind", 0.0].accuracy().mean < 0.45
    assert columns["divprune", 1.0].minus(columns["none", 1.0]).mean == 0.0


def test_methods_beat_chance_and_planted_errors_show(columns):
    chance = columns["random", KEEP]
    assert columns["divprune", KEEP].minus(chance).low > 0
    assert columns["cdpruner", KEEP].minus(columns["wrong sign", KEEP]).low > 0
    assert columns["divprune", KEEP].minus(columns["shuffled", KEEP]).low > 0
    assert columns["lost", 1.0].minus(columns["none", 1.0]).high < -0.3

"""Operation pruning on the tiny model: what is asked is what the package does, budgets are kept, pages follow the summary."""

import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

from benchmarks.tiny_methods import dop_page  # noqa: E402
from benchmarks.tiny_methods.dop import described, without  # noqa: E402
from benchmarks.tiny_methods.dop_choices import (  # noqa: E402
    BUDGETS,
    STEP,
    TOKENS,
    calibration_of,
    depth_policy,
    of_operations,
    one_left_out,
    reducer_only,
    share,
    single_operations,
)
from benchmarks.tiny_methods.dop_measure import Arm, Asker, Said  # noqa: E402
from lmm_integration import tiny  # noqa: E402
from lmm_integration.calibration import Meter, Point  # noqa: E402
from lmm_integration.calibration.samples import samples_of  # noqa: E402
from lmm_integration.evaluate.accuracy.batches import with_pictures  # noqa: E402
from lmm_integration.flops import DecoderShape  # noqa: E402
from lmm_integration.tiny.build import clip_model, llava_model  # noqa: E402
from lmm_integration.tiny.words import processor  # noqa: E402

L, N = 8, 256
WHOLE = Arm.to_depths(L, L, N, L)
SHAPE = DecoderShape(width=128, mlp=256, layers=L)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return llava_model(clip_model()).eval()


@pytest.fixture(scope="module")
def questions():
    return tiny.calibration_questions(3, seed=1, kinds=("exist", "digits", "relation"))


class TestAsking:
    def test_divergences_are_those_of_the_package(self, model, questions, tmp_path):
        """Batches with a shared tower and padded prompts, or one after another by `Meter`: the same numbers."""
        points = [Point(3, 1, 256), Point(8, 8, 16), Point(0, 0, 256)]
        arms = [Arm.to_depths(*point, L) for point in points]
        said = Asker(model, processor(), tmp_path / "a.jsonl", "").ask(questions, arms)
        expected = Meter(model, samples_of(model, processor(), questions)).measure(points)
        for point, arm in zip(points, arms, strict=True):
            found = np.mean([said[arm, question.id].kl for question in questions])
            assert expected[point] > 1e-3
            assert found == pytest.approx(expected[point], rel=1e-3)

    def test_masks_and_skipped_operations_are_one_function(self, model, questions, tmp_path, monkeypatch):
        arm = Arm.to_depths(4, 2, 32, L)
        skipped = Asker(model, processor(), tmp_path / "a.jsonl", "", new_tokens=2).ask(questions, [arm])
        monkeypatch.setattr(Arm, "depths", property(lambda arm: (L, L) if arm == WHOLE else None))
        masked = Asker(model, processor(), tmp_path / "b.jsonl", "", new_tokens=2).ask(questions, [arm])
        for place, said in skipped.items():
            assert masked[place].kl == pytest.approx(said.kl, rel=1e-3)
            assert masked[place].answer == said.answer

    def test_nothing_left_out_answers_as_the_model_does(self, model, questions, tmp_path):
        said = Asker(model, processor(), tmp_path / "a.jsonl", "", new_tokens=3).ask(questions, [WHOLE])
        for question in questions:
            inputs = with_pictures(processor(), model, (question,))
            out = model.generate(**inputs, max_new_tokens=3, do_sample=False)[0, inputs["input_ids"].shape[1] :]
            assert said[WHOLE, question.id].answer == processor().decode(out, skip_special_tokens=True).strip()
            assert said[WHOLE, question.id].kl == pytest.approx(0, abs=1e-5)

    def test_a_stopped_run_goes_on(self, model, questions, tmp_path):
        path, runs = tmp_path / "a.jsonl", []
        arms = [Arm.to_depths(1, 0, 8, L), Arm.to_depths(2, 0, 8, L)]
        first = Asker(model, processor(), path, "one").ask(questions, arms[:1])
        whole = path.read_bytes()
        path.write_bytes(whole + b'{"key": "cu')
        again = Asker(model, processor(), path, "one", say=runs.append).ask(questions, arms)
        assert [again[arms[0], q.id] for q in questions] == list(first.values())
        assert len(runs) == 1
        assert path.read_bytes().startswith(whole)
        assert path.read_bytes().count(b"\n") == 2 * len(questions)
        Asker(model, processor(), path, "another model", say=runs.append).ask(questions[:1], arms)
        assert len(runs) == 3

    def test_text_tokens_are_those_of_calibration(self, model, questions, tmp_path):
        asker = Asker(model, processor(), tmp_path / "a.jsonl", "")
        meter = Meter(model, samples_of(model, processor(), questions))
        assert [(text, N) for text in asker.text_tokens(questions)] == meter.sizes


class Losing(dict):
    """Loses by a rule, and says what was asked."""

    def __missing__(self, place):
        arm, _ = place
        lost = 2.0 - 0.25 * sum(arm.attention) + 0.5 - 0.5 * sum(arm.mlp) / L + (1 - arm.tokens / N) ** 2
        return Said(lost, "yes")


@pytest.fixture(scope="module")
def calibration():
    class Asked:
        id = "q"

    return calibration_of(Losing(), [Asked], [11], SHAPE, N)


class TestChoices:
    @pytest.mark.parametrize("budget", BUDGETS)
    def test_the_policy_is_the_best_of_a_literal_loop(self, calibration, budget):
        arm, loss = depth_policy(calibration, budget)
        best = np.inf
        gamma = calibration.token_losses(range(N + 1))
        curves = [np.interp(range(L + 1), [*c, L], [*c.values(), 0]) for c in (calibration.attention, calibration.mlp)]
        for a, p, n in itertools.product(range(L + 1), range(L + 1), range(min(TOKENS), N + 1, STEP)):
            if p <= max(a - 1, 0) and share(calibration, Arm.to_depths(a, p, n, L)) <= budget:
                best = min(best, curves[0][a] + (curves[1][p] if p < max(a - 1, 0) else 0) + gamma[n])
        assert loss == pytest.approx(best)
        assert share(calibration, arm) <= budget

    @pytest.mark.parametrize("budget", BUDGETS)
    def test_fewer_tokens_spend_the_budget(self, calibration, budget):
        arm = reducer_only(calibration, budget)
        more = Arm.to_depths(L, L, arm.tokens + 1, L)
        assert arm.depths == (L, L)
        assert share(calibration, arm) <= budget < share(calibration, more)

    def test_choosing_tokens_is_paid_for(self, calibration):
        """A Gram matrix and n k comparisons, as `DivPrune` is counted."""
        arm = Arm.to_depths(L, L, 64, L)
        alone = calibration.cost(Point(L, L, 64)) / calibration.dense_cost
        gram = 2 * N * N * 128 + 2 * 64 * N
        assert share(calibration, arm) - alone == pytest.approx(gram / calibration.dense_cost)
        assert share(calibration, WHOLE) == 1

    def test_the_knapsack_keeps_what_matters_wherever_it_is(self, calibration):
        losses = np.full((L, 2), 0.01)
        losses[6, 0], losses[5, 1] = 5.0, 4.0
        arm, summed = single_operations(calibration, losses, 0.4)
        assert arm.attention[6]
        assert arm.mlp[5]
        assert arm.depths is None
        assert share(calibration, arm) <= 0.4
        left_out = 2 * L - sum(arm.attention) - sum(arm.mlp)
        assert summed == pytest.approx(0.01 * left_out + calibration.token_losses([arm.tokens])[0])

    def test_each_operation_is_left_out_once(self):
        arms = one_left_out(L, N)
        assert len(set(arms.values())) == 2 * L
        assert all(sum(arm.attention) + sum(arm.mlp) == 2 * L - 1 for arm in arms.values())
        assert not arms[3, 1].mlp[3]
        assert of_operations(np.ones((L, 2), bool), N) == WHOLE


def test_a_kind_held_out_is_in_no_question_that_chooses():
    draws = [tiny.calibration_questions(12, seed=seed, kinds=("exist", "count", "color")) for seed in range(5)]
    found = without("count", draws)
    assert len(found) == 25
    assert {question.kind for question in found} == {"exist", "color"}
    assert len({question.id for question in found}) == 25


def test_arms_by_name():
    assert str(Arm.to_depths(2, 1, 32, 4)) == "32 1100 1000"
    assert Arm.to_depths(2, 1, 32, 4).depths == (2, 1)
    assert Arm(32, (True, False, True), (False,) * 3).depths is None
    assert described(Arm.to_depths(2, 0, 32, 4)) == {"tokens": 32, "attention": [0, 1], "mlp": []}


def found():
    def row(curve, budget, accuracy, arm):
        gap = {"mean": accuracy - 0.5, "stderr": 0.02}
        facts = {"curve": curve, "budget": budget, "share": budget - 0.01, "accuracy": accuracy, "stderr": 0.03}
        facts |= {"summed": 0.2, "kl": 0.25, "test_kl": 0.3, "minus_fewer_tokens": gap, **described(arm)}
        return facts | {"held_out": {"accuracy": 0.55, "stderr": 0.03, "minus_dop": gap}}

    arms = {"DOP": Arm.to_depths(4, 2, 128, L), "fewer tokens": Arm.to_depths(L, L, 40, L)}
    arms["single operations"] = Arm(200, (True, False, True, True, *4 * [False]), L * (False,))
    policy = {"summed": 0.2, "kl": 0.25, **described(arms["DOP"])}
    return {
        "questions": 12,
        "samples": 5,
        "unpruned": {"accuracy": 0.9, "stderr": 0.02},
        "blind": {"accuracy": 0.3, "stderr": 0.02},
        "rows": [row(c, b, 0.6 + 0.1 * i, arm) for i, (c, arm) in enumerate(arms.items()) for b in (0.4, 0.15)],
        "additivity": {"summed": [0.1, 0.2, 0.4, 0.5], "joint": [0.3, 0.2, 0.5, 0.6], "rank_correlation": 0.8},
        "draws": [
            {"budget": b, "policies": [policy, policy | {"tokens": 64, "kl": 0.35}], "fewer_tokens_kl": 0.5}
            for b in (0.4, 0.15)
        ],
    }


def test_tables_hold_a_row_for_each_budget_and_curve():
    lines = dop_page.accuracy_table(found()).splitlines()
    assert lines[0].startswith("Unpruned 90.0 ± 2.0, no visual token 30.0 ± 2.0; 12 questions, policies from 5 others")
    assert lines[4] == "| 39.0 % | DOP | 128 | 0-3 | 0-1 | 0.200 | 0.250 | 0.300 | 60.0 ± 3.0 | +10.0 ± 2.0 |"
    assert lines[6].startswith("| 39.0 % | single operations | 200 | 0, 2-3 | none |")
    assert len(lines) == 4 + 6


def test_draws_are_told_by_their_span():
    lines = dop_page.draws_table(found()).splitlines()
    assert "0.80 over 4 policies drawn at random, -1.00 over the half" in lines[0]
    assert lines[4] == (
        "| 40 % | 2 of 2 | 64 to 128 | 4 | 2 | 0.300 (0.250 to 0.350) | 0.500 | 55.0 ± 3.0 | +10.0 ± 2.0 |"
    )


def test_the_figure_shows_every_curve(tmp_path):
    figure = dop_page.draw(found())
    left, right = figure.axes
    shown = {text.get_text() for text in left.get_legend().get_texts()}
    assert {"DOP", "fewer tokens", "single operations", "DOP, kind held out", "unpruned", "blind"} <= shown
    assert "rank correlation 0.80" in right.get_title()
    figure.savefig(tmp_path / "dop.png")

"""Calibration of depth policies: divergences against a literal computation, the exact choice, what a stopped run keeps."""

import itertools
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration.calibration import (  # noqa: E402
    Meter,
    Point,
    Sample,
    calibrate,
    load_dop,
    load_policy,
    save_policy,
    search_report,
)
from lmm_integration.calibration.divergence import answered, divergence, led_along  # noqa: E402
from lmm_integration.calibration.meter import described  # noqa: E402
from lmm_integration.calibration.points import depth_grid, every_point, token_grid  # noqa: E402
from lmm_integration.calibration.report import rank_correlation, some_policies, summed  # noqa: E402
from lmm_integration.context import prune  # noqa: E402
from lmm_integration.decoder.masked_operations import masked_operations  # noqa: E402
from lmm_integration.pruners import DOP, CDPruner, UniformGrid  # noqa: E402
from lmm_integration.relevance import ClipRelevance, EmbeddingRelevance  # noqa: E402

TOKENS = [2, 6, 16]


def samples(tiny, model, count=2):
    return [Sample(f"s{i}", tiny.batch(model, (1,), seed=i), "what ?") for i in range(count)]


@pytest.fixture(scope="module")
def meter(tiny):
    model = tiny.model("llava")
    return Meter(model, samples(tiny, model), max_new_tokens=2)


@pytest.fixture(scope="module")
def calibration(meter):
    return calibrate(meter, tokens=TOKENS)


def literal(model, sample, pruner, keep, new):
    """Greedy answer of the full model, both models on prompt + answer in one forward call, KL by numpy."""
    inputs = sample.inputs
    with torch.no_grad():
        out = model.generate(**inputs, do_sample=False, max_new_tokens=new)
        length = inputs["input_ids"].shape[1]
        led = inputs | {
            "input_ids": out[:, :-1],
            "attention_mask": torch.ones_like(out[:, :-1]),
        }
        full = model(**led).logits[0, length - 1 :]
        with prune(model, pruner, keep=keep):
            pruned = model(**led).logits[0, length - 1 :]
    p, q = (
        np.exp(x - np.logaddexp.reduce(x, axis=-1, keepdims=True))
        for x in (full.double().numpy(), pruned.double().numpy())
    )
    assert len(p) == new
    return float((p * np.log(p / q)).sum(-1).mean())


@pytest.mark.parametrize("reading", ["qkv", "q"])
@pytest.mark.parametrize("point", [Point(2, 1, 16), Point(0, 0, 16), Point(3, 1, 6), Point(3, 3, 2)], ids=str)
def test_a_divergence_is_the_literal_one(tiny, point, reading):
    """Led along the answer token by token on the shortened cache, or in one forward call: the same numbers."""
    model = tiny.model("llava")
    found = Meter(model, samples(tiny, model), max_new_tokens=3, attn_prune=reading).measure([point])[point]
    pruner = DOP(policy=point[:2], attn_prune=reading)
    expected = np.mean([literal(model, s, pruner, point.tokens / 16, 3) for s in samples(tiny, model)])
    assert expected > 1e-3
    assert found == pytest.approx(expected, rel=1e-3)


def test_m_rope_models_are_led_along_too(families):
    """Qwen2.5-VL, whose pruned cache nobody else may continue."""
    model = families["qwen"]
    inputs, _ = families.batch("qwen", model, (1,))
    meter = Meter(model, [Sample("a", inputs)], max_new_tokens=3)
    found = meter.measure([Point(1, 0, meter.full_tokens), Point(3, 3, meter.full_tokens)])
    assert found[Point(1, 0, meter.full_tokens)] > 1e-3
    assert found[Point(3, 3, meter.full_tokens)] == 0.0


def test_the_unpruned_model_diverges_by_nothing(tiny, meter):
    """By definition at full depth and tokens, dead MLPs or not, without a run; and really, when led along itself."""
    runs = []
    found = meter.measure([Point(3, 3, 16), Point(3, 2, 16)], lambda *run: runs.append(run))
    assert list(found.values()) == [0.0, 0.0]
    assert runs == []
    sample = meter.samples[0]
    full = answered(meter.model, sample.inputs, 4)
    assert len(full.tokens) == 4
    assert divergence(full.log_probabilities, led_along(meter.model, sample.inputs, full)) == 0.0


def test_divergence_is_kl_in_nats_and_what_is_ruled_out_adds_nothing():
    p = torch.tensor([[0.5, 0.25, 0.25], [0.9, 0.1, 0.0]]).log()
    q = torch.tensor([[0.25, 0.25, 0.5], [0.8, 0.1, 0.1]]).log()
    expected = (0.5 * math.log(2) + 0.25 * math.log(0.5) + 0.9 * math.log(9 / 8)) / 2
    assert divergence(p, q) == pytest.approx(expected, abs=1e-6)
    assert divergence(q, p) == math.inf


def test_grids():
    assert depth_grid(40, 3) == [0, 20, 40]
    assert token_grid(2880)[-1] == 2880
    assert token_grid(5) == [1, 2, 3, 4, 5]
    assert len(every_point(3, [4, 9], "qkv")) == 2 * 7
    assert len(every_point(3, [4], "q")) == 4 * 3


def test_the_curves_are_the_single_changes(calibration, meter):
    """One run for every function of the text; the ends are 0."""
    assert set(calibration.attention) == set(calibration.mlp) == {0, 1, 2, 3}
    assert calibration.attention[1] == meter.measure([Point(1, 0, 16)])[Point(1, 0, 16)] > 0
    assert calibration.mlp[0] == meter.measure([Point(3, 0, 16)])[Point(3, 0, 16)] > 0
    assert calibration.tokens[2] == meter.measure([Point(3, 3, 2)])[Point(3, 3, 2)] > 0
    assert calibration.attention[3] == calibration.mlp[3] == calibration.mlp[2] == calibration.tokens[16] == 0
    assert calibration.sizes == [(10, 16)] * 2


@pytest.mark.parametrize("reading", ["qkv", "q"])
def test_costs_are_the_operations_that_really_run(tiny, reading):
    """The cost of any policy is what `stats.operations` counts, mean over samples of different length."""
    model = tiny.model("llava")
    longer = tiny.batch(model, (2,), seed=5)
    meter = Meter(model, [*samples(tiny, model, 1), Sample("two", longer)], attn_prune=reading)
    calibration = calibrate(meter, attention=[0, 3], mlp=[0, 3], tokens=[8, 32])
    assert calibration.sizes == [(10, 16), (12, 32)]
    for point in every_point(3, [8, 32], reading):
        spent = []
        for sample in meter.samples:
            with prune(model, DOP(policy=point[:2], attn_prune=reading), keep=meter.share(point.tokens)) as pruning:
                model(**sample.inputs)
            spent.append(sum(pruning.stats.operations.flops))
        assert calibration.cost(point) == np.mean(spent)
    with prune(model, DOP(policy=(3, 3)), keep=1.0) as pruning:
        model(**longer)
    assert calibration.dense_cost > np.mean(spent)


@pytest.mark.parametrize("budget", [0.36, 0.5, 0.7, 0.9, 1.0])
def test_the_policy_is_the_best_of_the_literal_loop(calibration, budget):
    """Effective depth in cost and loss, as the method has it, over all depths and token counts."""
    found = calibration.policy(budget, TOKENS)
    best = math.inf
    for a, p, n in itertools.product(range(4), range(4), TOKENS):
        effective = min(p, max(a - 1, 0))
        if calibration.cost(Point(a, effective, n)) <= budget * calibration.dense_cost:
            lost = calibration.mlp[p] if p < max(a - 1, 0) else 0.0
            best = min(best, calibration.attention[a] + lost + calibration.tokens[n])
    assert found.loss == pytest.approx(best)
    assert found.share <= budget
    assert found.dense_cost == calibration.dense_cost


def test_a_budget_for_everything_leaves_out_the_dead_mlp_alone(calibration):
    found = calibration.policy(1.0)
    assert (found.attention_depth, found.mlp_depth, found.tokens, found.loss) == (3, 2, 16, 0.0)


def test_sparse_grids_are_interpolated(calibration):
    """Losses between grid points lie on the line; token counts in between may be chosen, fewer than measured may not."""
    np.testing.assert_allclose(
        calibration.token_losses([4, 11, 16]),
        [
            (calibration.tokens[2] + calibration.tokens[6]) / 2,
            calibration.tokens[6] / 2,
            0.0,
        ],
    )
    assert calibration.token_losses([1]) == [math.inf]
    assert {2, 6, 16} < set(calibration.counts)
    assert min(calibration.counts) == 2


def test_divergences_that_are_not_finite_are_left_out_with_a_warning(calibration):
    from dataclasses import replace

    broken = replace(
        calibration,
        mlp={**calibration.mlp, 1: math.nan},
        tokens={**calibration.tokens, 6: math.inf},
        attention={**calibration.attention, 2: -1e-9},
    )
    with pytest.warns(UserWarning, match="left out") as caught:
        problem = broken.problem(1.0, TOKENS)
    said = {str(warning.message) for warning in caught}
    assert said == {"the loss at depth 1 is nan: left out", "the loss with 6 tokens is inf: left out"}
    assert problem.loss[3, 1, 2] == pytest.approx(calibration.mlp[0] / 2)
    assert problem.loss[2, 1, 2] == 0.0
    assert problem.loss[3, 2, 1] == pytest.approx(calibration.tokens[2] * 10 / 14)


def test_a_stopped_run_goes_on_where_it_stopped(tiny, tmp_path):
    """Nothing is measured twice, a torn line is measured again, and the curves are those of one run."""
    model, path, seen = tiny.model("llava"), tmp_path / "kl.jsonl", []

    def new(**change):
        return Meter(model, samples(tiny, model), path=path, **change)

    def stop(sample, done, total):
        seen.append((done, total))
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calibrate(new(), tokens=TOKENS, on_point=stop)
    total = seen[0][1]
    path.write_text(path.read_text()[:-9])
    seen.clear()
    found = calibrate(new(), tokens=TOKENS, on_point=lambda *run: seen.append(run[1:]))
    assert len(seen) == total - 4
    alone = Meter(model, samples(tiny, model))
    assert found.attention == calibrate(alone, tokens=TOKENS).attention
    assert all(math.isfinite(json.loads(line)["kl"]) for line in path.read_text().splitlines()[1:])
    seen.clear()
    calibrate(new(), tokens=TOKENS, on_point=lambda *run: seen.append(run))
    assert seen == []
    more = Meter(model, samples(tiny, model, 3), path=path)
    calibrate(more, tokens=TOKENS, on_point=lambda *run: seen.append(run))
    assert len(seen) == total / 2  # samples may be added
    path.write_text("".join(path.read_text().splitlines(keepends=True)[: total + 1]))
    with pytest.raises(ValueError, match=r"kl\.jsonl was measured with another attn_prune, max_new_tokens; name"):
        new(attn_prune="q", max_new_tokens=2)
    with pytest.raises(ValueError, match="was measured with another reducer"):
        new(reducer=UniformGrid())
    path.write_text(path.read_text() + '{"sample": "s0"}\n')
    with pytest.raises(ValueError, match=rf"line {total + 2}, is not of a calibration"):
        new()


@pytest.mark.parametrize("text", ["{", '{"images": ["a.png"]}', '{"images": ["a.png"]}\n{"images": ["b.png"]}'])
def test_a_file_of_something_else_stays_as_it_is(tiny, tmp_path, text):
    """A task file whose last line has no end, for instance; a header that a stopped run left torn is written again."""
    model, path = tiny.model("llava"), tmp_path / "task.jsonl"
    path.write_text(text)
    if text == "{":
        Meter(model, samples(tiny, model), path=path)
        assert list(json.loads(path.read_text())) == ["calibration"]
        return
    with pytest.raises(ValueError, match=r"task\.jsonl.* is not of a calibration"):
        Meter(model, samples(tiny, model), path=path)
    assert path.read_text() == text


def test_a_reducer_is_told_apart_by_its_relevance(tiny, tmp_path):
    """Sign and weights of a tower count: what was measured with another one is not gone on with."""
    hf = pytest.importorskip("transformers")
    small = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = hf.CLIPConfig(
        text_config={**small, "vocab_size": 100}, vision_config={**small, "image_size": 56, "patch_size": 14}
    )
    first, second = hf.CLIPModel(config), hf.CLIPModel(config)
    towers = [ClipRelevance(clip=first, tokenizer=None, sign=sign) for sign in (-1, 1)]
    towers.append(ClipRelevance(clip=second, tokenizer=None))
    said = [described(CDPruner(relevance=tower)) for tower in towers]
    assert len(set(said)) == 3
    assert said[0] == described(CDPruner(relevance=ClipRelevance(clip=first, tokenizer=None)))
    assert "relevance=EmbeddingRelevance(sign=1, mean='embeddings')" in described(
        CDPruner(relevance=EmbeddingRelevance())
    )
    model, path = tiny.model("llava"), tmp_path / "kl.jsonl"
    Meter(model, samples(tiny, model), reducer=CDPruner(relevance=towers[0]), path=path)
    with pytest.raises(ValueError, match="was measured with another reducer"):
        Meter(model, samples(tiny, model), reducer=CDPruner(relevance=towers[2]), path=path)


def test_numbers_that_are_not_finite_are_kept_as_null(tiny, tmp_path):
    model, path = tiny.model("llava"), tmp_path / "kl.jsonl"
    meter = Meter(model, samples(tiny, model), path=path)
    meter.records.put(meter.settings["samples"][0], Point(1, 0, 16), math.nan)
    again = Meter(model, samples(tiny, model), path=path)
    assert math.isnan(again.measure([Point(1, 0, 16)])[Point(1, 0, 16)])


def test_a_policy_comes_back_from_its_file_with_all_it_was_chosen_from(tiny, calibration, tmp_path):
    """And works in a model as it did."""
    policy = calibration.policy(0.6)
    save_policy(tmp_path / "policy.json", policy, calibration, 0.6, {"joint": 0.1})
    loaded, whole = load_policy(tmp_path / "policy.json")
    assert loaded == policy
    assert whole == calibration
    assert whole.policy(0.8) == calibration.policy(0.8)
    pruner = load_dop(tmp_path / "policy.json")
    assert pruner == DOP(policy=policy)
    model = tiny.model("llava")
    with prune(model, pruner, keep=policy.tokens) as pruning:
        model(**tiny.batch(model, (1,)))
    assert pruning.stats.operations.depths == (policy.attention_depth, policy.mlp_depth)
    assert sum(pruning.stats.operations.flops) == policy.cost
    with pytest.raises(ValueError, match=r"was calibrated with the reducer DivPrune.*, got UniformGrid"):
        load_dop(tmp_path / "policy.json", reducer=UniformGrid())
    for text in ("[1]", "{", '{"format": "mmdp depth policy 1"}', '{"format": "other"}'):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(ValueError, match="is no depth policy"):
            load_policy(tmp_path / "other.json")
    facts = json.loads((tmp_path / "policy.json").read_text())
    facts["policy"]["tokens"] = 2.5
    (tmp_path / "other.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"is no depth policy: tokens must be a whole number >= 0, got 2\.5"):
        load_policy(tmp_path / "other.json")


@pytest.mark.parametrize("depths", [(2, 1), (1, 0), (3, 1), (3, 0), (0, 0)], ids=str)
def test_masked_operations_of_deeper_layers_are_the_depth_policy(tiny, depths):
    """Full length and masks, or a shorter sequence: the same text, in forward calls and along a cache."""
    for kernel in ("sdpa", "eager"):
        model = tiny.model("llava", kernel)
        inputs = tiny.batch(model, (1, 2, 0))
        visual = inputs["input_ids"] == tiny.image
        text = ~visual & inputs["attention_mask"].bool()
        options = {"do_sample": False, "max_new_tokens": 4}
        with torch.no_grad():
            with masked_operations(model, visual, attention=range(depths[0], 3), mlp=range(depths[1], 3)):
                masked, words = model(**inputs).logits, model.generate(**inputs, **options)
            with prune(model, DOP(policy=depths), keep=1.0):
                found, same = model(**inputs).logits, model.generate(**inputs, **options)
        torch.testing.assert_close(masked[text], found[text], rtol=1e-3, atol=1e-3)
        assert torch.equal(words, same)


def test_masked_operations_leave_nothing_behind(tiny):
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with torch.no_grad():
        plain = model(**inputs).logits
        with masked_operations(model, inputs["input_ids"] == tiny.image, attention=[1]):
            other = model(**inputs).logits
        assert torch.equal(model(**inputs).logits, plain)
    assert not torch.allclose(other, plain, atol=1e-2)


@pytest.mark.parametrize(("budget", "every_set"), [(0.4, False), (0.6, True), (0.8, False)])
def test_the_report_tells_the_sources_of_loss_apart(tiny, budget, every_set):
    """Joint optimum by literal enumeration; all sets of operations hold the depth-wise ones."""
    model, counts = tiny.model("llava"), [6, 16]
    meter = Meter(model, samples(tiny, model, 1))
    calibration = calibrate(meter, tokens=counts)
    report = search_report(meter, calibration, budget, every_set=every_set)
    joint = meter.measure(every_point(3, counts, "qkv"))
    limit = budget * calibration.dense_cost
    assert report.best.loss == min(kl for point, kl in joint.items() if calibration.cost(point) <= limit)
    chosen = calibration.policy(budget, counts)
    assert report.chosen == chosen
    assert report.chosen_joint == joint[Point(chosen.attention_depth, chosen.mlp_depth, chosen.tokens)]
    assert report.additive_error == report.chosen_joint - chosen.loss
    assert report.additive_regret >= 0
    assert report.search_gap == pytest.approx(0, abs=1e-9)
    assert -1 <= report.rank_correlation <= 1
    if every_set:
        assert report.best_set.joint <= min(report.best.loss, report.knapsack.joint) + 1e-5
        assert report.depth_restriction == report.best.loss - report.best_set.joint
    for found in (report.knapsack, *([report.best_set] if every_set else [])):
        fixed, attention, mlp = calibration.costs(found.tokens)
        assert fixed + attention * found.runs[:, 0].sum() + mlp * found.runs[:, 1].sum() <= limit


def test_the_other_reading_is_reported_without_single_operations(tiny):
    model = tiny.model("llava")
    meter = Meter(model, samples(tiny, model, 1), attn_prune="q")
    report = search_report(meter, calibrate(meter, tokens=[4, 16]), 0.7)
    assert report.knapsack is report.best_set is report.depth_restriction is None
    assert report.additive_regret >= 0


def test_summed_and_joint_divergences_are_compared_on_a_sample_of_policies(meter, calibration):
    points = some_policies(calibration, 10, seed=3)
    assert points == some_policies(calibration, 10, seed=3) != some_policies(calibration, 10, seed=4)
    assert len(set(points)) == 10
    found = summed(calibration, points)
    for point, loss in zip(points, found, strict=True):
        lost = calibration.mlp[point.mlp] if point.mlp < max(point.attention - 1, 0) else 0.0
        expected = calibration.attention[point.attention] + lost + calibration.token_losses([point.tokens])[0]
        assert loss == pytest.approx(expected)
    ranks = np.array([[0, 1, 2, 3], [0, 2, 1, 3]])
    assert rank_correlation(*np.exp(ranks)) == pytest.approx(np.corrcoef(ranks)[0, 1])


def test_what_cannot_be_calibrated_is_refused_in_one_sentence(tiny, meter, calibration):
    model = tiny.model("llava")
    one = samples(tiny, model, 1)
    words = {"input_ids": torch.tensor([[1, 5]])}
    for error, message, call in (
        (ValueError, "calibration needs a sample, got none", lambda: Meter(model, [])),
        (ValueError, "every sample must have an id of its own", lambda: Meter(model, one * 2)),
        (ValueError, "max_new_tokens must be >= 1, got 0", lambda: Meter(model, one, max_new_tokens=0)),
        (ValueError, "sample 'w' holds no visual tokens", lambda: Meter(model, [Sample("w", words)])),
        (ValueError, "must hold input_ids of one row", lambda: Sample("b", tiny.batch(model, (1, 1)))),
        (ValueError, r"tokens must be in \[1, 16\], got 17", lambda: meter.measure([Point(3, 3, 17)])),
        (ValueError, r"depths must be in \[0, 3\], got 4 and 1", lambda: meter.measure([Point(4, 1, 16)])),
        (ValueError, r"dense operations in \(0, 1\], got 1.5", lambda: calibration.policy(1.5)),
        (ValueError, r"at least 0\.348\d of the dense operations, what always runs", lambda: calibration.policy(0.1)),
        (ValueError, r"counts must ascend to all 16 tokens, got \[2, 6\]", lambda: calibration.policy(0.9, [2, 6])),
        (ValueError, "2 points or more, got 1", lambda: depth_grid(32, 1)),
        (ValueError, r"must be in \[1, 9\], got 12", lambda: token_grid(9, least=12)),
    ):
        with pytest.raises(error, match=message):
            call()

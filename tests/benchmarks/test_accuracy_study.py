"""The study of optimality and accuracy: its evaluator against `generate`, its statistics on invented data, its page."""

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the study asks a model")
pytest.importorskip("transformers", reason="the study asks a model")
pytest.importorskip("skimage", reason="scenes need scikit-image")
pytest.importorskip("sklearn", reason="scenes need scikit-learn")
pytest.importorskip("matplotlib", reason="the study draws figures")

import torch

from benchmarks.accuracy_study import design, figures, measure, records, report, run
from benchmarks.accuracy_study.__main__ import main
from benchmarks.accuracy_study.analysis import accuracy, differences, ladder, level, slopes, verdicts
from benchmarks.accuracy_study.decoder import PackedDecoder, divergence
from benchmarks.accuracy_study.exam import draw_exam
from benchmarks.accuracy_study.layer import LayerView
from benchmarks.accuracy_study.records import Record, SetRecord, bits, line_of, read_records, record_of
from benchmarks.accuracy_study.sets import build_family, clustered_sets, covering, random_sets
from benchmarks.accuracy_study.statistics import contrast, holm, mean_of, spearman, within_slopes
from lmm_integration import prune
from lmm_integration.tiny import build
from lmm_integration.tiny.words import processor
from mmdp import ImplicitWeight, MaxMinDiversity


@dataclass(frozen=True)
class Given:
    """Keeps tokens that are given, in front of a layer."""

    chosen: tuple[int, ...]
    layer: int = 0
    position_policy: str = "keep"

    def layers(self, depth):
        return (self.layer,) if self.layer else ()

    def kept(self, n, budget, depth):
        return (budget,) if self.layer else ()

    def select(self, tokens, k):
        return [torch.tensor(self.chosen)]


@pytest.fixture(scope="module")
def decoder():
    """Untrained and shallow; the end of an answer is as likely as any word."""
    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "LAYERS", 3)
        patch.setattr(build, "VISION_LAYERS", 2)
        llava = build.llava_model(build.clip_model()).eval()
    return PackedDecoder(llava, processor().tokenizer)


@pytest.fixture(scope="module")
def exam():
    return draw_exam(0, questions=6)


def said(decoder, exam, question, pruner, k):
    """What `generate` says within three tokens, and the log-probabilities of its first token."""
    from PIL import Image

    from lmm_integration.tiny.words import processor

    ready = processor()
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}]
    prompt = ready.apply_chat_template(asked, add_generation_prompt=True)
    inputs = ready(images=[Image.fromarray(exam.scene.picture)], text=[prompt], return_tensors="pt")
    options = {"max_new_tokens": 3, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    with prune(decoder.llava, pruner, keep=k):
        out = decoder.llava.generate(**inputs, **options)
    new = out.sequences[0, inputs["input_ids"].shape[1] :].tolist()
    return new, out.logits[0][0].float().log_softmax(-1)


@pytest.mark.parametrize(("layer", "repack"), [(0, False), (0, True), (1, False)])
def test_packed_answers_are_those_of_generate(decoder, exam, layer, repack):
    """Every question alone, through `with prune(...)`, gives the same distribution and the same verdict."""
    words = decoder.packer.words
    end = words.eos_token_id
    _, read = decoder.tokens(exam.scene.picture)
    kept = np.sort(np.random.default_rng(1).permutation(256)[:20])
    pruner = Given(tuple(kept.tolist()), layer, "repack" if repack else "keep")
    generated = [said(decoder, exam, text, pruner, 20) for text, _ in exam.questions]
    answers = [new[: new.index(end)] if end in new else new[:1] for new, _ in generated]
    texts = tuple((q, words.decode(a)) for (q, _), a in zip(exam.questions, answers, strict=True))
    assert all(words(t, add_special_tokens=False).input_ids == a for (_, t), a in zip(texts, answers, strict=True))
    prompt = decoder.prompt(read, texts)
    other = np.sort(np.random.default_rng(2).permutation(256)[:20])
    found = decoder.answer(prompt, np.stack([other, kept]), layer, repack=repack)
    firsts = np.cumsum([0] + [len(a) + 1 for a in answers[:-1]])
    for row, (_, alone) in zip(found.logs[1, firsts], generated, strict=True):
        torch.testing.assert_close(row, alone, atol=2e-4, rtol=1e-4)
    assert found.right[1].tolist() == [end in new for new, _ in generated]
    wrong = decoder.prompt(read, tuple((q, "ring ring") for q, _ in texts))
    assert not decoder.answer(wrong, kept[None], layer, repack=repack).right.any()


def test_everything_kept_changes_nothing(decoder, exam):
    """All tokens in front of a layer give the answers of all tokens; no token gives others; rows do not mix."""
    _, read = decoder.tokens(exam.scene.picture)
    prompt = decoder.prompt(read, exam.questions)
    every = np.arange(256)[None]
    whole = decoder.answer(prompt, every)
    torch.testing.assert_close(decoder.answer(prompt, every, 1).logs, whole.logs)
    torch.testing.assert_close(decoder.answer(prompt, every, repack=True).logs, whole.logs)
    assert divergence(whole.logs, whole.logs) == pytest.approx(0, abs=1e-6)
    blind = decoder.answer(prompt, np.empty((1, 0), np.int64))
    assert divergence(whole.logs, blind.logs)[0] > 1e-4
    sets = np.stack([np.sort(np.random.default_rng(i).permutation(256)[:5]) for i in range(30)])
    together = decoder.answer(prompt, sets).logs
    torch.testing.assert_close(together[29:], decoder.answer(prompt, sets[29:]).logs)
    with pytest.raises(ValueError, match="layer 0 alone, got layer 1"):
        decoder.answer(prompt, sets, 1, repack=True)


def test_attention_errors_are_those_of_the_layer(decoder, exam):
    """The true error is the change of the layer's own output when the mask hides the pruned tokens."""
    _, read = decoder.tokens(exam.scene.picture)
    prompt = decoder.prompt(read, exam.questions)
    view = LayerView(decoder, prompt, 1)
    kept = np.sort(np.random.default_rng(3).permutation(256)[:30])
    frozen, true = view.errors(np.stack([kept, kept[::-1]]))
    layer = decoder.model.layers[1]
    states = layer.input_layernorm(view.states)
    hidden = prompt.visible.clone()
    gone = prompt.first + np.setdiff1d(np.arange(256), kept)
    hidden[:, gone] = False
    hidden[gone, gone] = True  # a token always sees itself, so that no row is empty
    outs = []
    with torch.no_grad():
        for mask in (prompt.visible, hidden):
            out, _ = layer.self_attn(states, position_embeddings=view.turn, attention_mask=mask[None, None])
            outs.append(out[0, prompt.asks])
    assert true[0] == pytest.approx(float((outs[0] - outs[1]).norm() / outs[0].norm()), rel=1e-3)
    assert frozen[0] == pytest.approx(frozen[1])
    assert frozen[0] != pytest.approx(true[0], rel=1e-3)
    assert view.errors(np.arange(256)[None])[1][0] == pytest.approx(0, abs=1e-6)


def test_iwp_reads_the_layer_as_inside_the_model(decoder, exam):
    """With one question, the problem is the one that IWP poses inside `prune`."""
    from lmm_integration.pruners import IWP

    asked = exam.questions[:1]
    _, read = decoder.tokens(exam.scene.picture)
    seen = []

    class Watched(IWP):
        def select(self, tokens, k):
            seen.append(self.problems(tokens, k)[0].gram)
            return super().select(tokens, k)

    said(decoder, exam, asked[0][0], Watched(layer=1), 20)
    tokens = LayerView(decoder, decoder.prompt(read, asked), 1).tokens()
    np.testing.assert_allclose(IWP(layer=1).problems(tokens, [20])[0].gram, seen[0], rtol=2e-3, atol=1e-6)


def test_exams_are_distinct_and_reproducible():
    """Scenes differ, texts do not repeat, and answers are right."""
    first, again, other = draw_exam(3), draw_exam(3), draw_exam(4)
    assert (first.scene.picture == again.scene.picture).all()
    assert first.questions == again.questions
    assert (first.scene.picture != other.scene.picture).any()
    assert len({text for text, _ in first.questions}) == len(first.kinds) == design.QUESTIONS
    assert first.seen(np.arange(256)) == 1.0
    assert first.seen(np.empty(0, np.int64)) == 0.0


def test_sets_climb_from_bad_to_best():
    """Levels lie between random and best, the ensemble at the top, clustered sets below."""
    rng = np.random.default_rng(0)
    problem = MaxMinDiversity.from_features(rng.normal(size=(60, 6)) + 1.0, 8)
    draws = random_sets(60, 8, 0)
    bad = {f"clustered/{i}": kept for i, kept in enumerate(clustered_sets(problem.distances, 8, 0))}
    family = build_family("max-min", problem, draws, 0, bad)
    values = {each.name: each.value for each in family.sets}
    way = family.best - family.floor
    assert family.proved
    assert family.floor == pytest.approx(np.mean([values[f"random/{i}"] for i in range(5)]))
    assert values["best"] == family.best >= values["local_search"] >= values["greedy"] > family.floor
    ensemble = [each for each in family.sets if each.name.startswith("ensemble/")]
    assert len({each.kept.tobytes() for each in ensemble}) == len(ensemble) == design.ENSEMBLE["max-min"]
    assert min(each.value for each in ensemble) >= family.best - family.slack * way - 1e-12
    for at in design.LEVELS:
        assert all(v >= family.floor + at * way - 1e-9 for name, v in values.items() if name.startswith(f"level {at}/"))
    assert values["clustered/0"] <= family.floor
    assert values["leximin"] == values["cover"] == family.best
    radius, mean = covering(problem.distances)(np.arange(60))
    assert radius == mean == 0.0
    places = np.arange(0, 120, 2)
    assert (family.at(places).sets[0].kept == places[family.sets[0].kept]).all()
    energy = ImplicitWeight.from_gram(np.diag(rng.uniform(size=20)), 4)
    assert build_family("rank-1", energy, random_sets(20, 4, 0), 0).proved


def test_tests_keep_their_level():
    """A true difference is found, none is not; equivalence is claimed inside the margin alone."""
    rng = np.random.default_rng(0)
    small = rng.normal(0, 0.05, 400)
    near = contrast(small - small.mean() + 0.001, 0.02)
    assert near.equivalent < 0.01 < near.different
    far = contrast(small - small.mean() + 0.03, 0.02)
    assert far.different < 0.01
    assert far.equivalent > 0.9
    few = contrast(4 * (small[:40] - small[:40].mean()), 0.02)
    assert few.equivalent > 0.05 < few.different
    hits = sum(contrast(rng.normal(0, 1, 60), 0.02, seed=i).different <= 0.05 for i in range(30))
    assert hits <= 6
    claims = [contrast(0.02 + rng.normal(0, 0.05, 60), 0.02).equivalent <= 0.05 for _ in range(200)]
    assert sum(claims) <= 20  # a difference as large as the margin: 5 % of 200 are 10
    assert sum(claims) > 0
    assert mean_of([1.0, math.nan, 3.0])[::3] == (2.0, 2)
    assert holm([0.001, 0.9, 0.02]) == pytest.approx([0.003, 0.9, 0.04])
    assert holm([0.6, 0.6]) == [1.0, 1.0]


def test_slopes_are_within_pictures():
    """Levels of pictures that go with the covariate do not count; a second covariate is held."""
    rng = np.random.default_rng(1)
    x, y = [], []
    for picture in range(40):
        a = rng.normal(size=(12, 2)) + picture
        a[:, 1] += 0.8 * a[:, 0]
        x.append(a)
        y.append(0.5 * a[:, 0] - 0.25 * a[:, 1] - 3.0 * picture + 0.01 * rng.normal(size=12))
    first, second = within_slopes(x, y)
    assert first.mean == pytest.approx(0.5, abs=0.01)
    assert second.mean == pytest.approx(-0.25, abs=0.01)
    assert first.low < first.mean < first.high < 0.52
    (alone,) = within_slopes([a[:, :1] for a in x], y)
    assert alone.mean == pytest.approx(0.3, abs=0.06)
    own = np.kron(np.eye(40), np.ones((12, 1)))  # an effect for every picture
    whole, *_ = np.linalg.lstsq(np.hstack([np.vstack(x), own]), np.concatenate(y))
    assert [first.mean, second.mean] == pytest.approx(whole[:2])
    again = []
    for _ in range(300):  # pictures drawn anew, literally
        drawn = rng.integers(40, size=40)
        a = np.vstack([x[i][:, :1] - x[i][:, :1].mean() for i in drawn])
        again.append(np.linalg.lstsq(a, np.concatenate([y[i] - y[i].mean() for i in drawn]))[0][0])
    low, high = np.percentile(again, (2.5, 97.5))
    assert (alone.low, alone.high) == pytest.approx((low, high), abs=0.3 * (high - low))


def test_rank_correlation_by_hand():
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([3.0, 2.0, 1.0])) == -1.0
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([5.0, 6.0, 7.0])) == pytest.approx(3**0.5 / 2)
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))


def invented(image, gain, k=16):
    """A picture whose sets are right about as many of ten questions as their value, plus `gain` for the ensemble."""
    rng = np.random.default_rng(image)

    def one(family, name, value, right):
        text = bits(rng.permutation(10) < right)
        lost = round(1 - value, 6)
        return SetRecord(family, name, value, lost, lost, value, lost, lost, lost, text, text)

    sets = []
    for family in design.OBJECTIVES:
        sets += [one(family, f"random/{i}", i / 10, 3 + (i > 2)) for i in range(5)]
        sets += [one(family, f"ensemble/{i}", 1.0, 7 + gain) for i in range(4)]
        for label in ("greedy", "multi_start", "local_search", "best", "leximin", "cover", "pc_mmr", "magnitude"):
            sets.append(one(family, label, 0.9, 7))
        sets += [one(family, f"level {at}/0", at, 5) for at in design.LEVELS]
        sets.append(one(family, "clustered/0", -1.0, 1))
    problem = {"best": 1.0, "bound": 1.0, "proved": image % 2 == 0, "floor": 0.2, "slack": 0.0}
    problems = dict.fromkeys(design.OBJECTIVES, problem)
    kinds = ("exist", "count") * 5
    return Record(image, k, kinds, bits(np.ones(10, bool)), bits(np.zeros(10, bool)), problems, sets, 1.0)


def test_analysis_of_invented_records(monkeypatch):
    """Accuracy, levels, contrasts, slopes and rank correlations of records whose answer is known."""
    monkeypatch.setattr(design, "PLAN", ((16, range(40)),))
    monkeypatch.setattr(design, "THIRD", 1)
    same, better = ([invented(i, gain) for i in range(40)] for gain in (0, 1))
    assert accuracy(same[0], "max-min", "greedy") == pytest.approx(0.7)
    assert level(same[0], same[0].sets[-1]) == pytest.approx((-1.0 - 0.2) / 0.8)
    assert differences(better, "max-min", ("ensemble", "greedy")) == pytest.approx(0.1)
    assert math.isnan(accuracy(same[0], "max-min", "nobody"))
    words = {(v.family, v.pair): v.words for v in verdicts(same)}
    assert words["max-min", ("ensemble", "greedy")] == "within 2 points"
    assert words["max-min", ("greedy", "random")] == "better"
    words = {(v.family, v.pair): v.words for v in verdicts(better)}
    assert words["rank-1", ("ensemble", "pc_mmr")] == "better"
    (slope,) = slopes(same, "max-min")
    assert 0.3 < slope.mean < 0.5
    rungs = ladder(same, "max-min")
    assert rungs["objective", "frozen"].mean == pytest.approx(1.0)
    assert 0.8 < rungs["objective", "accuracy"].mean <= 1.0


def test_nothing_is_decided_before_its_pictures_are_there(monkeypatch):
    """Holm's correction is over the whole plan from the first picture on; a budget without all of its own is open."""
    monkeypatch.setattr(design, "PLAN", ((16, range(12)), (64, range(12))))
    monkeypatch.setattr(design, "THIRD", 1)
    pairs = sum(map(len, design.CONTRASTS.values()))
    done = [invented(i, 1) for i in range(12)]
    some = [invented(i, 1, 64) for i in range(5)]
    alone, both = verdicts(done), verdicts(done + some)
    assert {v.words for v in verdicts(done[:5])} == {"first look"}
    assert alone == both[:pairs]
    assert [v.words for v in both[pairs:]] == ["first look"] * pairs
    least = min(v.found.different for v in alone)
    assert min(v.different for v in alone) == pytest.approx(2 * pairs * least)
    assert {v.words for v in verdicts(done + [invented(i, 1, 64) for i in range(12)])} == {v.words for v in alone}


def test_records_survive_the_file(tmp_path):
    """Lines come back; a torn last line is no record; any other bad line is named."""
    record = invented(0, 0)
    first = replace(record.sets[0], value=-math.inf)
    again = record_of(json.loads(line_of(replace(record, sets=[first, *record.sets[1:]]))))
    assert again.sets[0].value is None
    assert again.sets[1:] == record.sets[1:]
    assert again.kinds == record.kinds
    path = tmp_path / "r.jsonl"
    path.write_text(line_of(record) + line_of(record)[:50])
    assert len(read_records(path)) == 1
    path.write_text("{}\n")
    with pytest.raises(ValueError, match=r"r\.jsonl, line 1 is no record"):
        read_records(path)


def test_from_a_model_to_the_page(tmp_path, monkeypatch, decoder):
    """A small run is resumed where it was stopped, and becomes tables and figures."""
    for module, name in ((records, "FOLDER"), (report, "TABLES"), (figures, "FOLDER")):
        monkeypatch.setattr(module, name, tmp_path)
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(design, "PLAN", ((16, range(2)), (12, range(0, 1, 3))))
    monkeypatch.setattr(design, "ENSEMBLE", dict.fromkeys(design.ENSEMBLE, 2))
    monkeypatch.setattr(design, "SECONDS", dict.fromkeys(design.SECONDS, 0.05))
    model = tmp_path / "model"
    model.mkdir()
    for name in ("config.json", "model.safetensors"):
        (model / name).write_bytes(b"{}")
    monkeypatch.setattr(run.tiny, "folder", lambda tower: model)
    monkeypatch.setattr(run, "_decoder", lambda folder: decoder)
    monkeypatch.setattr(measure, "draw_exam", lambda image: draw_exam(image, questions=8))
    assert [(r.image, r.k) for r in run.run_study("labelled", tmp_path / "runs", 1, math.inf, 1)] == [(0, 16), (0, 12)]
    (path,) = (tmp_path / "runs").glob("labelled-*.jsonl")
    first = path.read_text()
    path.write_text(first + first[:30])
    both = run.run_study("labelled", tmp_path / "runs", 1, math.inf, 2)
    assert [(r.image, r.k) for r in both] == [(0, 16), (0, 12), (1, 16)]
    assert path.read_text().startswith(first)
    committed = read_records(records.committed("labelled"))
    assert sorted(len(r.sets) for r in committed) == sorted(len(r.sets) for r in both)
    assert json.loads((tmp_path / "run.json").read_text())["labelled"]["packages"]["torch"]
    found = [{each.family for each in r.sets} for r in sorted(both, key=lambda r: (-r.k, r.image))]
    assert found == [set(design.OBJECTIVES) | {design.SPARSE}, {"max-min"}, set(design.OBJECTIVES)]
    for left in (None, first):  # what is committed is gone on with, whatever else is there
        path.unlink()
        if left is not None:
            path.write_text(left)
        assert len(run.run_study("labelled", tmp_path / "runs", 1, math.inf, 2)) == 3
        assert {(r.image, r.k) for r in read_records(path)} == {(0, 16), (0, 12), (1, 16)}
        assert read_records(records.committed("labelled")) == committed
    (model / "model.safetensors").write_bytes(b"{ }")  # trained anew: fewer records do not take the place of more
    assert len(run.run_study("labelled", tmp_path / "runs", 1, math.inf, 1)) == 2
    assert read_records(records.committed("labelled")) == committed
    report.write_report()
    names = {path.stem for path in tmp_path.glob("accuracy_*.md")}
    assert names == {
        f"accuracy_{name}"
        for name in ("scope", "sets", "contrasts", "status", "slopes", "ladder", "kinds", "positions")
    }
    assert "greedy" in (tmp_path / "accuracy_sets.md").read_text()
    assert len(list(tmp_path.glob("accuracy_*.png"))) == 3


def test_without_a_model_one_sentence(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run.tiny, "weights", lambda tower: tmp_path / "nothing")
    with pytest.raises(ValueError, match="the weights of the labelled tower do not ship"):
        run.run_study("labelled", tmp_path, 1, 1.0, 1)
    monkeypatch.setattr("sys.argv", ["accuracy_study"])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "the weights of the labelled tower do not ship" in capsys.readouterr().err
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match="no records in"):
        report.write_report()

"""Answering a task: nothing depends on the batch, on what ran before, or on a run being stopped.

Weights are random, but the task is the model's own: the expected answers are what it says unpruned. So it scores 100 %
by itself, and whatever is done to its visual tokens shows.
"""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from PIL import Image  # noqa: E402

from lmm_integration.ask import prompt_for  # noqa: E402
from lmm_integration.evaluate.accuracy.answers import read_lines  # noqa: E402
from lmm_integration.evaluate.accuracy.batches import batches  # noqa: E402
from lmm_integration.evaluate.accuracy.bench import Bench, Cell, Setup, cells  # noqa: E402
from lmm_integration.evaluate.accuracy.drawn import RandomDraws  # noqa: E402
from lmm_integration.evaluate.accuracy.run import answer_all  # noqa: E402
from lmm_integration.evaluate.accuracy.sampling import stratified  # noqa: E402
from lmm_integration.evaluate.accuracy.summary import columns_of, summary_rows  # noqa: E402
from lmm_integration.evaluate.accuracy.task import Question  # noqa: E402
from lmm_integration.flops import DecoderShape, kv_bytes, prefill_flops  # noqa: E402
from lmm_integration.model_files import load_model  # noqa: E402
from lmm_integration.pruners import (  # noqa: E402
    DOP,
    CDPruner,
    ClsAttention,
    DivPrune,
    FastV,
    InputResize,
    RandomPruner,
    TrimTokenatorLC,
    UniformGrid,
)

TOKENS, LONG = 36, 4
PRUNERS = {
    "random": RandomDraws(),
    "divprune": DivPrune(),
    "fastv": FastV(layer=1, budget="final"),
    "clsattention": ClsAttention(layer=-1),
    "uniformgrid": UniformGrid(),
    "inputresize": InputResize(),
    "dop": DOP(policy=(2, 1)),
    "trimtokenatorlc": TrimTokenatorLC(),
}


def picture(seed):
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((84, 84), Image.Resampling.NEAREST)


@pytest.fixture(scope="module")
def bench(llava_folder):
    loaded = load_model(str(llava_folder), device="cpu")
    return Bench(loaded.model, loaded.processor, PRUNERS, "toy", "f")


@pytest.fixture(scope="module")
def task(bench):
    """Two questions of different length about each of eight pictures, and two about two pictures at once."""
    pictures = [picture(i) for i in range(8)]
    texts = ("what is it ?", "is it a red cat ? w3 w4 w5 w6")
    asked = [
        Question(f"{i}{kind}", (shown,), text, "?", kind=kind, group=f"scene {i}")
        for i, shown in enumerate(pictures)
        for kind, text in zip("ab", texts, strict=True)
    ]
    asked += [Question(f"two{i}", (pictures[i], pictures[i + 1]), texts[0], "?", kind="two") for i in range(2)]
    said = answer_all(bench, asked, [Cell("none", 1.0)], batch=1, max_new_tokens=LONG)
    return [replace(question, answer=line.answer) for question, line in zip(asked, said, strict=True)]


def answers(bench, task, wanted, **options):
    return [line.answer for line in answer_all(bench, task, wanted, max_new_tokens=LONG, **options)]


def score(bench, task, cell):
    rows = summary_rows(columns_of(answer_all(bench, task, [Cell("none", 1.0), cell], max_new_tokens=LONG)))
    return rows[1]


def test_unpruned_is_the_model_as_anyone_runs_it(bench, task):
    for question in task[:3] + task[-1:]:
        prompt = prompt_for(bench.processor, question.question, len(question.images))
        inputs = bench.processor(images=list(question.images), text=prompt, return_tensors="pt")
        out = bench.model.generate(**inputs, max_new_tokens=LONG, do_sample=False)
        said = bench.processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
        assert said == question.answer
    assert len({question.answer for question in task}) > 10  # the pictures matter


@pytest.mark.parametrize("method", [name for name in PRUNERS if name != "dop"])  # which skips operations all the same
def test_keeping_everything_scores_as_unpruned(bench, task, method):
    row = score(bench, task, Cell(method, 1.0))
    assert row["accuracy"] == 1.0
    assert row["minus_unpruned"]["difference"] == 0.0
    assert row["tokens"]["final"] == row["tokens"]["before"]


@pytest.mark.parametrize("method", ["none", "blind", *PRUNERS])
def test_answers_do_not_depend_on_the_batch(bench, task, method):
    few = [q for q in task if q.kind != "two"] if method == "inputresize" else task
    wanted = [Cell(method, {"none": 1.0, "blind": 0.0}.get(method, 0.5))]
    alone = answers(bench, few, wanted, batch=1)
    assert answers(bench, few, wanted, batch=16) == alone
    assert answers(bench, few[::-1], wanted, batch=5) == alone[::-1]


def test_cells_do_not_disturb_each_other(bench, task):
    wanted = [Cell("clsattention", 0.5), Cell("divprune", 9), Cell("fastv", 0.25), Cell("none", 1.0)]
    together = answers(bench, task, wanted)
    assert together == [said for cell in wanted for said in answers(bench, task, [cell])]


def test_blind_sees_no_picture(bench, task):
    others = [replace(q, images=tuple(picture(99) for _ in q.images)) for q in task]
    assert answers(bench, task, [Cell("blind", 0.0)]) == answers(bench, others, [Cell("blind", 0.0)])


@pytest.mark.parametrize("error", ["shuffled", "lost"])
def test_planted_errors_show(bench, task, planted, error):
    broken = replace(bench, pruners={"planted": getattr(planted, error)})
    row = score(broken, task, Cell("planted", 1.0))
    assert row["accuracy"] < 0.5
    assert row["minus_unpruned"]["high"] < 0  # significantly below the unpruned score


def test_random_draws_belong_to_the_question(bench, task):
    wanted = cells(["random"], [0.25], draws=2)
    lines = answer_all(bench, task, wanted, max_new_tokens=LONG)
    assert [line.answer for line in lines[: len(task)]] != [line.answer for line in lines[len(task) :]]
    assert summary_rows(columns_of(lines))[0]["draws"] == 2
    picks = RandomDraws(0).for_questions(task[:2], 0)
    from lmm_integration.tokens import VisualTokens

    first, second = picks.select(VisualTokens([torch.zeros(36, 2)] * 2), [9, 9])
    assert first.tolist() != second.tolist()
    assert len(set(first.tolist())) == 9


def test_what_an_answer_costs(bench, task):
    one = [task[0]]
    none, pruned, inner, skipping, blind = answer_all(
        bench,
        one,
        [Cell("none", 1.0), Cell("divprune", 0.25), Cell("fastv", 0.25), Cell("dop", 0.25), Cell("blind", 0.0)],
        max_new_tokens=LONG,
    )
    shape = DecoderShape.of(bench.model)
    prompt = prompt_for(bench.processor, one[0].question)
    whole = len(bench.processor(images=one[0].images[0], text=prompt)["input_ids"][0])
    text = whole - TOKENS
    assert [none.flops["decoder"], none.kv_bytes] == [prefill_flops(shape, whole), kv_bytes(shape, whole)]
    assert pruned.flops["decoder"] == prefill_flops(shape, text + 9)
    assert inner.flops["decoder"] == prefill_flops(shape, [whole, text + 9])
    assert inner.kv_bytes == kv_bytes(shape, [whole, text + 9])
    mlps = 6 * 9 * 32 * 64  # of the visual tokens in the second layer
    assert skipping.flops["decoder"] == pruned.flops["decoder"] - mlps
    assert (pruned.input, inner.input, inner.final, blind.tokens) == (9, 36, 9, 0)
    assert pruned.flops["selector"] == 2 * 36 * 36 * 32 + 2 * 9 * 36
    assert none.flops["vision"] == pruned.flops["vision"] == vision_flops(bench.model.config.vision_config) + 36 * 4096
    assert all(seconds >= 0 for line in (none, pruned, inner, blind) for seconds in line.seconds.values())
    assert pruned.seconds["selection"] > 0


def vision_flops(config):
    """CLIP by hand: patches, then per layer four projections, two attention products and two MLP matrices."""
    d, m, n = config.hidden_size, config.intermediate_size, 37
    return 36 * 2 * 3 * 14 * 14 * d + config.num_hidden_layers * (8 * n * d * d + 4 * n * n * d + 4 * n * d * m)


def test_what_a_method_reads_is_counted(bench, task):
    few = [q for q in task if q.kind != "two"][:2]
    attention, resized = answer_all(bench, few[:1], [Cell("clsattention", 0.25), Cell("inputresize", 0.25)])
    assert 0 < attention.flops["reading"] < attention.flops["vision"] / 2
    small = resized.flops["reading"] / resized.flops["vision"]
    assert 9 / 36 * 0.9 < small < 0.4  # a picture of a quarter of the tokens, and a class token


class ByTheWord:
    """A text tower whose work grows with the question, one matrix of 8 x 8 a word."""

    sign = 1

    def __call__(self, patches, text):
        torch.ones(len(text.split()), 8) @ torch.ones(8, 8)
        return patches.float().sum(-1)


def test_what_is_read_is_counted_by_the_picture(bench, task):
    two = next(q for q in task if q.kind == "two")
    few = [replace(two, id="one", images=two.images[:1]), two]
    read = replace(bench, pruners={**PRUNERS, "cdpruner": CDPruner(relevance=ByTheWord())})
    lines = answer_all(read, few, [Cell("clsattention", 0.25), Cell("cdpruner", 0.25)], batch=1)
    attention, words = (
        [line.flops["reading"] for line in lines if line.method == m] for m in ("clsattention", "cdpruner")
    )
    assert attention[1] == 2 * attention[0] > 0
    assert words == [2 * 4 * 8 * 8, 2 * 2 * 4 * 8 * 8]  # four words, asked of each picture


def test_a_count_does_not_hang_on_where_a_run_goes_on(bench, task, tmp_path):
    """The first question of the task is a short one, and what a stopped run asks first is a long one."""
    read = replace(bench, pruners={"cdpruner": CDPruner(relevance=ByTheWord())})
    asked, wanted = [q for q in task if q.kind != "two"][:4], [Cell("cdpruner", 0.25)]
    whole = answer_all(read, asked, wanted, batch=1, out=tmp_path)
    path = tmp_path / "answers.jsonl"
    path.write_text(path.read_text().split("\n", 1)[0] + "\n")
    assert [timeless(line) for line in answer_all(read, asked, wanted, batch=1, out=tmp_path)] == [
        timeless(line) for line in whole
    ]


class StoppedError(Exception):
    pass


def test_a_stopped_run_goes_on_to_the_same_table(bench, task, tmp_path):
    wanted = cells(["none", "random", "divprune"], [0.25], draws=2)
    whole = answer_all(bench, task, wanted, batch=6, max_new_tokens=LONG, out=tmp_path / "whole")
    path = tmp_path / "stopped" / "answers.jsonl"
    seen = []

    def stop(lines, finished, total):
        seen.append((finished, total))
        if len(seen) == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        answer_all(bench, task, wanted, batch=6, max_new_tokens=LONG, out=path.parent, on_lines=stop)
    assert [total for _, total in seen] == [len(task) * 4] * 3
    kept = read_lines(path)
    assert len(kept) == seen[-1][0] < len(whole)
    with path.open("a") as log:
        log.write('{"key": "cut off in the mid')
    again = answer_all(bench, task, wanted, batch=6, max_new_tokens=LONG, out=path.parent)
    assert [timeless(line) for line in again] == [timeless(line) for line in whole]
    assert accuracies(again) == accuracies(whole)
    keys = [line.key for line in read_lines(path)]
    assert len(keys) == len(set(keys)) == len(whole)
    assert [line for line in read_lines(path) if line.key in {k.key for k in kept}] == kept  # nothing was asked twice


def timeless(line):
    return replace(line, seconds={})


def accuracies(lines):
    return [(row["method"], row["keep"], row["accuracy"], row["stderr"]) for row in summary_rows(columns_of(lines))]


class NeverBuilt:
    fingerprint, described = "f", {}

    def build(self):
        raise AssertionError("everything is answered already")


def test_only_what_changed_is_asked_again(bench, task, tmp_path):
    wanted = [Cell("none", 1.0), Cell("divprune", 0.5)]
    first = answer_all(bench, task, wanted, max_new_tokens=LONG, out=tmp_path)
    assert answer_all(NeverBuilt(), task, wanted, max_new_tokens=LONG, out=tmp_path) == first
    new = []
    changed = [replace(task[0], question="is it a cat ?"), replace(task[1], images=(picture(77),)), *task[2:]]
    options = {"max_new_tokens": LONG, "out": tmp_path, "on_lines": lambda lines, *_: new.extend(lines)}
    answer_all(bench, changed, wanted, **options)
    assert {line.question for line in new} == {task[0].id, task[1].id}
    new.clear()
    answer_all(replace(bench, described={"divprune": "another distance"}), task, wanted, **options)
    assert {line.method for line in new} == {"divprune"}
    new.clear()
    answer_all(replace(bench, fingerprint="retrained"), task, wanted[:1], **options)
    assert len(new) == len(task)


def test_relevance_by_the_models_own_words_is_looked_up_nowhere(llava_folder, monkeypatch):
    def asked(name):
        raise AssertionError(f"{name} was looked for on the hub")

    monkeypatch.setattr("transformers.AutoConfig.from_pretrained", asked)
    described = {
        name: Setup("toy", str(llava_folder), ("cdpruner",), name).described["cdpruner"]
        for name in ("llm", str(llava_folder))
    }
    assert described["llm"] != described[str(llava_folder)]


def test_a_file_of_something_else_is_refused(bench, task, tmp_path):
    (tmp_path / "answers.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="line 1 is no answer"):
        answer_all(bench, task, [Cell("none", 1.0)], out=tmp_path)


def test_batches_hold_equally_many_pictures(task):
    found = batches(task, 4)
    assert sorted(q.id for batch in found for q in batch) == sorted(q.id for q in task)
    for batch in found:
        assert len({len(q.images) for q in batch}) == 1
        assert sum(len(q.images) for q in batch) <= 4
    assert len(batches(task, 1)) == len(task)


def test_a_limit_takes_every_kind_with_its_share(task):
    some = stratified(task, 9)
    assert [sum(q.kind == kind for q in some) for kind in ("a", "b", "two")] == [4, 4, 1]
    assert [q.id for q in some] == [q.id for q in task if q in some]  # the old order
    assert {q.id for q in stratified(task[::-1], 9)} == {q.id for q in some}
    assert {q.id for q in stratified(task, 9, seed=1)} != {q.id for q in some}
    assert stratified(task, 100) == task


def test_bad_requests():
    with pytest.raises(ValueError, match="nothing to evaluate"):
        cells([], [0.5])
    with pytest.raises(ValueError, match="retention ratio must be in"):
        cells(["divprune"], [1.5])
    with pytest.raises(ValueError, match="one comparison"):
        cells(["divprune"], [1, 1.0])
    with pytest.raises(ValueError, match="draws must be >= 1"):
        cells(["random"], [0.5], draws=0)
    with pytest.raises(ValueError, match="batch must be"):
        batches([], 0)


def test_a_pruner_without_a_formula_costs_nobody_knows_what(bench, task):
    class Mine:
        def select(self, tokens, k):
            return RandomPruner().select(tokens, k)

    mine = replace(bench, pruners={"mine": Mine()})
    (row,) = summary_rows(columns_of(answer_all(mine, task[:4], [Cell("mine", 0.5)], max_new_tokens=1)))
    assert row["flops"] is None
    assert row["kv_bytes"] > 0

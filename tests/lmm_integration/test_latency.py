"""Timed requests on tiny models: what belongs to which stage, and a sweep that is taken up again."""

import dataclasses
import json

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import DOP, CDPruner, DecoderShape, DivPrune, FastV, RandomPruner, kv_bytes  # noqa: E402
from lmm_integration.latency import study  # noqa: E402
from lmm_integration.latency.clock import Clock  # noqa: E402
from lmm_integration.latency.kernels import check_kernels, switch  # noqa: E402
from lmm_integration.latency.random_weights import random_relevance  # noqa: E402
from lmm_integration.latency.request import PARTS, timed_request  # noqa: E402
from lmm_integration.latency.rows import Row, method_for, rows_for  # noqa: E402
from lmm_integration.latency.study import RUNS, open_folder, read_lines, run_sweep  # noqa: E402
from lmm_integration.latency.token_selection import time_selection  # noqa: E402
from lmm_integration.latency.workload import noise_workload  # noqa: E402

WORDS, NEW, KEEP = 9, 3, 6


@pytest.fixture(scope="module")
def llava(tiny):
    return tiny.model("llava")


@pytest.fixture(scope="module")
def workload(llava):
    return noise_workload(llava, WORDS)


def request(model, workload, pruner, keep=KEEP, rows=2, new=NEW, clock=None):
    return timed_request(model, workload.inputs(rows), pruner, keep, new, clock or Clock("cpu"), workload)


class Ticks(Clock):
    """A clock that stands still but for what the test says."""

    def __init__(self):
        super().__init__("cpu")
        self.now = 0.0

    def mark(self):
        return self.now

    def tick(self, *given):
        self.now += 1.0


class TickingRelevance:
    sign = 1

    def __init__(self, clock):
        self.clock = clock

    def __call__(self, patches, text):
        self.clock.tick()
        return patches.float().sum(-1)


def ticking(pruner, clock):
    """The pruner, whose selection takes one tick."""
    select = pruner.select

    def late(tokens, k):
        clock.tick()
        return select(tokens, k)

    pruner.__dict__["select"] = late
    return pruner


@pytest.mark.parametrize(
    ("pruner", "columns"),
    [
        (None, [25, 25, 25]),
        (RandomPruner(), [15, 15, 15]),
        (DivPrune(), [15, 15, 15]),
        (FastV(budget="final", layer=1), [25, 15, 15]),
    ],
)
def test_parts_add_up_and_tokens_are_counted(llava, workload, pruner, columns):
    timed = request(llava, workload, pruner)
    assert tuple(timed.parts) == PARTS
    assert sum(timed.parts.values()) == pytest.approx(timed.whole)
    assert all(timed.parts[name] > 0 for name in ("vision", "prefill", "decode", "other"))
    assert (timed.parts["selection"] > 0) == (pruner is not None)
    assert timed.parts["relevance"] == 0
    assert timed.columns == columns
    assert timed.kv_bytes == 2 * kv_bytes(DecoderShape.of(llava), columns, 4)
    assert timed.visual == (16, 16 if pruner is None else KEEP)
    assert len(timed.tokens) == NEW
    assert timed.tokens == sorted(timed.tokens)
    assert timed.parts["vision"] + timed.parts["prefill"] < timed.tokens[0] < timed.tokens[-1] <= timed.whole
    assert (timed.peak_bytes, timed.held_bytes) == (None, None)


def test_time_belongs_to_the_stage_that_took_it(llava, workload):
    """Each stage in turn takes ticks of a clock that stands still otherwise."""
    clock = Ticks()
    nothing = dict.fromkeys(PARTS, 0.0)

    def parts(pruner):
        return request(llava, workload, pruner, clock=clock).parts

    assert parts(DivPrune()) == nothing
    assert parts(ticking(DivPrune(), clock)) == nothing | {"selection": 1000}
    assert parts(ticking(FastV(budget="final", layer=1), clock)) == nothing | {
        "selection": 1000
    }  # taken off the prefill
    assert parts(DOP(reducer=ticking(DivPrune(), clock))) == nothing | {"selection": 1000}
    assert parts(CDPruner(relevance=TickingRelevance(clock))) == nothing | {"relevance": 2000}  # one for each picture
    for pruner in (None, DivPrune()):
        hook = llava.base_model.vision_tower.register_forward_pre_hook(clock.tick)
        try:
            assert parts(pruner) == nothing | {"vision": 1000}
        finally:
            hook.remove()
        hook = llava.base_model.language_model.register_forward_pre_hook(clock.tick)
        try:
            timed = request(llava, workload, pruner, clock=clock)
        finally:
            hook.remove()
        assert timed.parts == nothing | {"prefill": 1000, "decode": 1000 * (NEW - 1)}
        assert timed.tokens == [1000, 2000, 3000]


def test_the_end_of_sequence_is_not_allowed_before(llava, workload, monkeypatch):
    monkeypatch.setattr(llava.generation_config, "eos_token_id", list(range(98)))
    inputs = workload.inputs(1)
    assert llava.generate(**inputs, max_new_tokens=5, do_sample=False).shape[1] == inputs["input_ids"].shape[1] + 1
    assert len(request(llava, workload, None, new=5).tokens) == 5


def test_the_model_is_left_as_it_was(llava, workload):
    def hooks():
        return [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in llava.modules()]

    before = hooks()
    request(llava, workload, DivPrune())
    with pytest.raises(ValueError, match="at most the 16"):
        request(llava, workload, DivPrune(), keep=17)
    assert hooks() == before
    assert "generate" not in llava.__dict__


def test_llava_next_with_tiles_and_newlines(tiny):
    model = tiny.model("llava_next")
    workload = noise_workload(model, WORDS)
    timed = request(model, workload, DivPrune(), rows=1)
    assert timed.visual == (16 + 8 * 8 + 8, KEEP)
    assert timed.columns == [WORDS + KEEP] * 3


def test_rows_take_turns_and_a_sweep_goes_on_where_it_stopped(llava, workload, tmp_path):
    rows = [Row("none"), Row("none", "compile"), Row("random", keep=KEEP, pruner=RandomPruner())]
    asked = {"repeats": 2, "warmup": 1, "out": tmp_path}
    seen = []

    def stop(line, finished, total):
        seen.append((line["method"], line.get("round"), finished, total))
        if len(seen) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep(llava, workload, rows, [1, 2], NEW, **asked, on_line=stop)
    assert seen == [("none", None, 2, 12), ("none", 0, 3, 12), ("random", 0, 4, 12), ("none", 1, 5, 12)]

    kept = (tmp_path / RUNS).read_text()
    (tmp_path / RUNS).write_text(kept + '{"method": "ran')  # killed while it wrote
    lines = run_sweep(llava, workload, rows, [1, 2], NEW, **asked)
    assert (tmp_path / RUNS).read_text().startswith(kept)
    assert [(line["batch"], line["method"], line.get("round")) for line in lines] == [
        (batch, method, number)
        for batch in (1, 2)
        for method, number in (("none", None), ("none", 0), ("random", 0), ("none", 1), ("random", 1))
    ]
    assert "accelerators" in lines[0]["skipped"]
    sessions = [line["session"] for line in lines if "round" in line]
    assert [session == sessions[0] for session in sessions] == [True] * 2 + [False] * 6  # one round was whole

    again = []
    assert run_sweep(llava, workload, rows, [1, 2], NEW, **asked, on_line=lambda *line: again.append(line)) == lines
    assert not again
    more = run_sweep(llava, workload, [*rows, Row("divprune", keep=KEEP, pruner=DivPrune())], [1, 2], NEW, **asked)
    assert (
        len({line["session"] for line in more if "round" in line}) == 1
    )  # a new row is compared within its own rounds


def test_a_line_that_is_no_run_is_named(tmp_path):
    (tmp_path / RUNS).write_text(json.dumps({"method": "none", "kernel": "sdpa", "keep": None, "batch": 1}) + "\n[]\n")
    with pytest.raises(ValueError, match=r"runs\.jsonl, line 2 is no timed request"):
        read_lines(tmp_path / RUNS)


def test_a_folder_holds_runs_of_one_setting(tmp_path):
    open_folder(tmp_path, {"model": "tiny", "dtype": "float32"}, {"started": "now"})
    open_folder(tmp_path, {"model": "tiny", "dtype": "float32"}, {"started": "later"})
    assert len(json.loads((tmp_path / "run.json").read_text())["sessions"]) == 2
    with pytest.raises(ValueError, match=r"dtype 'float32' \(now 'float16'\)"):
        open_folder(tmp_path, {"model": "tiny", "dtype": "float16"}, {"started": "now"})


def test_what_cannot_run_here_says_why(llava, workload, monkeypatch):
    rows = [Row("none"), Row("none", "eager"), Row("none", "flash_attention_2")]
    monkeypatch.setattr(study, "free_bytes", lambda device: 1000)
    lines = run_sweep(llava, workload, rows, [1], 1, repeats=1, warmup=1)
    reasons = {line["kernel"]: line.get("skipped") for line in lines}
    assert reasons["sdpa"] is None
    assert "the scores of a layer" in reasons["eager"]
    assert "cuda" in reasons["flash_attention_2"]


def test_out_of_memory_leaves_a_row_out_and_other_errors_stop(llava, workload, monkeypatch):
    def fails(error):
        def call(model, inputs, pruner, *rest, **options):
            if pruner is not None:
                raise error
            return timed_request(model, inputs, pruner, *rest, **options)

        monkeypatch.setattr(study, "timed_request", call)

    rows = [Row("none"), Row("random", keep=KEEP, pruner=RandomPruner())]
    fails(torch.OutOfMemoryError("too much"))
    lines = run_sweep(llava, workload, rows, [1], 1, repeats=1, warmup=1)
    assert [line.get("skipped") for line in lines if line["method"] == "random"] == ["out of memory"]
    fails(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        run_sweep(llava, workload, rows, [1], 1, repeats=1, warmup=1)


def test_kernels_are_switched(tiny):
    model = tiny.fresh("llava")
    assert switch(model, "eager") == {}
    assert model.config._attn_implementation == "eager"
    assert switch(model, "compile") == {"cache_implementation": "static"}
    assert model.config._attn_implementation == "sdpa"
    with pytest.raises(ValueError, match="got 'flash'"):
        check_kernels(["sdpa", "flash"])


def test_the_static_cache_gives_the_same_measurements(llava, workload):
    """The road of the compiled baseline, without the compiler, which transformers does not ask on a CPU."""
    options = {"cache_implementation": "static"}
    timed = timed_request(llava, workload.inputs(1), None, None, NEW, Clock("cpu"), workload, **options)
    assert timed.columns == [WORDS + 16] * 3
    assert len(timed.tokens) == NEW


def test_rows_begin_with_the_baseline(llava):
    rows = rows_for(["random", "none", "divprune"], ["eager"], [4, 0.5], lambda name: name)
    assert [row.key for row in rows[:2]] == [("none", "sdpa", None), ("none", "eager", None)]
    assert [row.key for row in rows[2:]] == [(m, "sdpa", k) for m in ("random", "divprune") for k in (4, 0.5)]
    made = rows_for(["cdpruner"], [], [4, 0.5, 4], lambda name: object())[1:]
    assert len(made) == 2
    assert made[0].pruner is made[1].pruner


def test_relevance_of_random_weights_fits_the_tower(llava, workload):
    method = method_for(llava, "cdpruner", None, random_weights=True)
    assert request(llava, workload, method).parts["relevance"] > 0
    with pytest.raises(ValueError, match="needs relevance"):
        method_for(llava, "cdpruner", None, random_weights=False)
    scores = random_relevance(llava)(torch.randn(1, 16, 24), "what is it?")
    assert scores.shape == (1, 16)
    assert scores.std() > 0


def test_selection_alone_on_both_kinds_of_tokens(llava):
    pytest.importorskip("skimage")
    rows = rows_for(
        ["random", "divprune", "fastv", "iwp"],
        [],
        [KEEP],
        lambda name: method_for(llava, name, None, random_weights=True),
    )
    rows = [dataclasses.replace(row, pruner=FastV(budget="final")) if row.method == "fastv" else row for row in rows]
    found, skipped = time_selection(llava, rows, 16, [1, 2], repeats=2, warmup=1)
    assert {(row["method"], row["tokens"], row["batch"]) for row in found} == {
        (method, kind, batch)
        for method in ("random", "divprune", "fastv")
        for kind in ("photo-like", "i.i.d.")
        for batch in (1, 2)
    }
    assert all(0 < row["p5"] <= row["median"] <= row["p95"] for row in found)
    assert {entry["method"] for entry in skipped} == {"iwp"}
    assert "keys_values" in skipped[0]["skipped"]

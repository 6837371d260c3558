"""Errors, differences, F1 and panels, on answers made up for the purpose."""

import numpy as np
import pytest
from scipy.stats import t

pytest.importorskip("torch")

from lmm_integration.evaluate.accuracy.answers import Line
from lmm_integration.evaluate.accuracy.clustered import clustered_mean, f1_score, paired_difference
from lmm_integration.evaluate.accuracy.panels import panels
from lmm_integration.evaluate.accuracy.summary import columns_of, summary_rows


def line(method, keep, number, *, right, draw=0, answer=None, kind="all", expected="red", cost=None, tokens=None):
    kept = round(256 * keep) if tokens is None else tokens
    return Line(
        key=f"{method} {keep} {draw} {number}",
        model="m",
        method=method,
        keep=keep,
        draw=draw,
        question=str(number),
        kind=kind,
        group=f"scene {number // 4}",
        expected=expected,
        answer=answer or (expected if right else "no idea"),
        correct=right,
        tokens=256,
        input=kept,
        layer_mean=float(kept),
        final=kept,
        flops={"decoder": cost or 1000 * kept + 100, "vision": 7, "reading": 0, "selector": 0},
        kv_bytes=cost or 10 * kept + 1,
        seconds={"vision": 0.1, "selection": 0.01, "prefill": 0.2, "decode": 0.3},
    )


def test_one_question_a_cluster_is_the_textbook():
    x = np.random.default_rng(0).integers(0, 2, 50)
    found = clustered_mean(x, range(50))
    assert found.stderr == pytest.approx(x.std(ddof=1) / 50**0.5)
    assert found.high - found.mean == pytest.approx(t.ppf(0.975, 49) * found.stderr)


def test_copies_bring_no_precision():
    x = np.random.default_rng(0).integers(0, 2, 30)
    assert clustered_mean(np.repeat(x, 4), np.repeat(np.arange(30), 4)).stderr == pytest.approx(
        clustered_mean(x, range(30)).stderr
    )


def test_intervals_cover():
    """Over scenes drawn anew, 95 % intervals hold the true mean about that often, and unclustered ones do not."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 5)
    inside, naive = 0, 0
    for _ in range(400):
        x = rng.random(200) < np.repeat(rng.beta(1, 1, 40), 5)
        found = clustered_mean(x, groups)
        inside += found.low <= 0.5 <= found.high
        alone = clustered_mean(x, range(200))
        naive += alone.low <= 0.5 <= alone.high
    assert 0.92 < inside / 400 < 0.98
    assert naive / 400 < 0.9


def test_one_cluster_has_no_error():
    found = clustered_mean([1, 0], "aa")
    assert (found.mean, found.stderr, found.low) == (0.5, None, None)


def test_pairs_cancel_what_is_common():
    rng = np.random.default_rng(1)
    x = {str(i): float(v) for i, v in enumerate(rng.integers(0, 2, 200))}
    y = {**x, "0": 1 - x["0"], "1": 1 - x["1"]}
    scenes = {name: int(name) // 4 for name in x}
    found = paired_difference(x, y, scenes)
    assert found.mean == pytest.approx((x["0"] - y["0"] + x["1"] - y["1"]) / 200)
    assert found.stderr < clustered_mean(list(x.values()), list(scenes.values())).stderr / 3


def test_f1_by_hand():
    expected = ["yes"] * 4 + ["no"] * 4
    answered = ["yes", "yes", "no", "maybe", "yes", "no", "no", "no"]
    assert f1_score(expected, answered) == pytest.approx(2 * 2 / (2 * 2 + 2 + 1))
    assert f1_score(["no"], ["no"]) == 0.0


@pytest.fixture
def lines():
    rng = np.random.default_rng(2)
    right = {n: rng.random(80) < p for n, p in {"none": 0.9, "blind": 0.2, "good": 0.8, "weak": 0.5}.items()}
    found = [line("none", 1.0, i, right=bool(right["none"][i])) for i in range(80)]
    found += [line("blind", 0.0, i, right=bool(right["blind"][i])) for i in range(80)]
    for keep in (0.25, 0.125):
        found += [line("random", keep, i, right=bool(rng.random() < 0.4), draw=d) for d in range(3) for i in range(80)]
        found += [line("good", keep, i, right=bool(right["good"][i])) for i in range(80)]
        found += [line("weak", keep, i, right=bool(right["weak"][i])) for i in range(80)]
        found += [line("deep", keep, i, right=True, tokens=256, cost=round(60000 * keep**0.5)) for i in range(80)]
    return found


def test_the_summary(lines):
    rows = summary_rows(columns_of(lines))
    named = {(row["method"], row["keep"]): row for row in rows}
    good, full, chance = named["good", 0.25], named["none", 1.0], named["random", 0.25]
    scores = [one.correct for one in lines if (one.method, one.keep) == ("good", 0.25)]
    assert good["accuracy"] == pytest.approx(np.mean(scores))
    assert (good["n"], good["clusters"], chance["draws"], chance["n"]) == (80, 20, 3, 80)
    assert good["of_unpruned"] == pytest.approx(good["accuracy"] / full["accuracy"])
    assert good["minus_unpruned"]["difference"] == pytest.approx(good["accuracy"] - full["accuracy"])
    assert good["minus_random"]["difference"] == pytest.approx(good["accuracy"] - chance["accuracy"])
    assert good["minus_random"]["low"] > 0
    assert full["minus_unpruned"] is None
    assert chance["minus_random"] is None
    assert good["flops"] == 64100
    assert good["f1"] is None


def test_one_token_is_no_chance_for_the_unpruned_model():
    """Its budget is 1.0, all tokens, and equal to 1 as a number."""
    made = [line("none", 1.0, i, right=True) for i in range(8)]
    made += [line(method, 1, i, right=i % 2 == 0, tokens=1) for method in ("random", "good") for i in range(8)]
    unpruned, _, good = summary_rows(columns_of(made))
    assert unpruned["minus_random"] is None
    assert good["minus_random"]["difference"] == 0


def test_yes_no_kinds_have_an_f1():
    answers = [("yes", "yes"), ("yes", "no"), ("no", "No."), ("red", "red")]
    made = [
        line(
            "none",
            1.0,
            i,
            right=e == a.lower().rstrip("."),
            expected=e,
            answer=a,
            kind="colour" if e == "red" else "is",
        )
        for i, (e, a) in enumerate(answers)
    ]
    (row,) = summary_rows(columns_of(made))
    assert row["kinds"]["is"]["f1"] == row["f1"] == pytest.approx(2 / 3)
    assert row["kinds"]["colour"]["f1"] is None


def test_methods_meet_only_where_they_cost_the_same(lines):
    columns = columns_of(lines)
    found = panels(summary_rows(columns), columns)
    tokens = [panel for panel in found if panel["measure"] == "input tokens"]
    assert [panel["level"] for panel in tokens] == [64, 32]
    for panel in tokens:
        assert {m["method"] for m in panel["members"]} == {"random", "good", "weak"}  # deep lets all tokens in
        assert next(m["method"] for m in panel["members"]) == "good"
        behind = panel["members"][-1]
        assert behind["minus_best"]["high"] < 0
    work = {panel["level"]: panel for panel in found if panel["measure"] == "operations"}
    assert set(work) == {64100, 32100}
    deep = [m for m in work[32100]["members"] if m["method"] == "deep"]
    assert not deep  # its budgets cost 21213 and 30000, none within 5 % of the level and none above it
    assert all(m["method"] not in ("none", "blind") for panel in found for m in panel["members"])


def test_between_two_budgets_a_line(lines):
    cheap = [line("other", 0.1, i, right=i % 2 == 0, cost=16050) for i in range(80)]
    dear = [line("other", 0.5, i, right=True, cost=64200) for i in range(80)]
    columns = columns_of([*lines, *cheap, *dear])
    found = panels(summary_rows(columns), columns)
    (panel,) = [p for p in found if p["measure"] == "operations" and p["level"] == 32100]
    (member,) = [m for m in panel["members"] if m["method"] == "other"]
    assert member["keep"] is None
    assert member["accuracy"] == pytest.approx(0.75)  # 32100 is the geometric mean of the two costs
    assert panel["members"][0]["minus_best"] is None


def test_a_cost_that_nobody_knows_enters_no_panel(lines):
    unknown = [
        Line(**{**one.__dict__, "method": "mine", "flops": {**one.flops, "selector": None}, "key": f"mine {one.key}"})
        for one in lines
        if one.method == "good"
    ]
    columns = columns_of([*lines, *unknown])
    found = panels(summary_rows(columns), columns)
    where = {p["measure"] for p in found for m in p["members"] if m["method"] == "mine"}
    assert where == {"input tokens", "cache"}

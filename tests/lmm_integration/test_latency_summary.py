"""Figures, tables and pictures of a sweep, on invented times."""

from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from lmm_integration.evaluate.latency_figure import draw_latency
from lmm_integration.evaluate.latency_table import break_even_table, latency_page, output_table, stage_table
from lmm_integration.latency.break_even import Lengths, break_even_batch, break_even_length
from lmm_integration.latency.published import published
from lmm_integration.latency.request import PARTS
from lmm_integration.latency.summary import break_even_rows, summary_rows


def line(method, keep, batch, number, first, step, tokens=11, selection=0.0, slow=1.0):
    parts = dict.fromkeys(PARTS, 0.0) | {"selection": selection, "prefill": first - selection}
    parts["decode"] = step * (tokens - 1)
    return {
        "method": method,
        "kernel": "sdpa",
        "keep": keep,
        "batch": batch,
        "round": number,
        "machine": {"load": 1.0},
        "parts": {name: slow * value for name, value in parts.items()},
        "tokens": [slow * (first + n * step) for n in range(tokens)],
        "whole": slow * (first + (tokens - 1) * step),
        "columns": [20] * 3,
        "kv_bytes": 2**20,
        "visual": [16, keep or 16],
        "peak_bytes": None,
        "held_bytes": None,
    }


def sweep():
    """At batch 1 the selection costs 3 ms more than the prefill saves and a step pays 0.5 back; at batch 4 all is won.

    The machine is three times as slow in the last round, for everybody.
    """
    return [
        run
        for batch, full, pruned in ((1, (20, 2), (23, 1.5)), (4, (80, 4), (40, 3)))
        for number, slow in enumerate((1.0, 1.0, 3.0))
        for run in (
            line("none", None, batch, number, *full, slow=slow),
            line("divprune", 4, batch, number, *pruned, selection=8, slow=slow),
        )
    ]


@pytest.mark.parametrize(
    ("ahead", "gain", "found"),
    [
        (5, 1, Lengths(1, 128)),
        (0, 0, Lengths(1, 128)),
        (-30, 2, Lengths(16, 128)),  # 15 further tokens earn 30
        (-30, 1.9, Lengths(17, 128)),
        (-127, 1, Lengths(128, 128)),
        (-128, 1, None),
        (-1, 0, None),
        (-1, -1, None),
        (10, -2, Lengths(1, 6)),  # five further tokens eat 10 up
        (1000, -1, Lengths(1, 128)),
    ],
)
def test_the_length_at_which_pruning_pays(ahead, gain, found):
    assert break_even_length(ahead, gain, 128) == found
    pays = [n for n in range(1, 129) if ahead + (n - 1) * gain >= 0]  # the definition, length by length
    assert pays == ([] if found is None else list(range(found.first, found.last + 1)))


def test_the_batch_from_which_on_pruning_pays():
    assert break_even_batch({1: False, 4: True, 8: True}) == 4
    assert break_even_batch({1: True, 4: True}) == 1
    assert break_even_batch({1: True, 4: False, 8: True}) == 8
    assert break_even_batch({1: True, 4: False}) is None
    assert break_even_batch({}) is None


def test_ratios_are_taken_within_rounds():
    rows = {(row["method"], row["batch"]): row for row in summary_rows(sweep(), [1, 11])}
    pruned = rows["divprune", 1]
    assert pruned["rounds"] == 3
    assert pruned["outputs"][1]["ratio"] == pytest.approx(23 / 20)
    assert pruned["outputs"][11]["ratio"] == pytest.approx(38 / 40)
    assert pruned["prefill_ratio"] == pytest.approx(15 / 20)
    assert pruned["outputs"][1]["median"] == 23
    assert pruned["outputs"][1]["p95"] == pytest.approx(23 + 0.9 * 46)
    assert pruned["step"] == 1.5
    assert rows["none", 1]["outputs"][11]["ratio"] == 1


def test_a_row_without_its_baseline_has_no_ratio():
    rows = summary_rows([run for run in sweep() if run["method"] != "none"], [1])
    assert rows[0]["outputs"][1]["ratio"] is None
    assert break_even_rows(rows, 11) == [{"method": "divprune", "keep": 4, "longest": 11, "lengths": {}, "batches": {}}]
    assert break_even_table(break_even_rows(rows, 11))[1] == [("divprune 4",)]


def test_where_pruning_pays_in_a_sweep():
    (found,) = break_even_rows(summary_rows(sweep(), [1, 6, 7, 11]), 11)
    assert found["lengths"] == {1: [7, 11], 4: [1, 11]}
    assert found["batches"] == {1: 4, 6: 4, 7: 1, 11: 1}
    columns, ((name, at_one, at_four, *batches),) = break_even_table([found])
    assert (name, at_one, at_four) == ("divprune 4", "7 to 11", "1 to 11")
    assert batches == ["from 4", "from 4", "from 1", "from 1"]
    assert columns[-1] == "batch for 11 new"


def test_never_is_an_answer():
    runs = [line("none", None, 1, 0, 10, 1), line("divprune", 4, 1, 0, 12, 1)]
    (found,) = break_even_rows(summary_rows(runs, [1]), 11)
    assert found["lengths"] == {1: None}
    assert break_even_table([found])[1] == [("divprune 4", "never within 1 to 11", "never within the sweep")]


def report():
    rows = summary_rows(sweep(), [1, 11])
    return {
        "model": "tiny",
        "device_name": "a processor",
        "dtype": "float32",
        "words": 4,
        "pictures": "noise",
        "random_weights": True,
        "rows": rows,
        "break_even": break_even_rows(rows, 11),
        "published": published(),
        "selection": [
            {"method": "divprune", "keep": 4, "tokens": kind, "n": 16, "batch": 1, "median": 1.0, "p5": 0.5, "p95": 2.0}
            for kind in ("photo-like", "i.i.d.")
        ],
        "skipped": [{"method": "none", "kernel": "compile", "keep": None, "batch": 1, "skipped": "no compiler"}],
        "machine": {"cpu": "a processor", "load": "1 to 2"},
    }


def test_the_page_has_everything():
    page = latency_page(report(), "stages.png")
    assert "(stages.png)" in page
    assert "![" not in latency_page(report(), None)
    for said in ("| divprune 4 | 1 | 16 to 4 |", "7 to 11", "photo-like", "i.i.d.", "CDPruner", "other protocols"):
        assert said in page
    assert "unpruned, compile, batch 1: no compiler" in page
    assert "load: 1 to 2" in page


def test_tables_have_a_cell_for_every_column():
    rows = report()["rows"]
    for columns, cells in (stage_table(rows), output_table(rows)):
        assert all(len(row) == len(columns) for row in cells)
    rows[0] |= {"peak_bytes": 3 * 2**20, "held_bytes": 2**20}
    assert output_table(rows)[1][0][-1] == "3 (2)"


def test_the_picture_has_bars_and_lines():
    figure = draw_latency(report()["rows"], "invented")
    assert len(figure.axes) == 4
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert sum(widths) == pytest.approx(20 + 23)
    assert [list(curve.get_ydata()) for curve in figure.axes[1].lines[:2]] == [[1.0, 1.0], [23 / 20, 38 / 40]]
    with pytest.raises(ValueError, match="no row"):
        draw_latency([], "nothing")


def test_published_reductions_follow_from_their_times():
    bibliography = (Path(__file__).parents[2] / "docs" / "references.bib").read_text()
    entries = published()
    assert {entry["method"] for entry in entries} >= {"CDPruner", "DOP", "DivPrune"}
    for entry in entries:
        assert f"{{{entry['source']}," in bibliography
        if entry["full"] is not None:
            assert 1 - entry["pruned"] / entry["full"] == pytest.approx(entry["reduction"], abs=5e-4)

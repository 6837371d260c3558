"""The rows and pages made of records."""

from __future__ import annotations

import math

from lmm_integration.evaluate.gap_table import COLUMNS, SUMMARY, gap_rows, gap_summary, markdown_table, summary_page
from lmm_integration.evaluate.verdict import amount, with_verdicts
from solvers.environment import environment
from solvers.records import UPPER_BOUNDS, Record
from solvers.shared_bounds import share_bounds


def record(method: str, value: float | None, bound: float = math.inf, **changes) -> Record:
    """A run on one problem."""
    facts = {"instance": "a", "digest": "", "objective": "max-min", "k": 2, "seed": 0, "time_limit": 1.0}
    facts |= {"gap_kind": "relative", "status": "feasible", "seconds": 0.25}
    return Record(**{**facts, "method": method, "value": value, "bound": bound, **changes})


SOLVED = share_bounds([record(UPPER_BOUNDS, None, 3.0), record("greedy", 1.0), record("exact", 2.0, 2.0)])
OPEN = share_bounds([record(UPPER_BOUNDS, None, 3.0, k=4), record("greedy", 2.0, k=4), record("exact", 2.0, 2.5, k=4)])
BARE = share_bounds([record("greedy", 2.0, k=5)])
FAILED = [record("exact", None, k=6, error="ValueError: bad\nluck")]
EVERY = [*SOLVED, *OPEN, *BARE, *FAILED]


def test_verdicts_tell_proved_from_bounded():
    """Optimal at the bound, suboptimal when the optimum is known, open otherwise; records of bounds are no rows."""
    assert [(r.k, r.method, verdict) for r, verdict in with_verdicts(EVERY)] == [
        (2, "greedy", "suboptimal"),
        (2, "exact", "optimal"),
        (4, "greedy", "open"),
        (4, "exact", "open"),
        (5, "greedy", "open"),
        (6, "exact", "failed"),
    ]


def test_rows_show_value_shared_bound_gap_and_time():
    """An exact gap is a number, a bounded one has "≤", an infinite one is unknown, a failed run has dashes."""
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in gap_rows(EVERY)]
    assert [(row["value"], row["bound"], row["gap"], row["seconds"]) for row in rows] == [
        ("1", "2", "100 %", "0.250"),
        ("2", "2", "0 %", "0.250"),
        ("2", "2.5", "≤ 25 %", "0.250"),
        ("2", "2.5", "≤ 25 %", "0.250"),
        ("2", "inf", "unknown", "0.250"),
        ("-", "-", "-", "0.250"),
    ]


def test_the_summary_is_over_instances():
    """Median and worst gap, proved and open runs are counted over all instances of one objective, budget and method."""
    others = [
        *share_bounds([record("greedy", 4.0, instance="b"), record("exact", 5.0, 5.0, instance="b")]),
        *share_bounds([record("greedy", 4.0, 6.0, instance="c")]),
        record("greedy", None, instance="d", error="no"),
    ]
    rows = [dict(zip(SUMMARY, row, strict=True)) for row in gap_summary([*SOLVED, *others])]
    greedy = next(row for row in rows if row["method"] == "greedy")
    assert (greedy["median gap"], greedy["worst gap"]) == ("50 %", "100 %")
    assert (greedy["optimal"], greedy["open"], greedy["runs"]) == ("0", "1", "4")
    exact = next(row for row in rows if row["method"] == "exact")
    assert (exact["optimal"], exact["runs"], exact["worst gap"]) == ("2", "2", "0 %")


def test_log_det_gaps_are_in_nats():
    """A difference of logarithms is no percentage."""
    assert amount(0.25, "absolute") == "0.25 nats"
    assert amount(0.25, "relative") == "25 %"
    assert amount(math.inf, "absolute") == "inf"


def test_a_markdown_table_is_rectangular_and_escaped():
    """Every line has the columns of the header, whatever stands in the cells."""
    text = markdown_table(("method", "k"), [("a|b", "1"), ("c", "2")])
    lines = text.splitlines()
    assert lines[1] == "| :-- | --: |"
    assert lines[2] == "| a\\|b | 1 |"
    assert len(lines) == 4


def test_the_page_holds_tables_pictures_failures_and_machine():
    """summary.md shows every run, embeds the pictures, and names failures (in one line each) and the machine."""
    session = {"started": "2026-01-01T00:00:00+00:00", "time_limit": 1.0, "seed": 0, "jobs": 2, **environment()}
    page = summary_page(EVERY, [session], {"gaps.png": "Gaps"})
    assert markdown_table(COLUMNS, gap_rows(EVERY)) in page
    assert markdown_table(SUMMARY, gap_summary(EVERY)) in page
    assert "![Gaps](gaps.png)" in page
    assert "- a max-min k=6 exact: ValueError: bad luck" in page
    assert session["cpu"] in page
    assert "## Failures" not in summary_page(SOLVED, [session])

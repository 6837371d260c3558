"""Records of a study and their file."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solvers.records import Record, line_of, read_records, to_json, write_records
from solvers.shared_bounds import share_bounds

NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False))


def record(**changes) -> Record:
    """A greedy run on a problem "a", with changes."""
    facts = {"instance": "a", "digest": "0", "objective": "max-min", "k": 3, "method": "greedy", "seed": 0}
    return Record(**{**facts, "time_limit": None, "gap_kind": "relative", "status": "feasible", **changes})


@settings(deadline=None, max_examples=60)
@given(value=NUMBERS, bound=st.floats(allow_nan=False), gap=NUMBERS, limit=st.none() | st.floats(0, 1e9))
def test_a_record_survives_its_line(value, bound, gap, limit):
    """Written and read, a record is the same, infinite numbers with their sign included; the line is strict JSON."""
    before = record(value=value, bound=bound, gap=gap, time_limit=limit, indices=[2, 0, 1], stats={"nodes": 3})
    line = line_of(before)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    data = json.loads(line, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))
    assert Record.from_dict(data) == before


def test_infinite_numbers_are_null():
    """In the file an infinite bound is null, and "infinite" says which infinity it was."""
    data = record(value=-math.inf).to_dict()
    assert data["value"] is None
    assert data["infinite"] == {"value": "-inf", "bound": "inf", "best_bound": "inf"}


def test_stats_of_any_type_become_json():
    """numpy numbers and arrays, infinite entries, tuples and foreign objects all get a JSON form."""
    stats = {"a": np.int64(3), "b": np.array([1.5, np.inf]), "c": (True, None), 4: {"d": math.nan}, "e": 1j}
    plain = to_json(stats)
    assert plain == {"a": 3, "b": [1.5, None], "c": [True, None], "4": {"d": None}, "e": "1j"}
    json.dumps(plain, allow_nan=False)


def test_the_last_record_of_a_key_counts(tmp_path):
    """A run that was repeated stands once, with its last outcome."""
    path = tmp_path / "records.jsonl"
    write_records(path, [record(error="no"), record(k=4), record(value=1.0)])
    assert [(r.k, r.error, r.value) for r in read_records(path)] == [(3, None, 1.0), (4, None, None)]


@pytest.mark.parametrize("bad", ["not json", "[]", "{}", '{"instance": "a"}', '{"surprise": 1}'])
def test_a_broken_line_is_named(tmp_path, bad):
    """A line in the middle that is no record is an error with file and line number, never skipped."""
    path = tmp_path / "records.jsonl"
    path.write_text(line_of(record()) + bad + "\n" + line_of(record(k=4)))
    with pytest.raises(ValueError, match=r"line 2 of .*records\.jsonl is not a record"):
        read_records(path)


def test_an_empty_file_holds_no_records(tmp_path):
    """A study killed before its first record left an empty file, which is fine."""
    (tmp_path / "records.jsonl").touch()
    assert read_records(tmp_path / "records.jsonl") == []


def test_the_least_bound_of_a_problem_is_everybodys():
    """Gaps go to the least bound of the group, never across instances, objectives or budgets."""
    group = [record(value=1.0), record(method="exact", value=1.25, bound=1.5), record(method="other", bound=2.0)]
    stranger = record(k=4, value=1.0)
    greedy, exact, other, alone = share_bounds([*group, stranger])
    assert [r.best_bound for r in (greedy, exact, other, alone)] == [1.5, 1.5, 1.5, math.inf]
    assert (greedy.gap, exact.gap, other.gap, alone.gap) == (0.5, pytest.approx(0.2), None, math.inf)
    assert {r.bound_by for r in (greedy, exact, other)} == {"exact"}
    assert not any(r.proved for r in (greedy, exact, other, alone))


def test_a_value_at_the_shared_bound_is_proved():
    """Greedy counts as proved optimal when another run's bound meets its value up to rounding."""
    greedy, exact = share_bounds([record(value=2.0), record(method="exact", value=2.0 - 1e-12, bound=2.0 - 1e-12)])
    assert greedy.proved
    assert exact.proved
    assert greedy.gap == exact.gap == 0
    assert greedy.best_bound >= greedy.value


def test_a_tiny_relative_gap_is_not_rounded_away():
    """For a relative gap "proved" is relative: values around 1e-8 that differ by a fifth are not equal."""
    (shared,) = share_bounds([record(value=1.0e-8, bound=1.2e-8)])
    assert not shared.proved
    assert shared.gap == pytest.approx(0.2)


def test_infinite_values_share_without_nan():
    """-inf against -inf is proved with gap 0; -inf against a finite bound has an infinite gap; nothing is NaN."""
    singular = record(objective="conditional-dpp", gap_kind="absolute", value=-math.inf, bound=-math.inf)
    (alone,) = share_bounds([singular])
    assert (alone.gap, alone.proved) == (0.0, True)
    (open_,) = share_bounds([record(objective="conditional-dpp", gap_kind="absolute", value=-math.inf, bound=1.0)])
    assert (open_.gap, open_.proved) == (math.inf, False)


def test_failed_records_share_nothing():
    """The bound of a failed run is not used, and a failed run gets none."""
    failed, greedy = share_bounds([record(method="exact", bound=1.1, error="boom"), record(value=1.0)])
    assert greedy.best_bound == math.inf
    assert failed.error == "boom"

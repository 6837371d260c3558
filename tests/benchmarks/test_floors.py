"""The benchmark of exact floors: its cases exist, its targets judge, its page says what was run."""

import pytest

pytest.importorskip("torch", reason="the benchmark's random ViT needs torch")
pytest.importorskip("ortools")

from benchmarks.exact_floors import OWN, measure, page
from benchmarks.floors import FLOORS, Case, Floor, all_within, gap_at_most
from benchmarks.vit_tokens import load_any
from solvers.environment import environment


def record(seconds=0.1, status="optimal", gap=0.0, **more):
    return {
        "seconds": seconds,
        "status": status,
        "gap": gap,
        "k": 10,
        "instance": "photo/x",
        "gap_kind": "relative",
        **more,
    }


def test_targets():
    """Time, gap, both by instance."""
    assert all_within(0.3)([record(), record(0.3)])
    assert not all_within(0.3)([record(), record(0.31)])
    assert not all_within(0.3)([record(status="time_limit", gap=0.0)])
    assert gap_at_most(0.03)([record(status="time_limit", gap=0.03), record(99.0)])
    assert not gap_at_most(0.03)([record(status="time_limit", gap=None)])
    by_name = {floor.name: floor for floor in FLOORS}
    two = by_name["max-min, n = 200, k = 20"].met
    assert two([record(0.1), record(3.0, instance="gaussian")])
    assert not two([record(0.2), record(3.0, instance="gaussian")])
    log_det = by_name["log det, n = 576, k = 64"].met
    assert log_det([record(status="time_limit", gap=64 * 0.044, k=64, instance="photo/astronaut/raw")])
    assert not log_det([record(status="time_limit", gap=64 * 0.046, k=64, instance="photo/astronaut/raw")])


def test_names_are_unique_and_counts_as_announced():
    """75 of GKD-Ia; no case twice in a row."""
    assert len({floor.name for floor in FLOORS}) == len(FLOORS)
    for floor in FLOORS:
        keys = [(case.instance, case.k) for case in floor.cases]
        assert len(set(keys)) == len(keys)
    (gkd,) = (floor for floor in FLOORS if "75" in floor.name)
    assert len(gkd.cases) == 75


@pytest.mark.parametrize("floor", [floor for floor in FLOORS if floor.quick], ids=lambda floor: floor.name)
def test_cases_can_be_posed(floor):
    """The first case of the quick rows generates and fits its budget."""
    pytest.importorskip("skimage", reason="photos need scikit-image")
    case = floor.cases[0]
    assert load_any(case.instance).problem(case.objective, case.k).k == case.k


def test_one_row_from_run_to_page(monkeypatch):
    """A small case and a model beside it become a row with seconds, the target's verdict and the model's time."""
    case = Case("mdplib/gkd/15/0", "max-min", 4, 5.0, (("node_packing", {}, 5.0),))
    floor = Floor("small", "", "1 s", [case], all_within(5.0))
    monkeypatch.setattr("benchmarks.exact_floors.FLOORS", (floor,))
    runs = [measure(floor, case, OWN, {}, 5.0), measure(floor, case, "node_packing", {}, 5.0)]
    assert runs[0]["value"] == runs[1]["value"]
    facts = {"date": "today", "commit": "abc", "load": "nothing else", "environment": environment(), "records": runs}
    text = page(facts)
    assert "| small | 1 s | 1 of 1 |" in text
    assert "| yes |" in text
    assert "| mdplib/gkd/15/0, max-min | 4 |" in text
    assert "| node_packing |" in text

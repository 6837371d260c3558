"""The study: its statistics, its data, and a small run from plan to page."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the study's random ViT needs torch")
pytest.importorskip("skimage", reason="photos need scikit-image")
pytest.importorskip("matplotlib", reason="the study draws figures")

from benchmarks.study import data, design, figures, report
from benchmarks.study.data import Cell, condense, packed, read_cells, unpacked
from benchmarks.study.design import METHODS, name_of, study_plan
from benchmarks.study.geometry import geometry, participation_ratio, spread, two_nn
from benchmarks.study.statistics import Problems, held_out_r2, loss, over_photos
from benchmarks.vit_tokens import load_any, vit_tokens
from mmdp.instances import gaussian, gkd, photo_tokens
from solvers.study import run_plan
from solvers.study_plan import plan_study


def cell(method, value, bound, objective="max-min", instance="photo/coffee/raw", k=4):
    return Cell(
        instance, objective, k, method, value, bound, "feasible", 0.1, packed([0, 1, 2, 3], 8), (value, None, None)
    )


def test_losses_by_hand():
    """Each objective in its unit, against the best bound and the best value of the problem."""
    assert loss("max-min", 4, 0.9, 1.0) == pytest.approx(10.0)
    assert loss("conditional-dpp", 4, -3.0, -1.0) == pytest.approx(0.5)
    assert loss("implicit-weight", 4, -10.0, -9.0) == pytest.approx(10.0)
    assert loss("conditional-dpp", 4, None, -1.0) == math.inf
    assert loss("max-min", 4, 1.0, 1.0) == 0.0
    problems = Problems([cell("greedy", 0.8, None), cell("exact", 0.9, 1.0), cell("random", 0.2, 1.5)])
    (group,) = problems.sound
    assert problems.loss(group, "greedy") == pytest.approx(20.0)
    assert problems.least_loss(group, "greedy") == pytest.approx(100 / 9)
    assert not problems.proved(group)
    assert not Problems([cell("greedy", None, None)]).sound
    with pytest.raises(ValueError, match=r"a bound of 0\.8 was claimed for .*, where a set has the value 0\.9"):
        Problems([cell("greedy", 0.9, None), cell("exact", 0.7, 0.8)])


def test_intervals_are_over_photos():
    """A photo with many runs weighs as much as one with few; a photo's infinite loss is not hidden."""
    pairs = [("a", 0.0)] * 50 + [("b", 1.0)]
    assert over_photos(pairs) == (0.5, 0.0, 1.0, 2, 0)
    assert over_photos([("a", 1.0), ("b", math.inf)]) == (1.0, 1.0, 1.0, 1, 1)
    assert over_photos([("a", 1.0), ("a", math.inf), ("a", 2.0)], np.median).mean == 2.0
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(100):
        sample = [(str(i), x) for i, x in enumerate(rng.normal(size=20))]
        found = over_photos(sample, seed=trial)
        covered += found.low <= 0 <= found.high
    assert covered >= 85


def test_held_out_photos_judge_the_regression():
    """A true line is found again on unseen photos; noise, and a level that only one photo has, are not."""
    rng = np.random.default_rng(1)
    photos = [str(i // 6) for i in range(90)]
    x = rng.normal(size=90)
    assert held_out_r2([x], 2 * x + 0.1 * rng.normal(size=90), photos)[0] > 0.95
    assert held_out_r2([rng.normal(size=90)], rng.normal(size=90), photos)[0] < 0.1
    assert math.isnan(held_out_r2([x], np.ones(90), photos)[0])
    levels = np.repeat(rng.normal(size=15), 6)
    assert held_out_r2([rng.normal(size=90)], levels, photos)[0] < 0.2


def test_geometry_of_known_shapes():
    """Dimension and participation ratio of what has one."""
    rng = np.random.default_rng(0)
    for dimension in (2, 5):
        points = np.zeros((800, 6))
        points[:, :dimension] = rng.uniform(size=(800, dimension))
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        assert two_nn(distances) == pytest.approx(dimension, rel=0.15)
    assert participation_ratio(np.eye(7)) == pytest.approx(7.0)
    assert spread(np.ones((5, 5))) == 0.0
    cone = gaussian(200, 30).features + 5.0
    found = geometry(photo_tokens("coffee", "raw-uncentred"))
    assert found["raw_ratio"] < 1.5 < found["centred_ratio"]
    assert participation_ratio(cone) < 1.2
    assert geometry(gkd(50))["raw_ratio"] is None
    assert two_nn(np.ones((4, 4))) is None


def test_bits_hold_a_set():
    """Packed and unpacked, for sizes that are no multiple of eight."""
    for n in (1, 7, 8, 577):
        kept = np.sort(np.random.default_rng(n).permutation(n)[: n // 2 + 1])
        assert unpacked(packed(kept.tolist(), n), n).tolist() == kept.tolist()


def test_random_vit_tokens():
    """576 unit rows, the same at each call, and a global seed that is left alone."""
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1).item()
    torch.manual_seed(5)
    first = vit_tokens("coffee")
    assert torch.rand(1).item() == expected
    assert load_any("vit/coffee").features.tobytes() == first.features.tobytes()
    assert first.features.shape == (576, 192)
    np.testing.assert_allclose(np.linalg.norm(first.features, axis=1), 1.0)
    with pytest.raises(ValueError, match="photo must be one of"):
        load_any("vit/nobody")
    assert name_of("coffee", "vit") == "vit/coffee"


def test_the_plan_covers_the_grid(monkeypatch):
    """Every photo and kind at every budget, log det only where sets can be regular, and no run twice."""
    monkeypatch.setattr(design, "PHOTOS", ("coffee",))
    monkeypatch.setattr(design, "FAMILIES", ("mdplib/gkd/100/{}",))
    plan = study_plan()
    keys = [run.key for run in plan.runs]
    assert len(set(keys)) == len(keys)
    cells = {(run.name, run.objective, run.k) for run in plan.runs}
    assert ("photo/coffee/pcaw", "max-min", 192) in cells
    assert ("photo/coffee/pcaw", "conditional-dpp", 64) in cells
    assert ("photo/coffee/pcaw", "conditional-dpp", 128) not in cells
    assert {run.method for run in plan.runs} == {*METHODS, "upper_bounds"}


def test_from_runs_to_the_page(tmp_path, monkeypatch):
    """A few small runs are condensed, read again, and become tables and figures; a second time changes nothing."""
    for module, names in (
        (data, ("FOLDER", "RUNS", "INSTANCES")),
        (report, ("FOLDER", "TABLES")),
        (figures, ("FOLDER",)),
    ):
        for name in names:
            suffix = {"RUNS": "runs.jsonl", "INSTANCES": "instances.json"}.get(name, "")
            monkeypatch.setattr(module, name, tmp_path / suffix)
    monkeypatch.setattr(report, "parts_of", lambda name: (name.split("/")[1], name.split("/")[2], 576))
    names = [f"photo/{photo}/raw/40/0" for photo in ("coffee", "china", "flower", "rocket")]
    methods = ["random", "greedy", "local_search", "exact"]
    plan = plan_study(names, ["max-min", "conditional-dpp", "implicit-weight"], [16], methods, time_limit=0.2)
    records = run_plan(plan)
    condense(records)
    cells = read_cells()
    assert len(cells) == len(plan.runs)
    by_key = {cell.key: cell for cell in cells}
    for record in records:
        again = by_key[record.instance, record.objective, record.k, record.method]
        assert again.value == record.value
        if record.method == "upper_bounds":
            assert (again.status, again.bound) == ("bounds", record.bound)
            continue
        assert again.kept(record.n).tolist() == sorted(record.indices)
        own = ("max-min", "conditional-dpp", "implicit-weight").index(record.objective)
        assert again.scores[own] == pytest.approx(record.value, rel=1e-9)
    report.write_report()
    tables = {path.stem: path.read_text() for path in tmp_path.glob("study_*.md")}
    assert set(tables) == {
        f"study_{name}" for name in ("scope", "methods", "regret", "kinds", "sizes", "hardness", "families")
    }
    assert "greedy" in tables["study_methods"]
    assert "nan" not in tables["study_methods"]
    first = (tmp_path / "runs.jsonl").read_text()
    assert len(list(tmp_path.glob("study_*.png"))) == 3
    condense(records)
    assert (tmp_path / "runs.jsonl").read_text() == first
    later = replace(records[0], seconds=9.0, status="later")
    condense([*records, later])
    condense([*records, later])
    (cell,) = (cell for cell in read_cells() if cell.status == "later")
    assert cell.key == (later.instance, later.objective, later.k, later.method)
    assert json.loads((tmp_path / "instances.json").read_text())[names[0]]["n"] == 40

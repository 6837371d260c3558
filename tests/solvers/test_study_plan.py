"""The grid of a study: what is run, what is left out, what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from mmdp.instances import Instance, gaussian
from solvers.catalog import MAX_MIN
from solvers.solver import Solver
from solvers.study import run_study
from solvers.study_plan import digest_of, objectives_of, plan_study

TOKENS = ["gaussian/12x4/0", "gaussian/12x4/1"]


def test_a_duplicate_entry_is_run_once():
    """Naming a method, a budget or an instance twice does not run it twice."""
    plan = plan_study([*TOKENS, TOKENS[0]], ["max-min", "max-min"], [2, 2], ["greedy", "greedy"])
    assert len(plan.runs) == 2 * 1 * 1 * 2


def test_an_objective_without_data_is_left_out_and_said():
    """Distances alone pose max-min only; the other objectives are named in `skipped`, and so are unfit methods."""
    plan = plan_study(["mdplib/gkd/10/0"], ["max-min", "conditional-dpp"], [3], ["greedy", "farthest_first"])
    assert {run.objective for run in plan.runs} == {"max-min"}
    assert plan.skipped == [
        "farthest_first does not take conditional-dpp",
        "mdplib/gkd/10/0 has no data for conditional-dpp",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"instances": []}, "at least one instance"),
        ({"objectives": []}, "at least one objective"),
        ({"budgets": []}, "at least one budget"),
        ({"methods": []}, "at least one method"),
        ({"instances": ["gausian/12x4/0"]}, "gaussian/100x64/0"),
        ({"objectives": ["maxmin"]}, "unknown objective 'maxmin'; did you mean 'max-min'"),
        ({"methods": ["gredy"]}, "unknown method 'gredy'; did you mean 'greedy'"),
        ({"methods": ["farthest_frist:naive"]}, "did you mean 'farthest_first'"),
        ({"methods": ["random:quantum"]}, "backend must be one of gpu, cpu, naive, auto, got 'quantum'"),
        ({"methods": ["random:naive:int8"]}, "dtype must be one of float64, float32, float16, bfloat16, got 'int8'"),
        ({"methods": ["brute_force:gpu"]}, "method 'brute_force' has no backend 'gpu'"),
        ({"methods": ["farthest_first"], "objectives": ["conditional-dpp"]}, "takes none of the objectives"),
        ({"instances": ["mdplib/gkd/10/0"], "objectives": ["conditional-dpp"]}, "has no data for conditional-dpp"),
        ({"budgets": [4, 13]}, "between 0 and n = 12 for instance 'gaussian/12x4/0', got 13"),
        ({"budgets": [-1]}, "got -1"),
        ({"time_limit": -1.0}, "time_limit must be a finite number of seconds >= 0, got -1.0"),
        ({"time_limit": math.inf}, "got inf"),
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(tmp_path, change, message):
    """Whatever is wrong with the grid is said with the value, and no file is written."""
    grid = {"instances": TOKENS[:1], "objectives": ["max-min"], "budgets": [3], "methods": ["greedy"]} | change
    with pytest.raises(ValueError) as caught:
        run_study(**grid, out=tmp_path / "study")
    assert message in str(caught.value)
    assert not (tmp_path / "study").exists()


def test_two_instances_of_one_name_are_refused():
    """Different data under one name would share bounds that do not hold for both."""
    with pytest.raises(ValueError, match="two different instances are called 'x'"):
        plan_study([Instance("x", features=np.eye(3)), Instance("x", features=np.eye(4))], ["max-min"], [2], ["greedy"])


def test_a_missing_extra_names_its_pip_command(monkeypatch):
    """A method none of whose rows can be loaded is refused up front with the pip command."""
    row = Solver("fast", "gpu", "nowhere", MAX_MIN, "needs a package", requires=("no_such_package",), extra="torch")
    monkeypatch.setattr("solvers.study_plan.CATALOG", (row,))
    with pytest.raises(ImportError, match=r"pip install 'mmdp\[torch\]'"):
        objectives_of("fast")


def test_the_digest_tells_data_apart_but_not_rounding():
    """Another number changes the fingerprint; noise in the last bits, as between two machines, does not."""
    data = gaussian(20, 5, 0)
    noisy = replace(data, features=data.features * (1 + 1e-14))
    changed = data.features.copy()
    changed[3, 2] += 0.01
    assert digest_of(noisy) == digest_of(data)
    assert digest_of(replace(data, features=changed)) != digest_of(data)

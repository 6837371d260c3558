"""The study runner: the grid, the records, sharing of bounds, failures, stopping and going on."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace

import joblib
import numpy as np
import pytest

from mmdp import Status, upper_bounds
from mmdp.instances import gaussian
from solvers import study
from solvers.answer import Answer
from solvers.catalog import CATALOG, MAX_MIN
from solvers.records import UPPER_BOUNDS, Record
from solvers.rounding import rounded_instance
from solvers.solve import solve
from solvers.solver import Solver
from solvers.study import run_study

TOKENS = ["gaussian/12x4/0", "gaussian/12x4/1"]
OBJECTIVES = ["max-min", "conditional-dpp", "implicit-weight"]
TIMES = {"seconds"}


def facts(records: list[Record]) -> list[dict[str, object]]:
    """Everything about the records but their times."""
    return [{key: value for key, value in record.to_dict().items() if key not in TIMES} for record in records]


def test_the_grid_is_complete_and_in_order():
    """Every instance, objective, budget and method that fit together is run once, bounds first, in the order given."""
    records = run_study(TOKENS, OBJECTIVES, [2, 3], ["greedy", "farthest_first:naive"])
    expected = [
        (tokens, objective, k, method)
        for tokens in TOKENS
        for objective in OBJECTIVES
        for k in (2, 3)
        for method in (UPPER_BOUNDS, "greedy", *(["farthest_first:naive"] if objective == "max-min" else []))
    ]
    assert [(r.instance, r.objective, r.k, r.method) for r in records] == expected
    assert [r.error for r in records] == [None] * len(expected)


def test_a_record_says_what_ran_and_what_came_out():
    """A record repeats the selection: solver, backend, value by the definition, indices, dtype, seed, gap unit."""
    instance = replace(gaussian(10, 4, 0), features=gaussian(10, 4, 0).features.astype(np.float32))
    record = run_study([instance], ["max-min"], [3], ["random"], seed=7, time_limit=5.0)[1]
    assert (record.solver, record.backend, record.dtype, record.n) == ("random", "naive", "float32", 10)
    assert (record.seed, record.time_limit, record.gap_kind, record.status) == (7, 5.0, "relative", "feasible")
    assert record.value == instance.problem("max-min", 3).value(record.indices)
    assert record.seconds > 0


def test_bounds_are_shared_within_a_problem():
    """The gap of every run is measured against the least bound of the group, the problem's own bounds included."""
    records = run_study(TOKENS[:1], ["max-min"], [3, 4], ["greedy", "brute_force"])
    for k in (3, 4):
        bounds, greedy, brute = (record for record in records if record.k == k)
        assert bounds.stats == upper_bounds(gaussian(12, 4, 0).problem("max-min", k))
        assert brute.proved
        assert brute.gap == 0
        assert greedy.best_bound == brute.value
        assert greedy.gap == pytest.approx((brute.value - greedy.value) / greedy.value)
        assert greedy.proved == (greedy.value == brute.value)
    assert any(record.gap for record in records)


def test_a_number_type_rounds_what_the_solver_sees_and_not_what_judges_it():
    """The optimum of rounded tokens: its value is that of the exact ones, and its proof counts for nothing there."""
    exact = gaussian(12, 4, 0)
    methods = ["brute_force", "brute_force:naive:bfloat16", "brute_force:auto:float64"]
    _, best, low, same = run_study([exact], ["max-min"], [4], methods)
    assert (best.dtype, low.dtype, same.dtype) == ("float64", "bfloat16", "float64")
    problem = exact.problem("max-min", 4)
    assert low.value == problem.value(low.indices)
    rounded = rounded_instance(exact, "bfloat16").problem("max-min", 4)
    assert rounded.value(low.indices) == solve(rounded, "brute_force").objective
    assert (low.bound, low.status, low.best_bound) == (np.inf, "feasible", best.value)
    assert low.gap == pytest.approx((best.value - low.value) / low.value)
    assert same.indices == best.indices


def odd_row(monkeypatch, run):
    """Add a max-min method "odd" whose `run` is the given function to the catalog."""
    row = Solver("odd", "naive", "solvers.random", MAX_MIN, "for this test")
    monkeypatch.setattr(Solver, "load", lambda self, load=Solver.load: run if self.name == "odd" else load(self))
    for module in ("solvers.study_plan", "solvers.solve"):
        monkeypatch.setattr(sys.modules[module], "CATALOG", (row, *CATALOG))


def test_a_failed_run_is_recorded_and_the_rest_goes_on(monkeypatch):
    """An exception becomes a record with its message; the runs after it are made, and its bound is nobody's."""

    def run(problem, request):
        raise ArithmeticError("division by a duck")

    odd_row(monkeypatch, run)
    bounds, odd, greedy = run_study(TOKENS[:1], ["max-min"], [3], ["odd", "greedy"])
    assert odd.error == "ArithmeticError: division by a duck"
    assert odd.value is None
    assert not odd.proved
    assert "duck" in odd.stats["traceback"]
    assert bounds.error is None
    assert greedy.value is not None


def test_a_wrong_bound_is_refuted_by_a_better_set(monkeypatch):
    """A bound below the value of another run proves nothing: that run has failed, and nobody uses its bound."""

    def run(problem, request):
        return Answer([0, 1, 2], bound=problem.value([0, 1, 2]))

    odd_row(monkeypatch, run)
    _, odd, brute = run_study(TOKENS[:1], ["max-min"], [3], ["odd", "brute_force"])
    assert "wrong bound" in odd.error
    assert "brute_force" in odd.error
    assert brute.proved
    assert brute.best_bound == brute.value


def test_a_dying_worker_costs_only_its_own_run(monkeypatch):
    """A run that takes its process along (out of memory, say) is recorded as failed; all others finish."""
    original = study.execute

    def execute(run, original=original):
        if run.k == 3 and run.method == "random":
            os._exit(9)
        return original(run)

    monkeypatch.setattr(study, "execute", execute)
    records = run_study(TOKENS[:1], ["max-min"], [2, 3, 4], ["greedy", "random"], jobs=2)
    dead = [r for r in records if r.error is not None]
    assert [(r.k, r.method) for r in dead] == [(3, "random")]
    assert "worker process died" in dead[0].error
    assert len(records) == 3 * 3


def test_an_interrupted_solver_stops_the_study(monkeypatch):
    """A solver that answers Ctrl-C with its best set ends the study; its run is not recorded, hence repeated."""
    odd_row(monkeypatch, lambda problem, request: Answer([0, 1, 2], status=Status.INTERRUPTED))
    seen = []
    with pytest.raises(KeyboardInterrupt):
        run_study(
            TOKENS[:1], ["max-min"], [3], ["odd", "greedy"], on_record=lambda record, *_: seen.append(record.method)
        )
    assert seen == [UPPER_BOUNDS]


def test_processes_give_the_same_records_as_one_process():
    """Two workers and one process agree on everything but the times, in the same order."""
    grid = (TOKENS, OBJECTIVES, [2, 3], ["greedy", "random"])
    assert facts(run_study(*grid, jobs=2)) == facts(run_study(*grid))


def test_the_user_chooses_the_backend(monkeypatch):
    """`joblib.parallel_config` decides where runs happen when `jobs` is None: here threads of this process."""
    threads = set()

    def run(problem, request):
        threads.add(threading.current_thread())
        return Answer([0, 1, 2])

    odd_row(monkeypatch, run)
    with joblib.parallel_config("threading", n_jobs=2):
        records = run_study(TOKENS, ["max-min"], [3], ["odd"], jobs=None)
    assert not [record.error for record in records if record.error]
    assert threads
    assert threading.main_thread() not in threads


def test_linear_algebra_has_one_thread_in_every_run(monkeypatch):
    """Inside a run every thread pool of BLAS is held to one thread."""
    from threadpoolctl import threadpool_info

    pools = []

    def run(problem, request):
        pools.extend(pool["num_threads"] for pool in threadpool_info())
        return Answer([0, 1, 2])

    odd_row(monkeypatch, run)
    run_study(TOKENS[:1], ["max-min"], [3], ["odd"])
    assert pools
    assert set(pools) == {1}


def test_ctrl_c_is_handled_as_before_after_a_study():
    """The handler of SIGINT is put back when the workers have been started."""
    handler = signal.getsignal(signal.SIGINT)
    run_study(TOKENS[:1], ["max-min"], [2], ["greedy"], jobs=2)
    assert signal.getsignal(signal.SIGINT) is handler


def test_on_record_counts_up_to_the_total():
    """The callback sees each record once, with how many are finished of how many."""
    seen = []
    run_study(TOKENS, ["max-min"], [2], ["greedy"], on_record=lambda record, done, total: seen.append((done, total)))
    assert seen == [(i, 4) for i in range(1, 5)]

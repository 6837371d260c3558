"""What the study runs, in an order in which a part of it is already balanced over the photos."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.vit_tokens import load_any
from mmdp.instances import Instance
from mmdp.instances.pictures import PHOTOS
from solvers.records import UPPER_BOUNDS
from solvers.study_plan import Plan, Run, plan_study

OBJECTIVES = ("max-min", "conditional-dpp", "implicit-weight")
METHODS = ("random", "greedy", "multi_start", "local_search", "exact")
LIMITS = {"multi_start": 1.0, "local_search": 1.0, "exact": 3.0}  # seconds
LOG_DET_LIMIT = 6.0  # of the exact method: its relaxations cost more
LARGE_LOG_DET = 128  # k from which the relaxation of log det may need longer than that
BUDGETS = (64, 16, 128, 32, 192)
KINDS = ("raw", "pcaw", "daisy", "raw-uncentred", "daisy-uncentred", "vit")
SIZES = {144: (16,), 288: (16, 32)}  # n -> k: one k, and one k / n, in step with (576, 16) and (576, 64)
SIZED_KINDS = ("raw", "daisy")
SYNTHETIC = ("gaussian/576x64/{}", "clustered/576x64x48/{}")
FAMILIES = ("mdplib/gkd/100/{}", "mdplib/mdg/100/{}", "mdplib/som/100/{}", "mdplib/gkd/500/{}")
DRAWS = 3


def name_of(photo: str, kind: str) -> str:
    """The instance of a photo in a feature kind."""
    return f"vit/{photo}" if kind == "vit" else f"photo/{photo}/{kind}"


def study_plan(methods: Sequence[str] = METHODS) -> Plan:
    """Every run: the synthetic families, then all photos and kinds budget by budget, the smaller subsets in between.

    Log det is left out where k exceeds the number of features: every set is singular there.
    """
    rng = np.random.default_rng(0)
    made = [run for name in _drawn(SYNTHETIC) for run in _runs(name, (64,), OBJECTIVES, methods)]
    for family in FAMILIES:
        n = int(family.split("/")[2])
        made += [run for name in _drawn([family]) for run in _runs(name, (n // 10,), ("max-min",), methods)]
    by_budget: dict[int, list[Run]] = {k: [] for k in BUDGETS}
    for name in rng.permutation([name_of(photo, kind) for photo in PHOTOS for kind in KINDS]).tolist():
        for run in _runs(name, BUDGETS, OBJECTIVES, methods):
            by_budget[run.k].append(run)
    first, second, *others = by_budget.values()
    made += first + second
    for n, budgets in SIZES.items():
        for name in rng.permutation(
            [f"photo/{photo}/{kind}/{n}/0" for photo in PHOTOS for kind in SIZED_KINDS]
        ).tolist():
            made += _runs(name, budgets, OBJECTIVES, methods)
    return Plan(made + [run for runs in others for run in runs])


def _drawn(families: Iterable[str]) -> list[str]:
    return [family.format(seed) for family in families for seed in range(DRAWS)]


def _runs(name: str, budgets: Sequence[int], objectives: Sequence[str], methods: Sequence[str]) -> list[Run]:
    """The runs on one instance, with their time limits."""
    instance = load_any(name)
    fitting = [each for each in objectives if each in instance.objectives]
    return [
        replace(run, time_limit=limit_of(run.method, run.objective))
        for run in plan_study([_named(name, instance)], fitting, budgets, methods).runs
        if not _singular(run, instance) and (run.method != UPPER_BOUNDS or _bound_late(run))
    ]


def limit_of(method: str, objective: str) -> float | None:
    """Seconds that a run may take."""
    return LOG_DET_LIMIT if (method, objective) == ("exact", "conditional-dpp") else LIMITS.get(method)


def _bound_late(run: Run) -> bool:
    """Whether the exact method may be stopped before its relaxation has converged, so that the bound is run apart."""
    return run.objective == "conditional-dpp" and run.k >= LARGE_LOG_DET


def _named(name: str, instance: Instance) -> str | Instance:
    """Names that every worker can load travel as names."""
    return instance if name.startswith("vit/") else name


def _singular(run: Run, instance: Instance) -> bool:
    features = instance.features
    return run.objective == "conditional-dpp" and features is not None and run.k > features.shape[1]

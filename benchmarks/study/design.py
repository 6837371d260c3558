"""What the study runs, in an order in which a part of it is already balanced over the photos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    runs: dict[object, Run] = {}
    for names, budgets, objectives in _stages():
        for name in rng.permutation(sorted(names)).tolist():
            instance = load_any(name)
            fitting = [each for each in objectives if each in instance.objectives]
            for run in plan_study([_named(name, instance)], fitting, budgets, methods).runs:
                if run.method != UPPER_BOUNDS and not _singular(run, instance):
                    run = replace(run, time_limit=limit_of(run.method, run.objective))
                    runs.setdefault(run.key, run)
    return Plan(list(runs.values()))


def limit_of(method: str, objective: str) -> float | None:
    """Seconds that a run may take."""
    return LOG_DET_LIMIT if (method, objective) == ("exact", "conditional-dpp") else LIMITS.get(method)


def _stages() -> Iterator[tuple[Iterable[str], tuple[int, ...], tuple[str, ...]]]:
    yield [name.format(seed) for name in SYNTHETIC for seed in range(DRAWS)], (64,), OBJECTIVES
    for family in FAMILIES:
        n = int(family.split("/")[2])
        yield [family.format(seed) for seed in range(DRAWS)], (n // 10,), ("max-min",)
    photos = [name_of(photo, kind) for photo in PHOTOS for kind in KINDS]
    first, second, *others = BUDGETS
    yield photos, (first,), OBJECTIVES
    yield photos, (second,), OBJECTIVES
    for n, budgets in SIZES.items():
        yield [f"photo/{photo}/{kind}/{n}/0" for photo in PHOTOS for kind in SIZED_KINDS], budgets, OBJECTIVES
    for k in others:
        yield photos, (k,), OBJECTIVES


def _named(name: str, instance: Instance) -> str | Instance:
    """Names that every worker can load travel as names."""
    return instance if name.startswith("vit/") else name


def _singular(run: Run, instance: Instance) -> bool:
    features = instance.features
    return run.objective == "conditional-dpp" and features is not None and run.k > features.shape[1]

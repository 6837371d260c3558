"""The grid of a study, checked before anything runs."""

from __future__ import annotations

import difflib
import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product

import numpy as np

from mmdp import OBJECTIVES
from mmdp.instances import Instance
from mmdp.instances.names import load
from solvers.catalog import CATALOG
from solvers.records import UPPER_BOUNDS, Key
from solvers.rounding import DTYPES
from solvers.solve import ALIASES, BACKENDS


@dataclass(frozen=True)
class Run:
    """One cell of the grid. `instance` is a name that the worker loads itself, or the data."""

    instance: str | Instance
    digest: str
    objective: str
    k: int
    method: str
    seed: int
    time_limit: float | None

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.instance if isinstance(self.instance, str) else self.instance.name

    @property
    def key(self) -> Key:
        """The same as that of its `Record`."""
        return (self.name, self.digest, self.objective, self.k, self.method, self.seed, self.time_limit)

    def load(self) -> Instance:
        """The data."""
        return load_once(self.instance, self.digest) if isinstance(self.instance, str) else self.instance


@dataclass(frozen=True)
class Plan:
    """What will be run, in order, and which cells were left out and why."""

    runs: list[Run]
    skipped: list[str] = field(default_factory=list)


@lru_cache(maxsize=16)
def load_once(name: str, digest: str) -> Instance:
    """An instance by name or path, kept for the next run on it; `digest` keeps two versions of a file apart."""
    return load(name)


def plan_study(
    instances: Sequence[str | Instance],
    objectives: Sequence[str],
    budgets: Sequence[int],
    methods: Sequence[str],
    *,
    time_limit: float | None = None,
    seed: int = 0,
) -> Plan:
    """Every instance x objective x budget x method, in this order, and one run of `mmdp.upper_bounds` per problem.

    A method is left out for an objective that it does not take, an objective for an instance that lacks its data; both
    are said in `skipped`. Parameters as in `run_study`.

    Raises
    ------
    ValueError : an empty list, an unknown instance, objective, method or backend, a budget outside 0 .. n, a method or
        an instance that fits none of the objectives, two instances of one name, a time limit below 0.
    ImportError : a method whose optional dependency is missing, with its pip command.
    """
    for what, given in (("instance", instances), ("objective", objectives), ("budget", budgets), ("method", methods)):
        if not given:
            raise ValueError(f"a study needs at least one {what}, got none")
    if time_limit is not None and not 0 <= time_limit < math.inf:
        raise ValueError(f"time_limit must be a finite number of seconds >= 0, got {time_limit}")
    objectives, methods = list(dict.fromkeys(objectives)), list(dict.fromkeys(methods))
    for objective in objectives:
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}{_hint(objective, OBJECTIVES)}")
    takes = {method: objectives_of(method) for method in methods}
    for method, able in takes.items():
        if able.isdisjoint(objectives):
            raise ValueError(f"method {method!r} takes none of the objectives {', '.join(objectives)}")
    skipped = [
        f"{method} does not take {name}" for method in methods for name in objectives if name not in takes[method]
    ]

    runs: dict[Key, Run] = {}
    digests: dict[str, str] = {}
    for instance in instances:
        name, data = (instance, load(instance)) if isinstance(instance, str) else (instance.name, instance)
        mark = digest_of(data)
        if digests.setdefault(name, mark) != mark:
            raise ValueError(f"two different instances are called {name!r}")
        _check_instance(name, data, objectives, budgets)
        skipped += [f"{name} has no data for {lacking}" for lacking in objectives if lacking not in data.objectives]
        for objective in (each for each in objectives if each in data.objectives):
            able_methods = [method for method in methods if objective in takes[method]]
            for k, method in product(budgets, [UPPER_BOUNDS, *able_methods] if able_methods else []):
                run = Run(instance, mark, objective, k, method, seed, time_limit)
                runs.setdefault(run.key, run)
    if not runs:
        raise ValueError(f"nothing is left to run: {'; '.join(dict.fromkeys(skipped))}")
    return Plan(list(runs.values()), list(dict.fromkeys(skipped)))


def _check_instance(name: str, data: Instance, objectives: Sequence[str], budgets: Sequence[int]) -> None:
    for k in budgets:
        if not 0 <= k <= data.n:
            raise ValueError(f"k must be between 0 and n = {data.n} for instance {name!r}, got {k}")
    if not set(objectives) & set(data.objectives):
        has = ", ".join(data.objectives)
        raise ValueError(f"instance {name!r} has no data for {', '.join(objectives)}; it has {has}")


def split_method(method: str) -> tuple[str, str | None, str | None]:
    """Name, backend and number type of "name", "name:backend" or "name:backend:dtype"; None where not given.

    >>> split_method("greedy"), split_method("mmr:cpu:float16")
    (('greedy', None, None), ('mmr', 'cpu', 'float16'))
    """
    name, *given = method.split(":", 2)
    backend, dtype = (*given, None, None)[:2]
    return name, backend, dtype


def objectives_of(method: str) -> frozenset[str]:
    """The objectives that a method takes, written as in `split_method`; ValueError with the nearest name for none."""
    name, backend, dtype = split_method(method)
    if backend is not None and backend not in (*BACKENDS, "auto"):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, auto, got {backend!r} in {method!r}")
    if dtype is not None and dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {dtype!r} in {method!r}")
    if name in ALIASES:
        return frozenset(OBJECTIVES)
    rows = [row for row in CATALOG if row.name == name]
    if not rows:
        raise ValueError(f"unknown method {name!r}{_hint(name, [*ALIASES, *(row.name for row in CATALOG)])}")
    if backend not in (None, "auto"):
        rows = [row for row in rows if row.backend == backend]
    if not rows:
        raise ValueError(f"method {name!r} has no backend {backend!r}")
    if all(row.missing for row in rows):
        rows[0].load()  # raises, with the pip command
    return frozenset().union(*(row.solves for row in rows))


def digest_of(instance: Instance) -> str:
    """A fingerprint of everything an objective reads, so that a resumed study does not mix two versions of a file.

    Five digits of each number count: the last bits of a decomposition differ between machines.
    """
    mark = hashlib.blake2b(digest_size=8)
    for part in (instance.features, instance.distances, instance.relevance, instance.keys, instance.values):
        array = np.zeros(0) if part is None else np.asarray(part, dtype=np.float64)
        scale = float(np.abs(array).max(initial=0.0)) or 1.0
        mark.update(f"{array.shape} {scale:.5g}".encode())
        mark.update(np.rint(array * (1e5 / scale)).astype(np.int64).tobytes())
    return mark.hexdigest()


def _hint(name: str, names: Iterable[str]) -> str:
    known = sorted(set(names))
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}"

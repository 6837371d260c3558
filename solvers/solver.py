"""What a row of the catalog says about a solver."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from mmdp import Constraints
from solvers.answer import Answer

Backend = Literal["naive", "cpu", "gpu"]


@dataclass(frozen=True)
class Solver:
    """One row.

    Attributes
    ----------
    name, backend : together the solver's name, "farthest_first:naive".
    module : where its `run` lives.
    solves : names of the objectives it takes.
    summary : one line for the tables.
    exact : it proves its answer optimal, given time.
    ordered : its indices come in order of selection, so that a prefix answers every smaller k.
    constrained : it honours `Constraints`,
    pairs : and the forbidden pairs among them.
    generic : it asks a problem for nothing but values, so that it also takes an objective of your own.
    compiled : its kernels are compiled on first use (numba); `python -m solvers.warm` does that beforehand.
    requires : import names of packages beyond the core dependencies.
    extra : the optional dependency that brings them.
    """

    name: str
    backend: Backend
    module: str
    solves: frozenset[str]
    summary: str
    exact: bool = False
    ordered: bool = False
    constrained: bool = False
    pairs: bool = True
    generic: bool = False
    compiled: bool = False
    requires: tuple[str, ...] = ()
    extra: str = ""

    @property
    def full_name(self) -> str:
        """ "name:backend"."""
        return f"{self.name}:{self.backend}"

    def takes(self, objective: str) -> bool:
        """Whether it solves the objective of that name."""
        return self.generic or objective in self.solves

    def honours(self, constraints: Constraints) -> bool:
        """Whether its answers satisfy these constraints."""
        return not constraints or (self.constrained and (self.pairs or not constraints.forbidden_pairs))

    @property
    def missing(self) -> str | None:
        """The first required package that is not installed."""
        return next((package for package in self.requires if find_spec(package) is None), None)

    def load(self) -> Callable[..., Answer]:
        """The solver's `run`; ImportError with the pip command when a package is missing."""
        if self.missing:
            raise ImportError(f"{self.full_name} needs {self.missing}: pip install 'mmdp[{self.extra}]'")
        run: Callable[..., Answer] = importlib.import_module(self.module).run
        return run

"""Every solver there is, one row each: the newcomer's map.

A row's `module` holds `run(problem, request, **options) -> Answer`. Modules are named, not imported, so that
`import solvers` stays cheap.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

from mmdp import Constraints
from solvers.answer import Answer

Backend = Literal["naive", "cpu", "gpu"]
ANY = frozenset({"max-min", "conditional-dpp", "implicit-weight"})
MAX_MIN, DPP, RANK1, MAX_SUM = (
    frozenset({name}) for name in ("max-min", "conditional-dpp", "implicit-weight", "max-sum")
)


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


CATALOG: tuple[Solver, ...] = (
    Solver(
        "farthest_first",
        "naive",
        "solvers.farthest_first.naive",
        MAX_MIN,
        "farthest-first traversal (DivPrune)",
        ordered=True,
    ),
    Solver(
        "greedy_map",
        "naive",
        "solvers.greedy_map.naive",
        DPP,
        "greedy MAP by incremental Cholesky (CDPruner)",
        ordered=True,
    ),
    Solver(
        "rank1", "naive", "solvers.rank1.naive", RANK1, "greedy on the true gain of the rank-1 energy", ordered=True
    ),
    Solver(
        "mmr",
        "naive",
        "solvers.rank1.mmr_naive",
        RANK1,
        "maximal marginal relevance on magnitude and duplication",
        ordered=True,
    ),
    Solver("pc_mmr", "naive", "solvers.rank1.pc_mmr_naive", RANK1, "progressive chunked MMR (IWP)", ordered=True),
    Solver(
        "farthest_first",
        "cpu",
        "solvers.farthest_first.cpu",
        MAX_MIN,
        "farthest-first traversal, lazy and compiled",
        ordered=True,
        compiled=True,
    ),
    Solver(
        "greedy_map",
        "cpu",
        "solvers.greedy_map.cpu",
        DPP,
        "greedy MAP by incremental Cholesky, lazy and compiled",
        ordered=True,
        compiled=True,
    ),
    Solver(
        "rank1",
        "cpu",
        "solvers.rank1.cpu",
        RANK1,
        "greedy on the true gain of the rank-1 energy, compiled",
        ordered=True,
        compiled=True,
    ),
    Solver(
        "mmr",
        "cpu",
        "solvers.rank1.mmr_cpu",
        RANK1,
        "maximal marginal relevance, lazy and compiled",
        ordered=True,
        compiled=True,
    ),
    Solver(
        "pc_mmr",
        "cpu",
        "solvers.rank1.pc_mmr_cpu",
        RANK1,
        "progressive chunked MMR, lazy and compiled",
        ordered=True,
        compiled=True,
    ),
    Solver(
        "farthest_first",
        "gpu",
        "solvers.farthest_first.gpu",
        MAX_MIN,
        "farthest-first traversal, batched (torch, Triton)",
        ordered=True,
        requires=("torch",),
        extra="torch",
    ),
    Solver(
        "greedy_map",
        "gpu",
        "solvers.greedy_map.gpu",
        DPP,
        "greedy MAP by incremental Cholesky, batched (torch, Triton)",
        ordered=True,
        requires=("torch",),
        extra="torch",
    ),
    Solver(
        "rank1",
        "gpu",
        "solvers.rank1.gpu",
        RANK1,
        "greedy on the true gain of the rank-1 energy, batched (torch, Triton)",
        ordered=True,
        requires=("torch",),
        extra="torch",
    ),
    Solver(
        "mmr",
        "gpu",
        "solvers.rank1.mmr_gpu",
        RANK1,
        "maximal marginal relevance, batched (torch, Triton)",
        ordered=True,
        requires=("torch",),
        extra="torch",
    ),
    Solver(
        "pc_mmr",
        "gpu",
        "solvers.rank1.pc_mmr_gpu",
        RANK1,
        "progressive chunked MMR, batched (torch)",
        ordered=True,
        requires=("torch",),
        extra="torch",
    ),
    Solver(
        "max_sum",
        "naive",
        "solvers.max_sum.naive",
        MAX_SUM,
        "greedy on the sum of distances (RepMax, TrimTokenator)",
        ordered=True,
    ),
    Solver(
        "local_search", "naive", "solvers.local_search.naive", ANY | MAX_SUM, "greedy, then best 1-swaps, with restarts"
    ),
    Solver("multi_start", "naive", "solvers.multi_start", ANY, "the greedy from many first tokens, the best of them"),
    Solver("random", "naive", "solvers.random", ANY, "uniformly random set", ordered=True, generic=True),
    Solver(
        "brute_force",
        "naive",
        "solvers.brute_force",
        ANY,
        "every subset",
        exact=True,
        constrained=True,
        generic=True,
    ),
    Solver(
        "branch_and_bound",
        "cpu",
        "solvers.exact.max_min.branch_and_bound",
        MAX_MIN,
        "bitset clique search over the distances, then the theta' bound",
        exact=True,
        compiled=True,
    ),
    Solver(
        "branch_and_bound",
        "cpu",
        "solvers.exact.log_det.branch_and_bound",
        DPP,
        "best-first search on the factorisation bound",
        exact=True,
        compiled=True,
    ),
    Solver(
        "branch_and_bound",
        "cpu",
        "solvers.exact.rank1.branch_and_bound",
        RANK1 | MAX_SUM,
        "best-first search on a convex QP after a diagonal shift; quotas, must-keep tokens",
        exact=True,
        constrained=True,
        pairs=False,
        compiled=True,
    ),
    Solver(
        "node_packing",
        "cpu",
        "solvers.exact.node_packing",
        MAX_MIN,
        "node packing + bisection over the distances (CP-SAT)",
        exact=True,
        constrained=True,
    ),
    Solver(
        "kuby",
        "cpu",
        "solvers.exact.kuby",
        MAX_MIN,
        "Kuby's big-M MILP (teaching baseline)",
        exact=True,
        constrained=True,
    ),
    Solver(
        "sayah_irnich",
        "cpu",
        "solvers.exact.sayah_irnich",
        MAX_MIN,
        "compact MILP over the sorted distances (teaching baseline)",
        exact=True,
        constrained=True,
    ),
    Solver(
        "outer_approximation",
        "cpu",
        "solvers.exact.outer_approximation",
        DPP,
        "cuts from a concave bound, conditioned on few tokens, in a master for CP-SAT",
        exact=True,
        constrained=True,
    ),
    Solver(
        "linearised",
        "cpu",
        "solvers.exact.linearised",
        RANK1 | MAX_SUM,
        "linearised binary QP after fixing by the convex-QP bound (CP-SAT)",
        exact=True,
        constrained=True,
    ),
    Solver(
        "miqp",
        "cpu",
        "solvers.exact.miqp",
        RANK1 | MAX_SUM,
        "the convex binary QP itself (SCIP through MathOpt)",
        exact=True,
        constrained=True,
    ),
    Solver(
        "auto",
        "cpu",
        "solvers.auto",
        ANY | MAX_SUM,
        "proves what the time allows, else greedy + local search with the best bound",
        exact=True,
        constrained=True,
    ),
)

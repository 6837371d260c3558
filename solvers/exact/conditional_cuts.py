"""The state of a proof about log det L_S: which tokens every better set holds, and which token groups none does."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from ortools.sat.python import cp_model

from mmdp import ConditionalDPP
from mmdp.bounds import ddfact_bound, hadamard_bound, spectral_bound
from mmdp.bounds.factor_rows import has_volume
from mmdp.checks import Bool, Float, Int
from mmdp.duplicates import first_copies
from solvers.answer import Request
from solvers.exact.conditional_bound import Conditional, ConditionalBounds
from solvers.exact.constraint_rows import add_to_cp_sat
from solvers.exact.cp_sat import decide
from solvers.exact.reduced_costs import UNITS, cost_row, forced

TOLERANCE = 1e-9  # nats: sets closer than this count as equally good
STEPS, MOST_STEPS = 25, 200  # gradient steps of the root: between two looks at the clock, and in all


@dataclass
class Proof:
    """Each step returns whether no set is better than `best`.

    Attributes
    ----------
    best, lower : the best set known and its value.
    bound : upper bound on all sets.
    alive, needed : masks of the tokens that a better set may hold, and must hold.
    cuts : groups of tokens that no better set holds entirely (beside the needed ones).
    """

    problem: ConditionalDPP
    best: Int
    workers: int
    bound: float = math.inf
    cuts: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        everything = np.arange(self.problem.n)
        self.lower = self.problem.value(self.best)
        self.bounds = ConditionalBounds(self.problem)
        self.alive: Bool = self.bounds.lengths > 0
        if not self.problem.constraints:  # two copies make a set singular, so one is as good as the other
            self.alive &= first_copies(self.problem.kernel) == everything
        self.needed: Bool = np.isin(everything, self.problem.constraints.keep)
        self.single: Float = np.full(self.problem.n, math.inf)  # bounds on the sets that hold one token
        self.x: Float = np.full(self.problem.n, self.problem.k / self.problem.n)
        self.root_row: tuple[Int, Bool] | None = None

    @property
    def target(self) -> float:
        """Only sets above this are better."""
        return self.lower + TOLERANCE

    def stats(self) -> dict[str, float]:
        return {
            "free": int((self.alive & ~self.needed).sum()),
            "bounds": self.bounds.calls,
            "cuts": len(self.cuts),
            "tolerance": TOLERANCE,
        }

    def at_root(self, request: Request) -> bool:
        """Bound all sets; fix tokens by reduced costs, and note their row."""
        rows, k = self.bounds.rows, self.problem.k
        if not has_volume(rows, k):
            self.bound = -math.inf
            return True
        self.bound = hadamard_bound(self.problem.kernel, k)
        if (self.problem.n / 576) ** 3 < request.left:  # seconds, and it cannot be stopped half-way
            self.bound = min(self.bound, spectral_bound(self.problem.kernel, k))
        best = math.inf
        for _ in range(0, MOST_STEPS, STEPS):
            if request.left <= 0:
                raise TimeoutError
            relaxed = ddfact_bound(rows, k, x0=self.x, iterations=STEPS)
            self.x, before = relaxed.x, best
            if relaxed.value < best:
                best, gradient = relaxed.value, relaxed.gradient
            if best <= self.target or before - best < 1e-4:
                break
        self.bound = min(self.bound, best)
        if self.bound > self.target and math.isfinite(self.target):
            ones, zeros = forced(gradient, k, best - self.target)
            self.needed |= ones
            self.alive &= ~zeros
            self.root_row = cost_row(gradient, k, best - self.target)
        return self.bound <= self.target or self._impossible()

    def by_single_tokens(self, request: Request) -> bool:
        """Drop tokens that no better set holds, find those that all hold, until nothing changes."""
        changed = True
        while changed and not self._impossible():
            changed = False
            for i in np.flatnonzero(self.alive & ~self.needed):
                self.single[i] = min(self.single[i], self._bound([int(i)], request).value)
                if self.single[i] <= self.target:
                    self.alive[i], changed = False, True
            for i in np.flatnonzero(self.alive & ~self.needed):
                self.alive[i] = False
                if self._bound([], request).value <= self.target:
                    self.needed[i] = changed = True
                self.alive[i] = True
            members = np.sort(self.single[self.alive])
            if len(members) >= self.problem.k:
                self.bound = min(self.bound, max(self.lower, float(members[-self.problem.k])))
        return self._impossible()

    def by_cuts(self, request: Request) -> bool:
        """Ask the master for a set that no cut excludes, and cut it off, until there is none."""
        model, x = self._master()
        while True:
            solver = decide(model, self.workers, request)
            if solver is None:
                return True
            subset = np.array([i for i, kept in enumerate(x) if solver.value(kept)], dtype=np.int64)
            value = self.problem.value(subset)
            if value > self.lower:
                self.best, self.lower = subset, value
            cut = self._cut(subset, request)
            self.cuts.append(cut)
            model.add_bool_or(~x[i] for i in cut)

    def _master(self) -> tuple[cp_model.CpModel, list[cp_model.IntVar]]:
        model = cp_model.CpModel()
        x = [model.new_bool_var("") for _ in range(self.problem.n)]
        add_to_cp_sat(model, x, self.problem.k, self.problem.constraints)
        for i in np.flatnonzero(~self.alive):
            model.add(x[i] == 0)
        for i in np.flatnonzero(self.needed):
            model.add(x[i] == 1)
        if self.root_row is not None:
            terms = zip(x, *(part.tolist() for part in self.root_row), strict=True)
            model.add(sum([cost * (1 - kept if top else kept) for kept, cost, top in terms]) <= UNITS)
        return model, x

    def _cut(self, subset: Int, request: Request) -> list[int]:
        """Few tokens of a set that is not better than the best one, such that no set holding them is."""
        outside = [int(i) for i in subset if not self.needed[i]]
        cut: list[int] = []
        while outside:
            relaxed = self._bound(cut, request)
            if relaxed.value <= self.target:
                break
            gradient = dict(zip(relaxed.tokens.tolist(), relaxed.gradient.tolist(), strict=True))
            weakest = min(outside, key=lambda i: gradient.get(i, 0.0))
            outside.remove(weakest)
            cut.append(weakest)
        for i in cut[:-1]:
            shorter = [j for j in cut if j != i]
            if self._bound(shorter, request).value <= self.target:
                cut = shorter
        return cut

    def _bound(self, inside: list[int], request: Request) -> Conditional:
        if request.left <= 0:
            raise TimeoutError
        given = np.concatenate([np.flatnonzero(self.needed), np.array(inside, dtype=np.int64)])
        return self.bounds.bound(given, self.alive, self.target, self.x)

    def _impossible(self) -> bool:
        """Whether the tokens fixed so far leave no set."""
        few = int(self.alive.sum()) < self.problem.k or int(self.needed.sum()) > self.problem.k
        return few or bool((self.needed & ~self.alive).any())

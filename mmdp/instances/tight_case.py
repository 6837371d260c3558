"""What a worst-case instance carries: the data, its optimum, and what the greedy method makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from mmdp.instances.instance import Instance
from mmdp.problem import Problem


@dataclass(frozen=True, eq=False)
class TightCase:
    """An instance on which a greedy method meets, or comes near, its guarantee; everything is known in closed form.

    Attributes
    ----------
    instance : the tokens.
    objective : the objective the guarantee is about, as in `Instance.problem`.
    k : the budget.
    method : the greedy method, as in `solvers.CATALOG`.
    every_start : whether the method loses from every first token, or only from the one that its own rule picks.
    optimal : an optimal set.
    optimum, greedy : the objective of the optimal set and of the greedy one.
    ratio : greedy / optimum in `units`.
    guarantee : the factor that is proven for the method; at most `ratio`, up to rounding.
    units : what `ratio` and `guarantee` compare.
    """

    instance: Instance
    objective: str
    k: int
    method: str
    every_start: bool
    optimal: tuple[int, ...]
    optimum: float
    greedy: float
    ratio: float
    guarantee: float
    units: str

    def problem(self) -> Problem:
        """The problem on which the method does so badly."""
        return self.instance.problem(self.objective, self.k)

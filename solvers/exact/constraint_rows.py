"""`Constraints` as linear rows, for CP-SAT and for MathOpt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ortools.math_opt.python import mathopt
from ortools.sat.python import cp_model

from mmdp import Constraints


@dataclass(frozen=True)
class Row:
    """least <= number of kept tokens among `members` <= most."""

    members: tuple[int, ...]
    least: int
    most: int


def constraint_rows(constraints: Constraints) -> Iterator[Row]:
    """Every constraint but |S| = k."""
    for i in sorted(set(constraints.keep)):
        yield Row((i,), 1, 1)
    for i, j in constraints.forbidden_pairs:
        yield Row((i, j), 0, 1)
    for label in sorted({*constraints.min_per_group, *constraints.max_per_group}):
        members = tuple(constraints.members(label).tolist())
        least = constraints.min_per_group.get(label, 0)
        yield Row(members, least, constraints.max_per_group.get(label, max(least, len(members))))


def add_to_cp_sat(model: cp_model.CpModel, x: Sequence[Any], k: int, constraints: Constraints) -> None:
    """sum x = k and the constraints; x holds one Boolean, or a number already fixed, per token."""
    model.add(sum(x) == k)
    for row in constraint_rows(constraints):
        kept = sum(x[i] for i in row.members)
        model.add(kept >= row.least)
        model.add(kept <= row.most)


def add_to_mathopt(model: mathopt.Model, x: Sequence[Any], k: int, constraints: Constraints) -> None:
    """The same for MathOpt."""
    model.add_linear_constraint(lb=k, ub=k, expr=mathopt.fast_sum(x))
    for row in constraint_rows(constraints):
        model.add_linear_constraint(lb=row.least, ub=row.most, expr=mathopt.fast_sum([x[i] for i in row.members]))

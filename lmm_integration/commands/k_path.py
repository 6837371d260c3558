"""`mmdp gap --k-path`: one greedy run per instance against the bounds of every budget."""

from __future__ import annotations

import json as text
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lmm_integration.commands.arguments import print_json

if TYPE_CHECKING:
    from solvers.budget_path import BudgetPath

DATA, PICTURE = "k_path.json", "k_path.png"
ROWS = 24  # of a table in the terminal; the files have every budget


def show_paths(
    tokens: Sequence[str],
    objectives: Sequence[str],
    budgets: Sequence[int] | None,
    methods: Sequence[str],
    *,
    seed: int,
    out: Path | None,
    json: bool,
) -> None:
    """Tables or one JSON object on stdout; k_path.json and k_path.png in `out`."""
    from mmdp import OBJECTIVES
    from mmdp.instances.names import load
    from solvers.budget_path import budget_path
    from solvers.records import to_json
    from solvers.study_plan import objectives_of

    for objective in objectives:
        if objective not in OBJECTIVES:
            raise ValueError(f"unknown objective {objective!r}; there are {', '.join(OBJECTIVES)}")
    takes = {method: objectives_of(method) for method in methods}
    found: list[tuple[str, BudgetPath]] = []
    for name in tokens:
        instance = load(name)
        for objective in (each for each in objectives if each in instance.objectives):
            for method in (each for each in methods if objective in takes[each]):
                started = time.perf_counter()
                path = budget_path(instance.problem(objective, 0), budgets, method, seed=seed)
                found.append((instance.name, path))
                spent = time.perf_counter() - started
                print(f"{instance.name} {objective} {path.solver}: {spent:.1f} s", file=sys.stderr, flush=True)
    if not found:
        raise ValueError("nothing is left to run: no method takes these objectives, or no instance has their data")
    paths = [{"instance": name, **path.to_dict()} for name, path in found]
    if json:
        print_json({"paths": paths})
    else:
        print_tables(found)
    if out is not None:
        from lmm_integration.evaluate.path_figure import draw_paths

        out.mkdir(parents=True, exist_ok=True)
        (out / DATA).write_text(text.dumps(to_json({"paths": paths}), allow_nan=False) + "\n", encoding="utf-8")
        draw_paths(found).savefig(out / PICTURE)


def print_tables(found: Sequence[tuple[str, BudgetPath]]) -> None:
    """One table per run, with budgets spread evenly over a logarithmic scale where there are many."""
    from rich.console import Console

    from lmm_integration.evaluate.gap_table import rich_table
    from lmm_integration.evaluate.verdict import amount

    console = Console()
    for name, path in found:
        rows: list[tuple[str, ...]] = []
        for place in spread(path.budgets):
            k, value, bound, gap = path.budgets[place], path.values[place], path.bounds[place], path.gaps[place]
            rows.append((str(k), f"{value:.6g}", f"{bound:.6g}", amount(gap, path.gap_kind)))
        console.print(f"{name} {path.objective} {path.solver}", highlight=False, markup=False)
        console.print(rich_table(("k", "value", "bound", "gap"), rows))


def spread(budgets: Sequence[int]) -> list[int]:
    """Positions of at most ROWS budgets, the first and the last among them.

    >>> spread([2, 3, 5])
    [0, 1, 2]
    """
    import numpy as np

    if len(budgets) <= ROWS:
        return list(range(len(budgets)))
    aims = np.geomspace(max(budgets[0], 1), budgets[-1], ROWS)
    return sorted({int(np.abs(np.asarray(budgets) - aim).argmin()) for aim in aims})

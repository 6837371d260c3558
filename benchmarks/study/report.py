"""Tables and figures of docs/study.md from the committed data: `python -m benchmarks.study.report`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.study import figures
from benchmarks.study.data import FOLDER, read_cells, read_instances
from benchmarks.study.design import KINDS, METHODS, OBJECTIVES, SIZED_KINDS
from benchmarks.study.statistics import FLOOR, UNITS, Estimate, Group, Problems, cross_loss, held_out_r2, over_photos
from mmdp.instances.pictures import PHOTOS
from solvers.study import SESSIONS

TABLES = Path(__file__).resolve().parents[2] / "docs" / "_tables"
COVARIATES = ("raw_ratio", "centred_ratio", "two_nn", "spread")
COVARIATE_NAMES = ("raw participation ratio", "centred participation ratio", "TwoNN dimension", "distance spread")
HEADS = {name: f"{name}, {UNITS[name]}" for name in OBJECTIVES}
OWN_GREEDY = ("farthest-first", "greedy MAP", "rank-1 greedy")


def parts_of(name: str) -> tuple[str, str, int] | None:
    """(photo, kind, n) of a photo-patch instance, None for others."""
    words = name.split("/")
    if words[0] == "vit":
        return words[1], "vit", 576
    if words[0] != "photo":
        return None
    return words[1], words[2], int(words[3]) if len(words) > 3 else 576


def write_report() -> None:
    """Write docs/_tables/study_*.md and docs/_static/study_*.png."""
    problems, instances = Problems(read_cells()), read_instances()
    photos = [group for group in problems.sound if parts_of(group[0])]
    main = [group for group in photos if _part(group)[2] == 576]
    tables = {
        "scope": scope(problems, photos),
        "methods": method_table(problems, main),
        "regret": regret_table(problems, main),
        "kinds": kind_table(problems, main),
        "sizes": size_table(problems, photos),
        "hardness": hardness_table(problems, main, instances),
        "families": family_table(problems),
    }
    TABLES.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (TABLES / f"study_{name}.md").write_text(text, encoding="utf-8")
    figures.save(figures.draw_min_distances(problems, main), "min_distance")
    figures.save(figures.draw_losses(problems, main, parts_of), "loss")
    figures.save(figures.draw_hardness(problems, main, parts_of, instances), "hardness")


def _part(group: Group) -> tuple[str, str, int]:
    part = parts_of(group[0])
    if part is None:
        raise ValueError(f"{group[0]} is not a photo-patch instance")
    return part


def scope(problems: Problems, photos: Sequence[Group]) -> str:
    """One paragraph: how much data, from which machine."""
    path = FOLDER / SESSIONS
    session = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    seen = {_part(group)[0] for group in photos}
    runs = sum(len(runs) for runs in problems.cells.values())
    left_out = len(problems.cells) - len(problems.sound)
    return (
        f"{runs} runs on {len(problems.cells)} problems, {len(photos)} of them on photo-patch tokens of {len(seen)} of the "
        f"{len(PHOTOS)} photographs. {left_out} problems are left out of the tables: every known set of theirs is "
        f"singular, or no method bounded them. Run on {str(session.get('started', 'unknown date'))[:10]} on "
        f"{session.get('cpu', 'an unknown machine')}, one thread per run, with {session.get('load', 'unknown load')}.\n"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _interval(found: Estimate) -> str:
    """ "3.1 [2.5, 3.8], singular on 2 photos", in three digits."""
    singular = f"singular on {found.infinite} photo{'s' * (found.infinite > 1)}" if found.infinite else ""
    if not found.photos:
        return singular
    shown = f"{found.mean:.3g} [{found.low:.3g}, {found.high:.3g}]" if found.photos > 1 else f"{found.mean:.3g}"
    return ", ".join(filter(None, (shown, singular)))


def _over(groups: Iterable[Group], measure: Callable[[Group], float | None], within: Any = np.mean) -> str:
    pairs = [(_part(group)[0], value) for group in groups if (value := measure(group)) is not None]
    return _interval(over_photos(pairs, within))


def _ran(problems: Problems, groups: Iterable[Group], method: str, objective: str) -> list[Group]:
    return [group for group in groups if group[1] == objective and method in problems.cells[group]]


def method_table(problems: Problems, main: Sequence[Group]) -> str:
    """Methods by objective: at most and at least below the optimum, and how often optimal."""
    rows = []
    for method in METHODS:
        for what, measure in (
            ("at most", problems.loss),
            ("at least", problems.least_loss),
            ("optimal, % of inputs", lambda group, method: 100.0 * (problems.loss(group, method) <= 1e-7)),
        ):
            cells = [
                _over(
                    _ran(problems, main, method, objective),
                    lambda group, measure=measure, method=method: measure(group, method),
                    np.mean if what.startswith("optimal") else np.median,
                )
                for objective in OBJECTIVES
            ]
            rows.append([figures.LABELS[method] if what == "at most" else "", what, *cells])
    return _table(["method", "below the optimum", *HEADS.values()], rows)


def regret_table(problems: Problems, main: Sequence[Group]) -> str:
    """Sets that were chosen for one objective, scored under each."""
    rows = []
    for method in ("greedy", "exact"):
        for source, name in zip(OBJECTIVES, OWN_GREEDY, strict=True):
            label = f"{name} ({source})" if method == "greedy" else f"best for {source} in the limit"
            rows.append([label, *(_regret(problems, main, method, source, target) for target in OBJECTIVES)])
    rows.append(["random", *(_regret(problems, main, "random", target, target) for target in OBJECTIVES)])
    return _table(["set chosen by", *HEADS.values()], rows)


def _regret(problems: Problems, main: Sequence[Group], method: str, source: str, target: str) -> str:
    groups = _ran(problems, main, method, source)
    return _over(groups, lambda group: cross_loss(problems, group, method, target), np.median)


def kind_table(problems: Problems, main: Sequence[Group]) -> str:
    """Feature kinds and budgets apart: what is proved in the limit, and what greedy loses."""
    rows = []
    for label, chosen in [
        *((kind, [g for g in main if _part(g)[1] == kind]) for kind in KINDS),
        *((f"k = {k}", [g for g in main if g[2] == k]) for k in figures.KS),
    ]:
        cells = []
        for objective in OBJECTIVES:
            cells.append(_over(_ran(problems, chosen, "exact", objective), lambda g: 100.0 * problems.proved(g)))
            cells.append(_over(_ran(problems, chosen, "greedy", objective), lambda g: problems.loss(g, "greedy")))
        rows.append([label, *cells])
    head = [text for name in OBJECTIVES for text in (f"{name}: proved, %", f"greedy at most below, {UNITS[name]}")]
    return _table(["", *head], rows)


def size_table(problems: Problems, photos: Sequence[Group]) -> str:
    """The same tokens, fewer of them: n apart from k."""
    rows = []
    for n, k in ((144, 16), (288, 16), (576, 16), (288, 32), (576, 64)):
        chosen = [g for g in photos if _part(g)[1] in SIZED_KINDS and _part(g)[2] == n and g[2] == k]
        cells = []
        for objective in OBJECTIVES:
            cells.append(_over(_ran(problems, chosen, "exact", objective), lambda g: 100.0 * problems.proved(g)))
            cells.append(_over(_ran(problems, chosen, "greedy", objective), lambda g: problems.loss(g, "greedy")))
        rows.append([f"{n}", f"{k}", *cells])
    head = [text for name in OBJECTIVES for text in (f"{name}: proved, %", f"greedy at most below, {UNITS[name]}")]
    return _table(["n", "k", *head], rows)


def hardness_table(problems: Problems, main: Sequence[Group], instances: dict[str, dict[str, Any]]) -> str:
    """Held-out R^2 of least squares, for what the exact method leaves open and for what greedy loses at least."""
    outcomes = [
        (objective, what, method, measure)
        for objective in OBJECTIVES
        for what, method, measure in (("exact", "exact", problems.loss), ("greedy", "greedy", problems.least_loss))
    ]
    models = [((), "k alone"), *(((c,), f"k, {name}") for c, name in zip(COVARIATES, COVARIATE_NAMES, strict=True))]
    models.append((COVARIATES, "k and all four"))
    rows = []
    for covariates, label in models:
        cells = []
        for objective, _, method, measure in outcomes:
            groups = [g for g in _ran(problems, main, method, objective) if measure(g, method) < math.inf]
            groups = [g for g in groups if all(instances[g[0]][c] for c in COVARIATES)]
            cells.append(_held_out(groups, covariates, instances, [measure(g, method) for g in groups]))
        rows.append([label, *cells])
    head = [f"{objective}: {'left open' if what == 'exact' else 'greedy loss'}" for objective, what, _, _ in outcomes]
    return _table(["explained by", *head], rows)


def _held_out(
    groups: Sequence[Group], covariates: Sequence[str], instances: dict[str, dict[str, Any]], losses: Sequence[float]
) -> str:
    photos = [_part(g)[0] for g in groups]
    if len(set(photos)) < 4:
        return ""
    y = np.log10(FLOOR[groups[0][1]] + np.array(losses))
    columns = [np.log([float(g[2]) for g in groups])]
    columns += [np.log([float(instances[g[0]][c]) for g in groups]) for c in covariates]
    r2, low, high = held_out_r2(columns, y, photos)
    return "none to explain" if math.isnan(r2) else f"{r2:.2f} [{low:.2f}, {high:.2f}]"


def family_table(problems: Problems) -> str:
    """The generated families, one row per family and size; these are draws, not photos."""
    rows = []
    groups = [group for group in problems.sound if not parts_of(group[0])]
    for family, objective, k in sorted({(g[0].rpartition("/")[0], g[1], g[2]) for g in groups}):
        drawn = [g for g in groups if g[0].rpartition("/")[0] == family and g[1:] == (objective, k)]
        losses = [
            f"{np.mean([problems.loss(g, method) for g in drawn if method in problems.cells[g]]):.3g}"
            for method in METHODS
            if any(method in problems.cells[g] for g in drawn)
        ]
        proved = sum(problems.proved(g) for g in drawn)
        rows.append([f"{family}, {objective}, k = {k}", *losses, f"{proved} of {len(drawn)}"])
    return _table(["family", *(figures.LABELS[method] for method in METHODS), "proved"], rows)


if __name__ == "__main__":
    write_report()

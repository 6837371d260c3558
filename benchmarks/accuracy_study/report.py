"""Tables and figures of docs/optimality_and_accuracy.md from the committed data."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.accuracy_study import figures, records
from benchmarks.accuracy_study.analysis import (
    RUNGS,
    Verdict,
    accuracy,
    differences,
    ladder,
    mean_level,
    slopes,
    verdicts,
)
from benchmarks.accuracy_study.design import MARGIN, OBJECTIVES, SPARSE
from benchmarks.accuracy_study.figures import of_plan, shown
from benchmarks.accuracy_study.records import Record, flags, read_records
from benchmarks.accuracy_study.statistics import Contrast, Mean, contrast, finite_mean, mean_of
from lmm_integration.tiny import TOWERS
from lmm_integration.tiny.queries import KINDS

TABLES = Path(__file__).resolve().parents[2] / "docs" / "_tables"
LABELS = (
    "clustered",
    "random",
    "level 0.25",
    "level 0.5",
    "level 0.75",
    "greedy",
    "multi_start",
    "local_search",
    "best",
    "ensemble",
    "leximin",
    "cover",
    "magnitude",
    "pc_mmr",
)
FAMILIES = (*OBJECTIVES, SPARSE)
EXPLAINED = ((), ("radius", "cover"), ("radius", "cover", "seen"))

Found = Mapping[str, Sequence[Record]]


def write_report() -> None:
    """Write docs/_tables/accuracy_*.md and docs/_static/accuracy_*.png from what is committed.

    Raises
    ------
    FileNotFoundError : nothing is.
    """
    found = {tower: rows for tower in TOWERS if (rows := read_records(records.committed(tower)))}
    if not found:
        raise FileNotFoundError(f"no records in {records.FOLDER}: run python -m benchmarks.accuracy_study first")
    decided = {tower: verdicts(rows) for tower, rows in found.items()}
    tables = {
        "scope": scope(found),
        "sets": set_table(found),
        "contrasts": contrast_table(found, decided),
        "status": status_table(found),
        "slopes": slope_table(found),
        "ladder": ladder_table(found),
        "kinds": kind_table(found),
        "positions": position_table(found),
    }
    TABLES.mkdir(parents=True, exist_ok=True)
    for name, text in tables.items():
        (TABLES / f"accuracy_{name}.md").write_text(text, encoding="utf-8")
    figures.save(figures.draw_contrasts(decided), "contrasts")
    figures.save(figures.draw_levels(found), "levels")
    figures.save(figures.draw_ladder(found), "ladder")


def parts(found: Found) -> Iterable[tuple[str, int, list[Record]]]:
    """(tower, k, records) of every model and budget."""
    for tower, rows in found.items():
        for k in sorted({r.k for r in rows}):
            yield tower, k, [r for r in rows if r.k == k]


def scope(found: Found) -> str:
    """One line a model and budget: how much was asked, and the scores with all visual tokens and with none."""
    path = records.FOLDER / "run.json"
    machine = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    rows = []
    for tower, k, chosen in parts(found):
        asked = sum(len(r.kinds) for r in chosen)
        sets = sum(len(r.sets) for r in chosen)
        whole, blind = (mean_of([flags(getattr(r, name)).mean() for r in chosen]) for name in ("whole", "blind"))
        answers = sum(len(r.kinds) * len(r.sets) for r in chosen)
        counts = [f"{k}", of_plan(len(chosen), k), f"{asked}", f"{sets}", f"{answers}"]
        rows.append([tower, *counts, _points(whole), _points(blind)])
    head = ["tower", "k", "pictures", "questions", "sets", "answers", "all 256 tokens, %", "no image, %"]
    ran = ", ".join(
        f"{tower} {str(facts.get('finished', ''))[:10]}, weights {facts.get('weights')}, "
        f"{facts.get('core_seconds', 0) / 60:.0f} minutes of one core of {facts.get('cpu')}"
        for tower, facts in machine.items()
        if tower in found
    )
    return _table(head, rows) + f"\nRun: {ran}, with other work on the machine.\n"


def set_table(found: Found) -> str:
    """Accuracy by name of a set, and its level in brackets."""
    rows = []
    for tower, k, chosen in parts(found):
        for label in LABELS:
            cells = []
            for family in FAMILIES:
                mean = mean_of([accuracy(r, family, label) for r in chosen])
                at = finite_mean([mean_level(r, family, label) for r in chosen])
                cells.append(f"{100 * mean.mean:.1f} ({at:.2f})" if mean.pictures else "")
            if any(cells):
                rows.append([tower, f"{k}", shown(label), *cells])
    return _table(["tower", "k", "set", *FAMILIES], rows)


def contrast_table(found: Found, decided: Mapping[str, Sequence[Verdict]]) -> str:
    """The confirmatory family; p-values where the plan is done."""
    rows = []
    for tower, list_of in decided.items():
        for each in list_of:
            chosen = [r for r in found[tower] if r.k == each.k]
            gain = mean_of([_gain(r, each.family, each.pair) for r in chosen])
            pair = f"{shown(each.pair[0])} - {shown(each.pair[1])}"
            cells = [f"{each.found.difference.pictures}", f"{gain.mean:+.2f}", _difference(each.found.difference)]
            cells += [_p(p) if each.complete else "" for p in (each.different, each.equivalent)]
            rows.append([tower, f"{each.k}", each.family, pair, *cells, each.words])
    head = ["tower", "k", "objective", "sets", "pictures", "level gained", "accuracy, points [95 %]"]
    return _table([*head, "p, no difference", f"p, {100 * MARGIN:g} points or more", "decided"], rows)


def _gain(record: Record, family: str, pair: tuple[str, str]) -> float:
    return mean_level(record, family, pair[0]) - mean_level(record, family, pair[1])


def status_table(found: Found) -> str:
    """What was proved, what greedy loses, and the best set against greedy by solver status."""
    rows = []
    for tower, k, chosen in parts(found):
        for family in FAMILIES:
            mine = [r for r in chosen if family in r.problems]
            if not mine:
                continue
            proved = [r for r in mine if r.problems[family]["proved"]]
            gaps = [_gap(r, family) for r in mine if not r.problems[family]["proved"]]
            unit = "nats" if family.startswith("log-det") else "%"
            gap = f"{np.median(gaps):.3g} {unit}" if gaps else ""
            lost = mean_of([_gain(r, family, ("best", "greedy")) for r in mine])
            cells = [
                _difference(_contrast(differences(group, family, ("best", "greedy"))).difference)
                if len(group) > 1
                else ""
                for group in (mine, proved, [r for r in mine if r not in proved])
            ]
            rows.append([tower, f"{k}", family, f"{len(proved)} of {len(mine)}", gap, f"{lost.mean:.3f}", *cells])
    head = ["tower", "k", "objective", "proved", "median gap of the others", "level that greedy lacks"]
    return _table([*head, "best - greedy, points: all", "proved", "not proved"], rows)


def _contrast(values: np.ndarray) -> Contrast:
    return contrast(values, MARGIN)


def _gap(record: Record, family: str) -> float:
    problem = record.problems[family]
    away = problem["bound"] - problem["best"] if problem["bound"] is not None else math.inf
    return away if family.startswith("log-det") else 100 * away / abs(problem["best"])


def slope_table(found: Found) -> str:
    """Accuracy between a random set and the best, from differences within pictures."""
    rows = []
    for tower, k, chosen in parts(found):
        for family in _present(chosen):
            cells = [_slope(chosen, family, (), top=True)]
            cells += [_slope(chosen, family, covariates) for covariates in EXPLAINED]
            rows.append([tower, f"{k}", family, cells[1], cells[0], *cells[2:]])
    head = [
        "tower",
        "k",
        "objective",
        "all levels",
        "levels from 0.5",
        "covering held",
        "covering and things seen held",
    ]
    return _table(head, rows)


def _present(chosen: Sequence[Record]) -> list[str]:
    return [family for family in OBJECTIVES if any(family in r.problems for r in chosen)]


def _slope(chosen: Sequence[Record], family: str, covariates: Sequence[str], *, top: bool = False) -> str:
    found = slopes(chosen, family, covariates, top=top)
    return _difference(found[0]) if found else ""


def ladder_table(found: Found) -> str:
    """Rank correlations within pictures, rung by rung."""
    neighbours = list(itertools.pairwise(RUNGS))
    with_accuracy = [(rung, "accuracy") for rung in RUNGS[:-2]]
    rows = []
    for tower, k, chosen in parts(found):
        for family in _present(chosen):
            rungs = ladder(chosen, family)
            rows.append([tower, f"{k}", family, *(_number(rungs[pair]) for pair in (*neighbours, *with_accuracy))])
    names = {"frozen": "frozen error", "true": "true error", "divergence": "KL"}
    head = [f"{names.get(a, a)} : {names.get(b, b)}" for a, b in (*neighbours, *with_accuracy)]
    return _table(["tower", "k", "sets of", *head], rows)


def kind_table(found: Found) -> str:
    """Max-min by kind of question."""
    rows = []
    for tower, k, chosen in parts(found):
        for kind in KINDS:
            asked = [r for r in chosen if kind in r.kinds]
            if len(asked) < 2:
                continue
            cells = [
                f"{100 * np.mean([_of_kind(getattr(r, name), r, kind) for r in asked]):.1f}"
                for name in ("whole", "blind")
            ]
            cells += [
                f"{100 * mean_of([accuracy(r, 'max-min', label, kind) for r in asked]).mean:.1f}"
                for label in ("random", "greedy", "ensemble")
            ]
            found_ = _contrast(differences(asked, "max-min", ("ensemble", "greedy"), kind=kind)).difference
            rows.append([tower, f"{k}", kind, *cells, _difference(found_)])
    head = ["tower", "k", "kind", "all tokens", "no image", "random", "greedy", "ensemble", "ensemble - greedy, points"]
    return _table(head, rows)


def _of_kind(text: str, record: Record, kind: str) -> float:
    return float(flags(text)[np.array(record.kinds) == kind].mean())


def position_table(found: Found) -> str:
    """Max-min with positions kept and closed up."""
    rows = []
    for tower, k, chosen in parts(found):
        for name, repacked in (("keep", False), ("repack", True)):
            cells = [
                _points(mean_of([accuracy(r, "max-min", label, repacked=repacked) for r in chosen]))
                for label in ("greedy", "best")
            ]
            found_ = _contrast(differences(chosen, "max-min", ("best", "greedy"), repacked=repacked)).difference
            rows.append([tower, f"{k}", name, *cells, _difference(found_)])
    return _table(["tower", "k", "positions", "greedy, %", "best, %", "best - greedy, points"], rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _points(found: Mean) -> str:
    return f"{100 * found.mean:.1f} [{100 * found.low:.1f}, {100 * found.high:.1f}]"


def _difference(found: Mean) -> str:
    return f"{100 * found.mean:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"


def _number(found: Mean) -> str:
    return f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]" if found.pictures else ""


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

"""From answers to the table: accuracy by method and budget, with errors, comparisons and costs."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lmm_integration.evaluate.accuracy.answers import Line
from lmm_integration.evaluate.accuracy.bench import BLIND, NONE, RANDOM
from lmm_integration.evaluate.accuracy.clustered import Estimate, clustered_mean, f1_score, paired_difference
from lmm_integration.evaluate.accuracy.task import normalised

BOOLEAN = {"yes", "no"}
PARTS = ("decoder", "reading", "selector")  # the vision tower is the same for all, and told apart
Keep = int | float
Place = tuple[str, Keep]


@dataclass(frozen=True)
class Column:
    """The answers of one method at one budget.

    Attributes
    ----------
    method, keep : the cell.
    lines : of all draws.
    scores : question -> 1 or 0, the mean over draws.
    clusters : question -> its group.
    """

    method: str
    keep: Keep
    lines: Sequence[Line]
    scores: Mapping[str, float]
    clusters: Mapping[str, Hashable]

    def accuracy(self, kind: str | None = None) -> Estimate:
        """Over all questions, or those of a kind."""
        kinds = {line.question: line.kind for line in self.lines}
        asked = [q for q in self.scores if kind is None or kinds[q] == kind]
        return clustered_mean([self.scores[q] for q in asked], [self.clusters[q] for q in asked])

    def minus(self, other: Column) -> Estimate:
        """Paired difference in accuracy."""
        return paired_difference(self.scores, other.scores, self.clusters)


def columns_of(lines: Sequence[Line]) -> dict[Place, Column]:
    """The lines by method and budget, in their order."""
    groups: dict[Place, list[Line]] = defaultdict(list)
    for line in lines:
        groups[line.method, line.keep].append(line)
    found = {}
    for (method, keep), members in groups.items():
        draws: dict[str, list[bool]] = defaultdict(list)
        for line in members:
            draws[line.question].append(line.correct)
        scores = {question: statistics.fmean(right) for question, right in draws.items()}
        found[method, keep] = Column(method, keep, members, scores, {m.question: m.group for m in members})
    return found


def summary_rows(columns: Mapping[Place, Column]) -> list[dict[str, Any]]:
    """One row for each method and budget.

    Returns
    -------
    Dicts with the keys

    * method, keep, accuracy, stderr, n : over all questions; the error is clustered, see `clustered_mean`.
    * clusters, draws : how many.
    * f1 : of yes/no questions, None without any.
    * kinds : kind -> accuracy, stderr, n, and f1 where all its answers are yes or no.
    * of_unpruned : accuracy over that of `none`, None where that is not there.
    * minus_unpruned, minus_random : paired differences, of a method to `random` at the same budget; None likewise.
    * tokens : means per question of visual tokens: before, and left as the three kinds of budget count.
    * flops : mean exact operations per question behind the vision tower: prefill of the decoder, relevance tower or
      second encoding, selector; None where one of them is not known. `flops_parts` has them apart, and the vision tower.
    * kv_bytes : of the prompt, two bytes a number.
    * seconds : medians per question, of batches: vision, selection, prefill, decode.
    """
    rows = []
    for (method, keep), column in columns.items():
        total = column.accuracy()
        full = columns.get((NONE, 1.0))
        chance = None if method in (NONE, BLIND, RANDOM) else columns.get((RANDOM, keep))
        whole = None if full is None else full.accuracy().mean
        rows.append(
            {
                "method": method,
                "keep": keep,
                "accuracy": total.mean,
                "stderr": total.stderr,
                "n": total.n,
                "clusters": total.clusters,
                "draws": len({line.draw for line in column.lines}),
                "f1": _f1(column.lines),
                "kinds": {kind: _kind(column, kind) for kind in dict.fromkeys(line.kind for line in column.lines)},
                "of_unpruned": total.mean / whole if whole else None,
                "minus_unpruned": None if full is None or method == NONE else _difference(column.minus(full)),
                "minus_random": None if chance is None else _difference(column.minus(chance)),
                **_costs(column.lines),
            }
        )
    return rows


def _kind(column: Column, kind: str) -> dict[str, Any]:
    lines = [line for line in column.lines if line.kind == kind]
    estimate = column.accuracy(kind)
    return {"accuracy": estimate.mean, "stderr": estimate.stderr, "n": estimate.n, "f1": _f1(lines)}


def _f1(lines: Sequence[Line]) -> float | None:
    """Over the kinds whose expected answers are all yes or no."""
    expected: dict[str, set[str]] = defaultdict(set)
    for line in lines:
        expected[line.kind].add(normalised(line.expected))
    asked = [line for line in lines if expected[line.kind] <= BOOLEAN]
    if not asked:
        return None
    return f1_score([normalised(line.expected) for line in asked], [normalised(line.answer) for line in asked])


def _difference(estimate: Estimate) -> dict[str, Any]:
    facts = asdict(estimate)
    return {"difference": facts.pop("mean"), **{name: facts[name] for name in ("stderr", "low", "high")}}


def _costs(lines: Sequence[Line]) -> dict[str, Any]:
    counts = {"before": "tokens", "input": "input", "layer_mean": "layer_mean", "final": "final"}
    parts = {part: _mean([line.flops[part] for line in lines]) for part in ("vision", *PARTS)}
    behind = [parts[part] for part in PARTS]
    return {
        "tokens": {name: statistics.fmean(getattr(line, field) for line in lines) for name, field in counts.items()},
        "flops": None if None in behind else sum(flops for flops in behind if flops is not None),
        "flops_parts": parts,
        "kv_bytes": _mean([line.kv_bytes for line in lines]),
        "seconds": {
            part: statistics.median(line.seconds[part] for line in lines)
            for part in ("vision", "selection", "prefill", "decode")
        },
    }


def _mean(values: Sequence[int | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) else None

"""What the study of methods asks of the tiny models; fixed before any of it ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

RETENTION = (0.5, 0.33, 0.25, 0.17, 0.11, 0.06, 0.03)
SINGLE = ("exist", "count", "color", "shape", "relation", "digits")
SEVERAL = ("several",)
DRAWS = 3  # of random tokens, for every question


@dataclass(frozen=True)
class Part:
    """One table of the study.

    Attributes
    ----------
    name : of its files.
    runs : trained models, by name.
    kinds : of questions.
    questions : how many.
    keeps : budgets.
    scenes : what is drawn, a key of `lmm_integration.tiny.questions.SCENES`.
    """

    name: str
    runs: tuple[str, ...]
    kinds: tuple[str, ...]
    questions: int
    keeps: Sequence[float]
    scenes: str = "task"


PARTS = {
    "methods": Part("methods", ("labelled", "control"), SINGLE, 240, RETENTION),
    "several": Part("several", ("labelled",), SEVERAL, 60, (0.11, 0.06, 0.03)),
    "few": Part("few", ("labelled", "control"), SINGLE, 240, (0.25, 0.11, 0.06), scenes="few"),
    "positions": Part("positions", ("labelled", "labelled-plain"), SINGLE, 240, (0.25, 0.11)),
}


def pruners_of(part: str, folder: str) -> Mapping[str, Any]:
    """The methods of a part by label; the relevance tower is that of the model in `folder`."""
    from lmm_integration import pruners as p
    from lmm_integration.evaluate.accuracy.drawn import RandomDraws
    from lmm_integration.relevance import ClipRelevance
    from lmm_integration.tiny.oracle import ObjectCoverage

    if part == "several":
        return {
            "random": RandomDraws(),
            "objects": ObjectCoverage(),
            "divprune": p.DivPrune(),
            "uniformgrid": p.UniformGrid(),
            "trimtokenator": p.TrimTokenator(),
            "trimtokenator-lc": p.TrimTokenatorLC(),
            "lc, across first": p.TrimTokenatorLC(stages="across_first"),
            "lc, uniform budgets": p.TrimTokenatorLC(budgets="uniform"),
            "lc, text first": p.TrimTokenatorLC(text_stage="first"),
            "lc, no text": p.TrimTokenatorLC(text_stage="none"),
            "lc, weighted sum": p.TrimTokenatorLC(final="weighted_sum"),
        }
    if part == "positions":
        found: dict[str, Any] = {}
        for policy in ("repack", "keep"):
            for draw in range(DRAWS):
                found[f"random {draw}, {policy}"] = p.RandomPruner(seed=draw, position_policy=policy)
            found[f"uniformgrid, {policy}"] = p.UniformGrid(position_policy=policy)
            found[f"divprune, {policy}"] = p.DivPrune(position_policy=policy)
            found[f"optimum, {policy}"] = p.DivPrune(solver="exact", time_limit=2, position_policy=policy)
        return found
    towers = {sign: ClipRelevance.from_pretrained(f"{folder}/clip", sign=sign) for sign in (1, -1)}
    return {
        "random": RandomDraws(),
        "objects": ObjectCoverage(),
        "divprune": p.DivPrune(),
        "cdpruner": p.CDPruner(relevance=towers[1]),
        "cdpruner, wrong sign": p.CDPruner(relevance=towers[-1]),
        "iwp": p.IWP(),
        "trimtokenator": p.TrimTokenator(),
        "fastv": p.FastV(budget="final"),
        "clsattention": p.ClsAttention(),
        "uniformgrid": p.UniformGrid(),
        "averagepool": p.AveragePool(),
        "featureresize": p.FeatureResize(),
        "inputresize": p.InputResize(),
    }

"""What is fixed before training: every number of both stages."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_integration.tiny.training.language import LanguageRecipe
from lmm_integration.tiny.training.tower import TowerRecipe

TOWERS = {
    "labelled": TowerRecipe(labels=True, steps=3200, written=0.3),
    "control": TowerRecipe(labels=False, steps=3100, sparse=0.5, pooled_from=500, named_from=2000),
}

# What is where comes late: mixed in before anything else is learnt, it keeps everything on a plateau.
THINGS = {"exist": 0.22, "count": 0.25, "color": 0.17, "shape": 0.17, "digits": 0.14, "relation": 0.05}
EASY_THINGS = {"exist": 0.32, "color": 0.26, "shape": 0.26, "count": 0.08, "digits": 0.08}
PLACES = {
    "exist": 0.1,
    "count": 0.2,
    "color": 0.08,
    "shape": 0.1,
    "digits": 0.16,
    "relation": 0.18,
    "row": 0.09,
    "column": 0.09,
}
COLUMNS = {
    "exist": 0.08,
    "count": 0.19,
    "color": 0.07,
    "shape": 0.09,
    "digits": 0.14,
    "relation": 0.15,
    "row": 0.06,
    "column": 0.22,
}
EASY_PLACES = {
    "exist": 0.07,
    "count": 0.1,
    "color": 0.06,
    "shape": 0.07,
    "digits": 0.1,
    "relation": 0.1,
    "row": 0.25,
    "column": 0.25,
}
EASY_COLUMNS = {
    "exist": 0.14,
    "count": 0.09,
    "color": 0.1,
    "shape": 0.12,
    "digits": 0.14,
    "relation": 0.12,
    "row": 0.05,
    "column": 0.24,
}
EASY_ALL = {
    "exist": 0.18,
    "count": 0.1,
    "color": 0.14,
    "shape": 0.18,
    "digits": 0.14,
    "relation": 0.1,
    "row": 0.06,
    "column": 0.1,
}
LATE = {
    "exist": 0.13,
    "count": 0.22,
    "color": 0.1,
    "shape": 0.14,
    "digits": 0.17,
    "relation": 0.15,
    "row": 0.03,
    "column": 0.06,
}
COUNTS = {
    "exist": 0.1,
    "count": 0.38,
    "color": 0.08,
    "shape": 0.1,
    "digits": 0.15,
    "relation": 0.12,
    "row": 0.03,
    "column": 0.04,
}
EASY_COUNTS = {
    "exist": 0.1,
    "count": 0.25,
    "color": 0.1,
    "shape": 0.2,
    "digits": 0.25,
    "relation": 0.1,
}


@dataclass(frozen=True)
class Run:
    """One trained model.

    Attributes
    ----------
    tower : a key of `TOWERS`.
    language : the second stage.
    after : the run whose language model it starts from, and its projector and tower where that is the same; "" for a
        fresh one.
    after_step : where in that run; 0 is its end.
    """

    tower: str
    language: LanguageRecipe
    after: str = ""
    after_step: int = 0


RUNS = {
    "things": Run("labelled", LanguageRecipe("robust", steps=2800, shares=THINGS, easy=900, easy_shares=EASY_THINGS)),
    "rows": Run(
        "labelled",
        LanguageRecipe("robust", steps=2200, shares=PLACES, easy=700, easy_shares=EASY_PLACES, rate=1.2e-3, warmup=50),
        after="things",
    ),
    "columns": Run(
        "labelled",
        LanguageRecipe("robust", steps=1900, shares=COLUMNS, easy=400, easy_shares=EASY_ALL, rate=1.2e-3, warmup=50),
        after="rows",
        after_step=1250,
    ),
    "answers": Run(
        "labelled",
        LanguageRecipe("robust", steps=1550, shares=LATE, easy=650, easy_shares=EASY_COLUMNS, rate=1.2e-3, warmup=40),
        after="columns",
        after_step=1000,
    ),
    "counts": Run("labelled", LanguageRecipe("robust", steps=2400, shares=COUNTS, rate=1.2e-3), after="answers"),
    "digits": Run(
        "labelled",
        LanguageRecipe("robust", steps=1750, shares=COUNTS, emphasis={"digits": 3.0}, rate=1e-3),
        after="counts",
        after_step=750,
    ),
    "labelled": Run(
        "labelled",
        LanguageRecipe("robust", steps=500, shares=COUNTS, emphasis={"digits": 3.0}, things=0.6, rate=7e-4, warmup=30),
        after="digits",
    ),
    "control-answers": Run(
        "control",
        LanguageRecipe("robust", steps=900, shares=LATE, easy=400, easy_shares=EASY_ALL, rate=1.2e-3, tower_scale=0.5),
        after="answers",
    ),
    "control-digits": Run(
        "control",
        LanguageRecipe(
            "robust",
            steps=2000,
            shares=COUNTS,
            easy=300,
            easy_shares=EASY_COUNTS,
            emphasis={"digits": 3.0},
            rate=1.2e-3,
            tower_scale=0.5,
        ),
        after="control-answers",
    ),
    "control": Run(
        "control",
        LanguageRecipe(
            "robust",
            steps=500,
            shares=COUNTS,
            emphasis={"digits": 3.0},
            things=0.6,
            rate=7e-4,
            warmup=30,
            tower_scale=0.5,
        ),
        after="control-digits",
    ),
    "labelled-plain": Run("labelled", LanguageRecipe("plain", steps=300, shares=LATE, rate=5e-4), after="labelled"),
}
SHIPPED = ("labelled", "control")

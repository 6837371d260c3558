"""What is fixed before training: every number of both stages."""

from __future__ import annotations

from dataclasses import dataclass

from lmm_integration.tiny.training.language import LanguageRecipe
from lmm_integration.tiny.training.tower import TowerRecipe

TOWERS = {
    "labelled": TowerRecipe(labels=True, steps=1300),
    "control": TowerRecipe(labels=False, steps=1100, sparse=0.5, pooled_from=500),
}


@dataclass(frozen=True)
class Run:
    """One trained model.

    Attributes
    ----------
    tower : a key of `TOWERS`.
    language : the second stage.
    after : the run whose language model it starts from, and its projector where the tower is the same; "" for a fresh one.
    after_step : where in that run; 0 is its end.
    """

    tower: str
    language: LanguageRecipe
    after: str = ""
    after_step: int = 0


RUNS = {
    "labelled": Run("labelled", LanguageRecipe("robust", steps=2800, easy=900)),
    "labelled-plain": Run("labelled", LanguageRecipe("plain", steps=300, rate=5e-4), after="labelled"),
    "control": Run(
        "control",
        LanguageRecipe("robust", steps=900, easy=250, rate=1.2e-3, tower_scale=0.5),
        after="labelled",
        after_step=1750,
    ),
}
SHIPPED = ("labelled",)

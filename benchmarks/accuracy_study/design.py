"""What the study does, fixed before the models were asked a single one of its questions."""

from __future__ import annotations

QUESTIONS = 24  # about each image, of one image each
MARGIN = 0.02  # of accuracy: a smaller difference counts as none
ALPHA = 0.05  # of every test, after Holm over its family

# Primary position policy "keep": a kept token stays where it was, in front of layer 0 as inside the model. The sets of
# REPACKED are also asked with positions closed up.
REPACKED = ("greedy", "best")

# DivPrune and CDPruner drop tokens in front of layer 0, IWP inside the model, and so do the sets of their objectives.
OBJECTIVES = ("max-min", "log-det", "rank-1")
SPARSE = "log-det-64"  # every second row and column, where log det can be proved
SPARSE_BUDGET = 8

# (k of 256 visual tokens: 6 or 25 %, images), in the order in which they are run. Every third image has the sets of all
# families, the others those of max-min alone.
PLAN = ((16, range(420)), (64, range(0, 210, 3)))
THIRD = 3


def families_of(image: int, k: int) -> tuple[str, ...]:
    """Whose sets an image is asked with at a budget."""
    if image % THIRD:
        return ("max-min",)
    return (*OBJECTIVES, SPARSE) if k == PLAN[0][0] else OBJECTIVES


def planned(k: int, family: str) -> int:
    """How many images have sets of a family at a budget; max-min has sets in all.

    >>> planned(16, "max-min"), planned(16, "log-det"), planned(64, "log-det")
    (420, 140, 70)
    """
    return sum(family in families_of(image, k) for image in dict(PLAN)[k])


RANDOM_SETS = 5
CLUSTERED = 1
ENSEMBLE = {"max-min": 20, "log-det": 4, "rank-1": 4, SPARSE: 0}
LEVELS = (0.25, 0.5, 0.75)  # of the way from a random set (0) to the best known (1)
AT_LEVEL = {"max-min": 2, "log-det": 1, "rank-1": 1, SPARSE: 0}
SLACKS = (0.0, 0.01, 0.02, 0.05, 0.1)  # of the same way, below the best: the first that gives a whole ensemble
SECONDS = {"multi_start": 1.0, "local_search": 0.5, "exact": 2.0, "ensemble": 1.0, "refined": 1.0, "level": 0.5}

# The confirmatory family of a model: each pair at each budget of the plan. A name is the mean over the sets of that name.
CONTRASTS = {
    "max-min": (
        ("multi_start", "greedy"),
        ("local_search", "greedy"),
        ("ensemble", "greedy"),
        ("leximin", "greedy"),
        ("cover", "greedy"),
        ("greedy", "random"),
    ),
    "log-det": (
        ("multi_start", "greedy"),
        ("local_search", "greedy"),
        ("ensemble", "greedy"),
        ("greedy", "random"),
    ),
    "rank-1": (
        ("ensemble", "greedy"),
        ("ensemble", "pc_mmr"),
        ("ensemble", "magnitude"),
        ("greedy", "random"),
    ),
}

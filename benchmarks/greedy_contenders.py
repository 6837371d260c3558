"""Who takes part in the greedy benchmark: our compiled doors, the published loops, numpy, torch and packages."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from benchmarks.greedy_calls import (
    Prepare,
    each_alone,
    incremental,
    on_distances,
    our_door,
    our_loop,
    our_path,
    published,
    published_dpp,
    qc_selector,
    rdkit,
)
from benchmarks.peers import numpy_loops, packages

ALGORITHMS = {
    "max-min": "farthest-first traversal (DivPrune)",
    "max-min, distances given": "the loop of the traversal alone, on a distance matrix",
    "dpp": "greedy MAP of a determinantal point process (CDPruner)",
    "mmr": "maximal marginal relevance on rank-1 updates",
}
OURS = "ours"


@dataclass(frozen=True)
class Contender:
    """One row.

    Attributes
    ----------
    name : for the tables.
    algorithm : a key of `ALGORITHMS`.
    prepare : how it is called; `picks_of` reads the result.
    note : what it is and what it is handed.
    requires : import name of a package, "" for none.
    most_tokens : larger samples would take it minutes.
    duplicates : whether it can take tokens with copies.
    own : one of our own paths, forced; shown beside the peers and never the best of them.
    """

    name: str
    algorithm: str
    prepare: Prepare
    note: str
    requires: str = ""
    most_tokens: int = 10_000
    duplicates: bool = True
    own: bool = False

    def absent(self, kind: str, n: int) -> str | None:
        """Why it does not take part with these tokens, or None."""
        if self.requires and find_spec(self.requires.partition(".")[0]) is None:
            return f"{self.requires.partition('.')[0]} is not installed"
        if n > self.most_tokens:
            return f"takes minutes at n = {n}"
        if kind == "duplicates" and not self.duplicates:
            return "does not end on copies"
        return None


LAZY, GRAM = "our lazy path", "our Gram path"
CONTENDERS: tuple[Contender, ...] = (
    Contender(
        OURS,
        "max-min",
        our_door("solvers.farthest_first.cpu", "farthest_first", "X"),
        "`solvers.farthest_first.cpu`",
        "numba",
    ),
    Contender("as published", "max-min", published("divprune", "X"), "all chosen rows again at every step", "torch"),
    Contender("torch", "max-min", incremental("farthest_first", "X"), "running minimum", "torch"),
    Contender("numpy", "max-min", each_alone(numpy_loops.farthest_first, "X"), "running minimum, SYRK"),
    Contender(
        "fpsample",
        "max-min",
        each_alone(packages.fpsample, "X", start=True),
        "handed the first token",
        "fpsample",
        most_tokens=2880,
    ),
    Contender(
        "RDKit",
        "max-min",
        on_distances(rdkit, triangle=True, timed=True),
        "MaxMinPicker; handed the first token, distances from numpy",
        "rdkit",
        most_tokens=2880,
    ),
    Contender(
        "qc-selector",
        "max-min",
        on_distances(qc_selector, timed=True),
        "MaxMin; handed the first token, distances from numpy",
        "selector",
        most_tokens=2880,
    ),
    Contender(
        "submodlib",
        "max-min",
        each_alone(packages.submodlib_disparity, "X"),
        "DisparityMin, which starts by another rule",
        "submodlib",
        most_tokens=576,
    ),
    Contender(
        LAZY,
        "max-min",
        our_path("solvers.farthest_first.cpu", "farthest_first", "X", START=np.inf, LOOP=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(
        GRAM,
        "max-min",
        our_path("solvers.farthest_first.cpu", "farthest_first", "X", NARROW=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(OURS, "max-min, distances given", our_loop, "handed the first token", "numba"),
    Contender(
        "RDKit", "max-min, distances given", on_distances(rdkit, triangle=True), "handed the first token", "rdkit"
    ),
    Contender(
        "qc-selector",
        "max-min, distances given",
        on_distances(qc_selector),
        "handed the first token",
        "selector",
        most_tokens=2880,
    ),
    Contender(
        OURS,
        "dpp",
        our_door("solvers.greedy_map.cpu", "greedy_map", "X", "relevance"),
        "`solvers.greedy_map.cpu`",
        "numba",
    ),
    Contender("as published", "dpp", published_dpp, "batched, whole kernel", "torch"),
    Contender(
        "numpy fast MAP", "dpp", each_alone(numpy_loops.fast_map, "X", "relevance"), "Chen, Zhang and Zhou, SYRK"
    ),
    Contender(
        "submodlib",
        "dpp",
        each_alone(packages.submodlib_log_det, "X", "relevance"),
        "LogDeterminant, lazy greedy, kernel from numpy",
        "submodlib",
        most_tokens=576,
        duplicates=False,
    ),
    Contender(
        LAZY,
        "dpp",
        our_path("solvers.greedy_map.cpu", "greedy_map", "X", "relevance", EFFORT=np.inf),
        "forced",
        "numba",
        own=True,
    ),
    Contender(
        GRAM,
        "dpp",
        our_path("solvers.greedy_map.cpu", "greedy_map", "X", "relevance", EFFORT=0.0),
        "forced",
        "numba",
        own=True,
    ),
    Contender(OURS, "mmr", our_door("solvers.rank1.mmr_cpu", "mmr", "K", "V"), "`solvers.rank1.mmr_cpu`", "numba"),
    Contender("as published", "mmr", published("mmr", "K", "V"), "two Gram matrices", "torch"),
    Contender("torch", "mmr", incremental("mmr", "K", "V"), "two Gram matrices, running maximum", "torch"),
    Contender(
        "retrieval style",
        "mmr",
        each_alone(numpy_loops.mmr_of_retrieval, "K", "V"),
        "as LangChain does it, on the same scores",
        most_tokens=576,
    ),
    Contender(
        LAZY, "mmr", our_path("solvers.rank1.mmr_cpu", "mmr", "K", "V", EFFORT=np.inf), "forced", "numba", own=True
    ),
    Contender(GRAM, "mmr", our_path("solvers.rank1.mmr_cpu", "mmr", "K", "V", EFFORT=0.0), "forced", "numba", own=True),
)

"""The grid of the greedy benchmark: every row of its table, and nothing about how it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.greedy_contenders import ALGORITHMS

SIZES = ((576, 1024), (576, 4096), (2880, 4096), (6272, 3584))
BUDGETS = (64, 128, 192)
ONE, ALL = "one core", "all cores"


@dataclass(frozen=True)
class Case:
    """One algorithm on one kind of tokens at one size."""

    algorithm: str
    kind: str
    n: int
    d: int
    k: int
    batch: int = 1
    cores: str = ONE

    @property
    def name(self) -> str:
        """As `--only` sees it."""
        return f"{self.algorithm}/{self.kind}/{self.n}x{self.d}/k{self.k}/B{self.batch}/{self.cores}"


def cases() -> Iterator[Case]:
    """Photo tokens at every size and budget (two budgets at the largest); the rest at 10 % of the tokens.

    The small sizes come first, so that a run that is cut short has the most rows.
    """
    for n, d in SIZES:
        tenth = round(n / 10)
        for algorithm in ALGORITHMS:
            budgets = () if "given" in algorithm else BUDGETS if n <= 2880 else BUDGETS[:1]
            for k in (tenth, *budgets):
                yield Case(algorithm, "photo", n, d, k)
            if "given" in algorithm or n > 2880:
                continue
            for kind in ("iid", "clustered", "duplicates"):
                yield Case(algorithm, kind, n, d, tenth)
            yield Case(algorithm, "photo", n, d, tenth, cores=ALL)
            if n == 576:
                yield Case(algorithm, "photo", n, d, tenth, batch=8)
                yield Case(algorithm, "photo", n, d, tenth, batch=8, cores=ALL)
        if n > 2880:
            yield Case("max-min", "photo", n, d, tenth, cores=ALL)

"""Is there a set whose pairwise distances all reach a threshold? Node packing, decided by CP-SAT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from mmdp import MaxMinDiversity
from mmdp.checks import Int
from solvers.answer import Request
from solvers.exact.constraint_rows import add_to_cp_sat
from solvers.exact.cp_sat import decide
from solvers.exact.far_graph import bit_rows, clique_cover, colour_classes, core_smallest_last, members, usable


@dataclass
class Packing:
    """Decisions about one problem.

    For a threshold t, max-min diversity >= t asks for k tokens without a close pair (d_ij < t, or forbidden): a packing
    of nodes in the close graph, a clique in the far graph. Before a model is built, tokens are dropped that the ones to
    keep, their degrees or the colours of their neighbourhoods exclude. What remains is split while it has more than
    `piece` tokens: with tokens dealt to k - 1 classes of pairwise close ones, every packing uses a token left over, so
    there is one branch for each of these, without those branched on before. CP-SAT decides each piece: at most one
    token of each colour class and of each clique of a cover of the close pairs. Quotas count tokens across pieces, so
    with them nothing is split.

    All of this only compares the given distances: the proof is exact.

    Attributes
    ----------
    workers : threads of CP-SAT.
    piece : most tokens in a model.
    models, tokens : how many models were solved, and how many tokens the largest had.
    """

    problem: MaxMinDiversity
    workers: int = 1
    piece: int = 100
    models: int = 0
    tokens: int = 0

    def at_least(self, threshold: float, request: Request) -> Int | None:
        """A set of pairwise distances >= threshold that satisfies the constraints; None proves that there is none.

        Raises
        ------
        TimeoutError : time was up before either was known.
        KeyboardInterrupt : Ctrl-C came before either was known.
        """
        far = self.problem.distances >= threshold
        np.fill_diagonal(far, False)
        for i, j in self.problem.constraints.forbidden_pairs:
            far[i, j] = far[j, i] = False
        fixed = np.unique(np.array(self.problem.constraints.keep, dtype=np.int64))
        need = self.problem.k - len(fixed)
        if need < 0 or not (far | np.eye(len(far), dtype=np.bool_))[np.ix_(fixed, fixed)].all():
            return None
        if need == 0:
            return fixed if self.problem.constraints.violation(fixed) is None else None
        around = np.flatnonzero(far[fixed].all(axis=0))
        order = around[core_smallest_last(far[np.ix_(around, around)], need)]
        graph = bit_rows(far[np.ix_(order, order)])
        found = self._search(graph, order, fixed, need, request)
        return None if found is None else np.sort(np.concatenate([fixed, order[found]]))

    def _search(self, far: list[int], order: Int, fixed: Int, need: int, request: Request) -> list[int] | None:
        """`need` pairwise far positions of `order` that satisfy the constraints together with `fixed`."""
        constraints = self.problem.constraints
        quotas = bool(constraints.min_per_group or constraints.max_per_group)
        pieces: list[tuple[int, list[int]]] = [((1 << len(order)) - 1, [])]
        while pieces:
            tokens, chosen = pieces.pop()
            size = need - len(chosen)
            if size == 0 and not quotas:
                return chosen
            tokens = usable(far, tokens, size, request)
            if quotas or tokens.bit_count() <= self.piece:
                found = self._pack(far, tokens, order, [*fixed, *order[chosen]], size, request) if tokens else None
                if found is not None:
                    return chosen + found
                continue
            for i in reversed(list(members(colour_classes(far, tokens, size - 1)[1]))):
                pieces.append((tokens & far[i], [*chosen, i]))
                tokens ^= 1 << i
        return None

    def _pack(
        self, far: list[int], tokens: int, order: Int, kept: list[int], size: int, request: Request
    ) -> list[int] | None:
        """The same within one piece, by CP-SAT."""
        model = cp_model.CpModel()
        x = {i: model.new_bool_var("") for i in members(tokens)}
        classes, left = colour_classes(far, tokens, size - 1)
        for group in (*classes, *clique_cover(far, tokens)):
            model.add_at_most_one(x[i] for i in members(group))
        model.add_bool_or(x[i] for i in members(left))
        every: list[Any] = [0] * self.problem.n
        for token in kept:
            every[token] = 1
        for i, variable in x.items():
            every[order[i]] = variable
        add_to_cp_sat(model, every, self.problem.k, self.problem.constraints)
        self.models += 1
        self.tokens = max(self.tokens, len(x))
        solver = decide(model, self.workers, request)
        return None if solver is None else [i for i in x if solver.value(x[i])]

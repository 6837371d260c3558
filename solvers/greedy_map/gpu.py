"""Greedy MAP of a determinantal point process on tensors: Triton on CUDA and ROCm, plain torch anywhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmdp import ConditionalDPP
from mmdp.checks import Int
from solvers import triton_support
from solvers.answer import Answer, Request
from solvers.greedy_map import gpu_loop
from solvers.greedy_map.naive import PIVOT
from solvers.tensor_gram import cosines, score_dtype
from solvers.tensor_operators import nothing_chosen, operator
from solvers.tensor_problems import features_on, on_host, tensor_on
from solvers.tensors import frame, refuse_bad_budgets, refuse_bad_values


def greedy_map(
    X: Tensor,
    k: Any,
    *,
    relevance: Tensor | None = None,
    valid: Tensor | None = None,
    width: int | None = None,
    check: bool | None = None,
) -> Tensor:
    """Keep k relevant and different tokens, the choice of `greedy_map.naive`.

    Greedily maximises log det L_S, L = diag(r) C diag(r), C_ij = cos(x_i, x_j), by one new row of the Cholesky factor
    a step :cite:p:`chen2018fast,zhang2025cdpruner`. A token counts while its conditional variance exceeds 1e-5 L_ii;
    then the highest relevance fills up. Ties go to the lowest index. Scores are float32 (float64 for float64 features),
    cosines are normalised after the product. Rows of norm at most 1e-12 come last, in index order.

    Parameters
    ----------
    X : (n, d) or (B, n, d) floats, any strides; norms between 1e-12 and 1e18.
    k : tokens to keep: int, or one for each sample as a list or a (B,) tensor. A budget above the number of valid
        tokens keeps them all.
    relevance : (n,) or (B, n) floats >= 0, taken as they are (their squares must fit float32); None means all ones.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.
    width, check : as in `farthest_first.gpu`. Unchecked, a token whose relevance is negative or not finite is also
        treated like a zero row.

    Returns
    -------
    int64 (k,) or (B, width) indices on the device of `X` in order of selection, filled up with -1.

    Raises
    ------
    ValueError, TypeError : shapes, devices or dtypes that do not fit, and what `check` finds.

    Notes
    -----
    Never waits for the device but where said of `width` and `check`; one operator (``torch.ops.mmdp.greedy_map``) to
    ``torch.compile``. With Triton (n <= 8192, at most 32-bit floats) two launches: Gram matrix, and the loop with one
    program a sample. The same choice as `naive` where decision gaps exceed 1e-6, with one exception: when the kept
    tokens all but span the space, float32 rounding is amplified, and a token may pass the pivot rule where float64
    would already fill up. Time O(n^2 d + n k^2), memory O(n^2 + n k), for each sample. No guarantee, see `naive`.

    Examples
    --------
    >>> X = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> greedy_map(X, 3, relevance=torch.tensor([0.9, 1.0, 0.5])).tolist()
    [1, 2, 0]
    """
    asked = frame(k, valid, width, check, tokens={"X": X}, weights={"relevance": relevance})
    weights = asked.weights.get("relevance")
    return asked.finish(OPERATOR(asked.tokens["X"], weights, asked.valid, asked.budgets, asked.width, asked.check))


def select(
    X: Tensor, relevance: Tensor | None, valid: Tensor | None, budgets: Tensor | None, width: int, check: bool
) -> Tensor:
    """What the operator does: `greedy_map`, on a batch."""
    if check:
        refuse_bad_values("X", X, valid)
        if relevance is not None:
            refuse_bad_values("relevance", relevance, valid, weight=True)
        refuse_bad_budgets(budgets, width)
    if not X.shape[0] * X.shape[1] * width:
        return nothing_chosen(X, width)
    if triton_support.usable(X):
        from solvers.greedy_map import triton_loop

        return triton_loop.cholesky_greedy(X, relevance, valid, budgets, width)
    cosine, live, first = cosines(X, valid)
    weight = torch.ones_like(live, dtype=score_dtype(X)) if relevance is None else relevance.to(score_dtype(X))
    live = live & (weight >= 0) & (weight < torch.inf)
    return gpu_loop.cholesky_greedy(cosine, weight, live, first, valid, budgets, width)


OPERATOR = operator(
    "greedy_map(Tensor X, Tensor? relevance, Tensor? valid, Tensor? budgets, int width, bool check) -> Tensor",
    select,
)


def run(problem: ConditionalDPP, request: Request, device: str | None = None) -> Answer:
    """Greedy MAP on the features of the problem, in their own precision, and its weights divided by the largest.

    Parameters
    ----------
    device : where to compute, "cuda", "cuda:1", "mps", "cpu", ...; None means an accelerator if there is one.
    """
    X = features_on(problem.ground, device)
    weights = problem.weights / max(float(problem.weights.max(initial=0.0)), np.finfo(float).tiny)
    answer = on_host(greedy_map(X, problem.k, relevance=tensor_on(weights, device)))
    rank = greedy_picks(problem, np.asarray(answer.indices))
    return replace(answer, stats={**answer.stats, "rank": rank, "filled": problem.k - rank})


def greedy_picks(problem: ConditionalDPP, chosen: Int) -> int:
    """How many of the tokens, in this order, passed the pivot rule; the others filled up."""
    inside = problem.kernel[np.ix_(chosen, chosen)]
    start = inside.diagonal()
    variance = start.copy()
    factor = np.zeros_like(inside)
    for t in range(len(chosen)):
        if not variance[t] > PIVOT * start[t]:
            return t
        factor[t] = (inside[t] - factor[:t, t] @ factor[:t]) / np.sqrt(variance[t])
        variance = variance - factor[t] ** 2
    return len(chosen)

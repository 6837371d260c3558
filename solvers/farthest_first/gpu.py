"""Farthest-first traversal on tensors: Triton on CUDA and ROCm, plain torch anywhere else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmdp import MaxMinDiversity
from mmdp.checks import as_token
from solvers import triton_support
from solvers.answer import Answer, Request
from solvers.farthest_first import gpu_loop
from solvers.tensor_gram import cosines, distances, score_dtype
from solvers.tensor_operators import nothing_chosen, operator
from solvers.tensor_problems import features_on, on_host
from solvers.tensors import frame, per_sample, refuse_bad_budgets, refuse_bad_token, refuse_bad_values


def farthest_first(
    X: Tensor,
    k: Any,
    *,
    valid: Tensor | None = None,
    start: Any = None,
    width: int | None = None,
    check: bool | None = None,
) -> Tensor:
    """Keep k tokens that lie far apart in d_ij = 1 - cos(x_i, x_j), the choice of `farthest_first.naive`.

    The most isolated token first, then again and again the token farthest from those chosen
    :cite:p:`alvar2025divprune,gonzalez1985clustering`; ties go to the lowest index. Distances are computed in float32
    (float64 for float64 features) from the features as they are and normalised after the product. Rows of norm at most
    1e-12 come last, in index order.

    Parameters
    ----------
    X : (n, d) or (B, n, d) floats, any strides; norms between 1e-12 and 1e18.
    k : tokens to keep: int, or one for each sample as a list or a (B,) tensor. A budget above the number of valid
        tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.
    start : None, or the first token, int or one for each sample; must be valid.
    width : columns of the answer, at least the largest budget. Give it with a tensor `k` on an accelerator: otherwise
        the largest budget is read there, which waits for the device.
    check : whether to look at values (finite features, budgets and starts in range), which waits for the device. None
        means on the CPU only. Unchecked, a token with a non-finite norm is treated like a zero row, a budget is
        cut to 0 .. `width`, and a start that is no valid token gives way to the lowest valid index.

    Returns
    -------
    int64 (k,) or (B, width) indices on the device of `X` in order of selection, filled up with -1.

    Raises
    ------
    ValueError, TypeError : shapes, devices or dtypes that do not fit, and what `check` finds.

    Notes
    -----
    Never waits for the device but where said above, so it can be captured in a CUDA graph, and it is one operator
    (``torch.ops.mmdp.farthest_first``) to ``torch.compile``. With Triton (n <= 8192, at most 32-bit floats) three
    launches: Gram matrix, isolation, and the loop with one program a sample; elsewhere about ten small operations a
    step. The same choice as `naive` where decision gaps exceed 1e-6; with smaller gaps each pick is within 1e-6 of the
    best. Time O(n^2 d + n k), memory O(n^2), for each sample. Guarantee as for `naive`.

    Examples
    --------
    >>> farthest_first(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [1.0, 1.0]]), 3).tolist()
    [2, 0, 1]
    """
    asked = frame(k, valid, width, check, tokens={"X": X})
    features = asked.tokens["X"]
    first = None
    if start is not None:
        first = per_sample(start, "start", len(features), asked.single, X.device)
    return asked.finish(OPERATOR(features, asked.valid, asked.budgets, first, asked.width, asked.check))


def select(
    X: Tensor, valid: Tensor | None, budgets: Tensor | None, start: Tensor | None, width: int, check: bool
) -> Tensor:
    """What the operator does: `farthest_first`, on a batch."""
    if check:
        refuse_bad_values("X", X, valid)
        refuse_bad_budgets(budgets, width)
        refuse_bad_token("start", start, valid, X.shape[1])
    if not X.shape[0] * X.shape[1] * width:
        return nothing_chosen(X, width)
    if triton_support.usable(X):
        from solvers.farthest_first import triton_loop

        return triton_loop.traverse(X, valid, budgets, start, width)
    cosine, live, _ = cosines(X, valid)
    return gpu_loop.traverse(distances(cosine, live), live, valid, budgets, start, width)


OPERATOR = operator(
    "farthest_first(Tensor X, Tensor? valid, Tensor? budgets, Tensor? start, int width, bool check) -> Tensor",
    select,
)


def run(problem: MaxMinDiversity, request: Request, start: int | None = None, device: str | None = None) -> Answer:
    """The traversal of the features of the problem, in their own precision.

    Parameters
    ----------
    start : the first token; None means the most isolated one.
    device : where to compute, "cuda", "cuda:1", "mps", "cpu", ...; None means an accelerator if there is one.
    """
    first = None if start is None else as_token(start, problem.n, "start")
    X = features_on(problem.ground, device)
    if problem.ground.metric != "euclidean":  # cosine and chord order pairs alike
        return on_host(farthest_first(X, problem.k, start=first))
    X = X.to(score_dtype(X))
    distance = torch.cdist(X, X, compute_mode="donot_use_mm_for_euclid_dist")[None]
    live = torch.ones(distance.shape[:2], dtype=torch.bool, device=X.device)
    begin = None if first is None else per_sample(first, "start", 1, False, X.device)
    return on_host(gpu_loop.traverse(distance, live, None, None, begin, problem.k)[0])

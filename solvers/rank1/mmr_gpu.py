"""Maximal marginal relevance on rank-1 updates, on tensors: Triton on CUDA and ROCm, plain torch anywhere else."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdp import ImplicitWeight
from solvers import triton_support
from solvers.answer import Answer, Request
from solvers.rank1 import gpu_loop
from solvers.rank1.mmr_naive import check_lam
from solvers.tensor_gram import rank1_gram
from solvers.tensor_operators import nothing_chosen, operator
from solvers.tensor_problems import keys_values_on, on_host
from solvers.tensors import frame, refuse_bad_budgets, refuse_bad_values, with_heads


def mmr(
    K: Tensor,
    V: Tensor,
    k: Any,
    lam: float = 0.5,
    *,
    valid: Tensor | None = None,
    width: int | None = None,
    check: bool | None = None,
) -> Tensor:
    """Keep k tokens whose updates dW_i = k_i^T v_i are large and unlike those already kept, the choice of `mmr_naive`.

    First argmax_i mag_i, then argmax_i lam mag_i - (1 - lam) max_{j in S} dup_ij with mag_i = ||dW_i||_F and
    dup_ij = <dW_i, dW_j>_F :cite:p:`carbonell1998mmr,iwp2026`. Ties go to the lowest index. Scores are float32 (float64
    for float64 keys). Zero updates come last, in index order. The scale of K and V matters.

    Parameters
    ----------
    K, V, k, valid, width, check : as in `rank1.gpu`.
    lam : in [0, 1], the weight of the magnitude.

    Returns
    -------
    int64 (k,) or (B, width) indices on the device of `K` in order of selection, filled up with -1.

    Raises
    ------
    ValueError, TypeError : `lam`, shapes, devices or dtypes that do not fit, and what `check` finds.

    Notes
    -----
    Never waits for the device but where said of `width` and `check`; one operator (``torch.ops.mmdp.mmr``) to
    ``torch.compile``. With Triton two launches: Gram matrix, and the loop with one program a sample. No guarantee. Time
    O(H n^2 (d + d_v) + n k), memory O(n^2), for each sample.

    Examples
    --------
    >>> import torch
    >>> K, V = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5]]), torch.tensor([[1.0], [0.9], [1.0]])
    >>> mmr(K, V, 3).tolist()
    [0, 2, 1]
    """
    check_lam(lam)
    asked = frame(k, valid, width, check, tokens={"K": K, "V": V}, heads=True)
    keys, values = with_heads(asked.tokens)
    return asked.finish(OPERATOR(keys, values, float(lam), asked.valid, asked.budgets, asked.width, asked.check))


def select(
    K: Tensor, V: Tensor, lam: float, valid: Tensor | None, budgets: Tensor | None, width: int, check: bool
) -> Tensor:
    """What the operator does: `mmr`, on a batch with heads."""
    if check:
        refuse_bad_values("K", K, valid)
        refuse_bad_values("V", V, valid)
        refuse_bad_budgets(budgets, width)
    if not K.shape[0] * K.shape[2] * width:
        return nothing_chosen(K, width)
    if triton_support.usable(K, V):
        from solvers.rank1 import triton_loop

        return triton_loop.marginal_relevance(K, V, valid, budgets, width, lam)
    gram, live = rank1_gram(K, V, valid)
    return gpu_loop.marginal_relevance(gram, live, valid, budgets, width, lam)


OPERATOR = operator(
    "mmr(Tensor K, Tensor V, float lam, Tensor? valid, Tensor? budgets, int width, bool check) -> Tensor",
    select,
)


def run(problem: ImplicitWeight, request: Request, lam: float = 0.5, device: str | None = None) -> Answer:
    """The same rule on the keys and values of the problem: linear kernel, form "truncation".

    Parameters
    ----------
    lam : in [0, 1], the weight of the magnitude.
    device : where to compute, "cuda", "cuda:1", "mps", "cpu", ...; None means an accelerator if there is one.
    """
    K, V = keys_values_on(problem, device)
    return on_host(mmr(K, V, problem.k, lam)[0])

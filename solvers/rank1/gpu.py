"""Greedy on the true gain of the rank-1 energy, on tensors: Triton on CUDA and ROCm, plain torch anywhere else."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdp import ImplicitWeight
from solvers import triton_support
from solvers.answer import Answer, Request
from solvers.rank1 import gpu_loop
from solvers.tensor_gram import rank1_gram
from solvers.tensor_operators import nothing_chosen, operator
from solvers.tensor_problems import keys_values_on, on_host
from solvers.tensors import frame, refuse_bad_budgets, refuse_bad_values, with_heads


def rank1(
    K: Tensor,
    V: Tensor,
    k: Any,
    *,
    valid: Tensor | None = None,
    width: int | None = None,
    check: bool | None = None,
) -> Tensor:
    """Keep k tokens so that little of the implicit weight sum_i k_i^T v_i is lost, the choice of `rank1.naive`.

    Each step takes the largest gain F(i | S) = G_ii + 2 sum_{j not in S + i} G_ij, of whatever sign, with
    G_ij = sum_h (k_i^h . k_j^h)(v_i^h . v_j^h), h the heads :cite:p:`iwp2026,nemhauser1978analysis`. Ties go to the
    lowest index. Scores are float32 (float64 for float64 keys). Zero updates (G_ii = 0) come last, in index order.

    Parameters
    ----------
    K, V : (n, d) keys and (n, d_v) values, or (B, n, .), or (B, H, n, .) with H heads (one sample of several heads is
        (1, H, n, .)); floats of one dtype, any strides, never normalised; every G_ij must fit float32.
    k : tokens to keep: int, or one for each sample as a list or a (B,) tensor. A budget above the number of valid
        tokens keeps them all.
    valid : (n,) or (B, n) booleans, the real tokens; None means all. What stands in the padding is never looked at.
    width, check : as in `farthest_first.gpu`. Unchecked, a token whose G_ii is not finite counts as a zero update.

    Returns
    -------
    int64 (k,) or (B, width) indices on the device of `K` in order of selection, filled up with -1.

    Raises
    ------
    ValueError, TypeError : shapes, devices or dtypes that do not fit, and what `check` finds.

    Notes
    -----
    Never waits for the device but where said of `width` and `check`; one operator (``torch.ops.mmdp.rank1``) to
    ``torch.compile``. With Triton (n <= 8192, at most 32-bit floats) three launches: Gram matrix, first gains, and the
    loop with one program a sample. Time O(H n^2 (d + d_v) + n k), memory O(n^2), for each sample. Guarantee as for
    `naive`.

    Examples
    --------
    >>> import torch
    >>> rank1(torch.tensor([[1.0], [1.0], [2.0]]), torch.ones(3, 1), 2).tolist()
    [2, 0]
    """
    asked = frame(k, valid, width, check, tokens={"K": K, "V": V}, heads=True)
    keys, values = with_heads(asked.tokens)
    return asked.finish(OPERATOR(keys, values, asked.valid, asked.budgets, asked.width, asked.check))


def select(K: Tensor, V: Tensor, valid: Tensor | None, budgets: Tensor | None, width: int, check: bool) -> Tensor:
    """What the operator does: `rank1`, on a batch with heads."""
    if check:
        refuse_bad_values("K", K, valid)
        refuse_bad_values("V", V, valid)
        refuse_bad_budgets(budgets, width)
    if not K.shape[0] * K.shape[2] * width:
        return nothing_chosen(K, width)
    if triton_support.usable(K, V):
        from solvers.rank1 import triton_loop

        return triton_loop.energy_greedy(K, V, valid, budgets, width)
    gram, live = rank1_gram(K, V, valid)
    return gpu_loop.energy_greedy(gram, live, valid, budgets, width)


OPERATOR = operator(
    "rank1(Tensor K, Tensor V, Tensor? valid, Tensor? budgets, int width, bool check) -> Tensor",
    select,
)


def run(problem: ImplicitWeight, request: Request, device: str | None = None) -> Answer:
    """The greedy on the keys and values of the problem: linear kernel, form "truncation".

    Parameters
    ----------
    device : where to compute, "cuda", "cuda:1", "mps", "cpu", ...; None means an accelerator if there is one.
    """
    K, V = keys_values_on(problem, device)
    return on_host(rank1(K, V, problem.k)[0])

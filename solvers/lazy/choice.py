"""Whether to begin without the Gram matrix, and how often to think it over."""

from __future__ import annotations

from solvers.lazy.compiled import inlined

STRIDE = 16  # steps between two forecasts of the work that is left


def lazy_pays(k: int, n: int, d: int, limit: float, overhead: float) -> bool:
    """Whether k of n tokens of width d are chosen faster one by one than on the whole Gram matrix.

    The matrix costs n^2 d / 2 in large tiles whatever k is. Without it the cost grows with k, by products of rows, in
    smaller tiles, and by what each comparison costs beside its product, as much as `overhead` columns. `limit` is the
    share of tokens up to which that is less when products are all that counts; both were measured on the tokens of
    photographs and on independent ones, between which there is little difference at such shares.
    """
    return k <= limit * n * d / (d + overhead)


@inlined
def work_left(work: float, worked: float, s: int, k: int, n: int) -> float:
    """What the steps from s to k will take, after `work` so far, `worked` of it before the last `STRIDE` steps.

    At the lower of the rates of these steps and of all, for work comes in bursts, which do not last. The rate falls with
    the number of tokens that are left.
    """
    left = k - s
    return min((work - worked) / STRIDE, work / s) * left * (1 - left / (2 * (n - s)))

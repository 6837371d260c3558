"""How many tokens to keep. An int counts tokens, a float is the retention ratio; one rounding rule for everybody."""

from __future__ import annotations

import numbers
from collections.abc import Sequence


def check_keep(keep: object) -> int | float:
    """A budget: int >= 1 or float in (0, 1].

    >>> check_keep(64), check_keep(0.5)
    (64, 0.5)
    """
    if isinstance(keep, bool) or not isinstance(keep, numbers.Real):
        raise TypeError(f"keep must be a number of tokens (int) or a retention ratio (float), got {keep!r}")
    if isinstance(keep, numbers.Integral):
        tokens = int(keep)
        if tokens < 1:
            raise ValueError(f"keep must be >= 1 token, got {keep}")
        return tokens
    ratio = float(keep)
    if not 0 < ratio <= 1:
        raise ValueError(f"keep as a retention ratio must be in (0, 1], got {keep}")
    return ratio


def tokens_to_keep(keep: int | float, n: int) -> int:
    """The budget of a unit of n tokens.

    A ratio r gives round(r n), halves to even as in the published codes, and at least 1; an int gives min(keep, n).

    >>> tokens_to_keep(0.098, 576), tokens_to_keep(0.001, 576), tokens_to_keep(64, 50), tokens_to_keep(1.0, 576)
    (56, 1, 50, 576)
    """
    keep = check_keep(keep)
    return min(n, max(1, round(keep * n) if isinstance(keep, float) else keep))


def budgets(keep: int | float, sizes: Sequence[int], samples: Sequence[int]) -> list[int]:
    """The budget of every unit: `sizes` tokens each, unit i belonging to row `samples[i]` of the batch.

    Raises
    ------
    ValueError : an int above all the visual tokens of a sample.

    >>> budgets(4, sizes=[6, 3], samples=[0, 0])
    [4, 3]
    """
    keep = check_keep(keep)
    totals: dict[int, int] = {}
    for n, sample in zip(sizes, samples, strict=True):
        totals[sample] = totals.get(sample, 0) + n
    for sample, total in totals.items():
        if isinstance(keep, int) and keep > total:
            raise ValueError(f"keep must be at most the {total} visual tokens of sample {sample}, got {keep}")
    return [tokens_to_keep(keep, n) for n in sizes]

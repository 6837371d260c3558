"""How many tokens to keep. An int counts tokens, a float is the retention ratio; one rounding rule for everybody."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

BudgetKind = Literal["input", "layer_mean", "final"]


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


def read_keep(text: str) -> int | float:
    """The budget that a command line names: digits alone count tokens, anything else is a retention ratio.

    >>> read_keep("64"), read_keep("0.11")
    (64, 0.11)
    """
    try:
        return check_keep(int(text) if text.strip().lstrip("+-").isdigit() else float(text))
    except ValueError as error:
        raise ValueError(f"keep must be a number of tokens >= 1 or a ratio in (0, 1], got {text!r}") from error


def check_budgets(keeps: Sequence[object]) -> list[int | float]:
    """The budgets of a comparison, each once.

    Raises
    ------
    ValueError : as `check_keep`; 1 (one token) beside 1.0 (all of them), which are equal as numbers and would be taken for
        one budget.

    >>> check_budgets([64, 0.5, 64])
    [64, 0.5]
    """
    found = list(dict.fromkeys(map(check_keep, keeps)))
    if len({type(keep) for keep in map(check_keep, keeps) if keep == 1}) > 1:
        raise ValueError("keep 1 (one token) and 1.0 (all of them) cannot stand in one comparison")
    return found


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


class Spent(NamedTuple):
    """What a run of stages costs in visual tokens, in the three ways that tables count."""

    input: int
    layer_mean: float
    final: int


def spent(n: int, stages: Sequence[tuple[int, int]], layers: int) -> Spent:
    """The three counts for n visual tokens of which `kept` are left from decoder layer `layer` on, stage after stage.

    `input`: tokens that enter layer 0. `layer_mean`: the mean over all layers. `final`: tokens in the last layer.

    Parameters
    ----------
    stages : (layer, kept), layers ascending in [0, layers), kept descending in [0, n]; a stage at layer 0 is pruning
        in front of the language model.

    >>> spent(576, [(2, 30)], layers=32), spent(576, [(0, 64)], layers=32)
    (Spent(input=576, layer_mean=64.125, final=30), Spent(input=64, layer_mean=64.0, final=64))
    """
    at = [layer for layer, _ in stages]
    if any(not 0 <= layer < layers for layer in at) or any(b <= a for a, b in pairwise(at)):
        raise ValueError(f"stages must be at ascending layers in [0, {layers - 1}], got {at}")
    counts = [n, *(kept for _, kept in stages)]
    if any(not 0 <= b <= a for a, b in pairwise(counts)):
        raise ValueError(f"stages must keep fewer and fewer of {n} tokens, got {counts[1:]}")
    starts, ends = [0, *at], [*at, layers]
    total = sum(count * (end - start) for count, start, end in zip(counts, starts, ends, strict=True))
    return Spent(counts[1] if at and at[0] == 0 else n, total / layers, counts[-1])


def layer_counts(n: int, stages: Sequence[tuple[int, int]], layers: int) -> list[int]:
    """How many of n visual tokens are in every decoder layer, for stages as in `spent`.

    >>> layer_counts(9, [(1, 4), (3, 2)], layers=4)
    [9, 4, 4, 2]
    """
    left = dict(stages)
    counts = []
    for layer in range(layers):
        n = left.get(layer, n)
        counts.append(n)
    return counts


def kept_from_layer(budget: int, n: int, kind: BudgetKind, *, layer: int, layers: int) -> int:
    """How many of n tokens stay from decoder layer `layer` on, for a budget of the given kind.

    * ``"input"``: min(budget, n), for layer 0 alone.
    * ``"final"``: min(budget, n).
    * ``"layer_mean"``: all n run through the first `layer` layers, and the mean over all layers is the budget:
      round((layers budget - layer n) / (layers - layer)), halves to even. FastV's 64 of 576 is 30 tokens.

    Raises
    ------
    ValueError : a layer outside [0, layers), a mean that the first layers alone exceed, an unknown kind.

    >>> [kept_from_layer(m, 576, "layer_mean", layer=2, layers=32) for m in (192, 128, 64)]
    [166, 98, 30]
    """
    if kind not in get_args(BudgetKind):
        raise ValueError(f"budget_kind must be one of {', '.join(get_args(BudgetKind))}, got {kind!r}")
    if not 0 <= layer < layers:
        raise ValueError(f"layer must be in [0, {layers - 1}], got {layer}")
    if kind == "input" and layer:
        raise ValueError(f"budget_kind 'input' counts tokens in front of layer 0, but this stage is at layer {layer}")
    if kind != "layer_mean":
        return min(budget, n)
    kept = round((layers * budget - layer * n) / (layers - layer))
    if kept < 1:
        least = (layer * n + layers - layer) / layers
        raise ValueError(
            f"a layer mean of {budget} tokens is out of reach: {n} tokens in the first {layer} of {layers} layers and "
            f"one after them are {least:g} on average"
        )
    return min(kept, n)

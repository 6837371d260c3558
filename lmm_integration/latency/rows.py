"""What is set side by side: the unpruned model with several kernels, and every method with every budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmm_integration.budget import check_budgets

BASELINE = ("none", "sdpa", None)
RANDOM = "randompruner"


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes
    ----------
    method : "none" for the unpruned model, or the class name of a method in lower case.
    kernel : of `KERNELS`; pruned rows run with sdpa.
    keep : the budget, None for the unpruned model.
    pruner : the method, None likewise.
    """

    method: str
    kernel: str = "sdpa"
    keep: int | float | None = None
    pruner: Any = field(default=None, compare=False)

    @property
    def key(self) -> tuple[str, str, int | float | None]:
        """What tells it from the others."""
        return self.method, self.kernel, self.keep


def label(method: str, kernel: str, keep: int | float | None) -> str:
    """As tables and figures call a row.

    >>> label("none", "eager", None), label("divprune", "sdpa", 64)
    ('unpruned, eager', 'divprune 64')
    """
    return f"unpruned, {kernel}" if method == "none" else f"{method} {keep}"


def rows_for(
    methods: Sequence[str], kernels: Sequence[str], budgets: Sequence[int | float], pruner_named: Callable[[str], Any]
) -> list[Row]:
    """The unpruned model with sdpa first, which everything is measured against, then other kernels, then methods.

    `pruner_named` makes a method from its name; all budgets of a method share it, and its relevance tower.
    """
    unpruned = [Row("none", kernel) for kernel in dict.fromkeys(("sdpa", *kernels))]
    pruners = {name: pruner_named(name) for name in methods if name != "none"}
    keeps = check_budgets(budgets)
    return unpruned + [Row(name, "sdpa", keep, pruner) for name, pruner in pruners.items() for keep in keeps]


def method_for(model: Any, name: str, relevance: str | None, *, random_weights: bool) -> Any:
    """A method by name, "random" too, with its default options, for a model.

    Parameters
    ----------
    relevance : for methods that read it, as in `relevance_named`; None with `random_weights` is a CLIP text tower of
        random weights.

    A relevance tower is put where the model is, in its type: a tower on the CPU would be timed for the way there.
    """
    from torch import nn

    from lmm_integration.operation_pruner import reducer_of
    from lmm_integration.pruners.named import check_method, method_named

    full = RANDOM if name.lower() == "random" else name
    made_up = relevance is None and random_weights
    found = check_method(full, "of random weights" if made_up else relevance)
    if made_up and "relevance" in found.requires:
        from lmm_integration.latency.random_weights import random_relevance

        options: dict[str, Any] = {"relevance": random_relevance(model)}
        return found(**options)
    method = method_named(full, relevance)
    for part in vars(getattr(reducer_of(method), "relevance", None) or object).values():
        if isinstance(part, nn.Module):
            part.to(model.device, model.dtype)
    return method

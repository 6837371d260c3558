"""The table of methods, made from what they declare."""

from __future__ import annotations

from lmm_integration.pruners import DOP, METHODS
from lmm_integration.pruners.layer_method import LayerMethod
from lmm_integration.pruners.method import Method

COLUMNS = ("method", "class", "what it keeps", "where", "budget", "needs", "merges", "source")


def methods_table() -> list[dict[str, str]]:
    """One row per method; the keys are `COLUMNS`.

    >>> [row["class"] for row in methods_table()][:2]
    ['DivPrune', 'CDPruner']
    """
    return [
        {
            "method": method.title,
            "class": method.__name__,
            "what it keeps": method.does,
            "where": _where(method),
            "budget": method.budget_kind,
            "needs": ", ".join([*([] if issubclass(method, LayerMethod) else ["features"]), *sorted(method.requires)]),
            "merges": "yes" if method.merges else "no",
            "source": method.source,
        }
        for method in METHODS
    ]


def _where(method: type[Method]) -> str:
    if issubclass(method, DOP):
        return "input, then attention in {} and MLPs in {} of {} layers".format(*method.published)
    return "decoder layer {} of {}".format(*method.published) if issubclass(method, LayerMethod) else "input"

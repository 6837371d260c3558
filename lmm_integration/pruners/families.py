"""Which method serves which model family, read off what methods declare they need and adapters that they offer."""

from __future__ import annotations

from lmm_integration.adapters import FAMILIES, Adapter
from lmm_integration.pruners import METHODS
from lmm_integration.pruners.method import Method

LACKS = {
    "vision_attention": "no class token whose attention is read",
    "reencode": "its pictures are not encoded at another size",
}
OTHER = "any other"


def families() -> dict[str, type[Adapter]]:
    """The adapters by model type, and the generic one as `"any other"`.

    >>> list(families())[0], list(families())[-1]
    ('llava', 'any other')
    """
    return {**FAMILIES, OTHER: Adapter}


def unserved(method: type[Method], family: type[Adapter]) -> str:
    """Why a family cannot be pruned by a method; empty when it can.

    >>> from lmm_integration.adapters import Qwen2_5VL
    >>> from lmm_integration.pruners import ClsAttention, DivPrune
    >>> unserved(DivPrune, Qwen2_5VL), unserved(ClsAttention, Qwen2_5VL)
    ('', 'no class token whose attention is read')
    """
    return "; ".join(LACKS[need] for need in sorted(method.requires & LACKS.keys()) if need not in family.offers)


def families_table() -> list[dict[str, str]]:
    """One row per method: `"method"`, and by model type `"yes"`, how relevance comes, or why not.

    >>> families_table()[0]["qwen2_5_vl"]
    'yes'
    """
    return [
        {"method": method.title} | {name: _served(method, family) for name, family in families().items()}
        for method in METHODS
    ]


def _served(method: type[Method], family: type[Adapter]) -> str:
    if why := unserved(method, family):
        return f"no: {why}"
    if "relevance" in method.requires:
        return "relevance by a text tower or by words" if "patches" in family.offers else "relevance by words"
    return "yes"

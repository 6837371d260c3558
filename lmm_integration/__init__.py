"""Where subset selection is used: inside models, on the command line, in tables and figures of what was measured.

Nothing is imported before it is asked for, so `import lmm_integration` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

_WHERE = {
    "AveragePool": "lmm_integration.pruners",
    "CDPruner": "lmm_integration.pruners",
    "ClipRelevance": "lmm_integration.relevance",
    "ClsAttention": "lmm_integration.pruners",
    "DOP": "lmm_integration.pruners",
    "DecoderShape": "lmm_integration.flops",
    "DivPrune": "lmm_integration.pruners",
    "EmbeddingRelevance": "lmm_integration.relevance",
    "FastV": "lmm_integration.pruners",
    "FeatureResize": "lmm_integration.pruners",
    "IWP": "lmm_integration.pruners",
    "InputResize": "lmm_integration.pruners",
    "RandomPruner": "lmm_integration.pruners",
    "SiglipRelevance": "lmm_integration.relevance",
    "TrimTokenator": "lmm_integration.pruners",
    "TrimTokenatorLC": "lmm_integration.pruners",
    "UniformGrid": "lmm_integration.pruners",
    "VisualTokens": "lmm_integration.tokens",
    "draw_gaps": "lmm_integration.evaluate.gap_figure",
    "draw_kept": "lmm_integration.evaluate.kept_figure",
    "gap_summary": "lmm_integration.evaluate.gap_table",
    "kv_bytes": "lmm_integration.flops",
    "methods_table": "lmm_integration.pruners.table",
    "prefill_flops": "lmm_integration.flops",
    "prune": "lmm_integration.context",
    "prune_inputs": "lmm_integration.pre_llm",
}

__all__ = [
    "DOP",
    "IWP",
    "AveragePool",
    "CDPruner",
    "ClipRelevance",
    "ClsAttention",
    "DecoderShape",
    "DivPrune",
    "EmbeddingRelevance",
    "FastV",
    "FeatureResize",
    "InputResize",
    "RandomPruner",
    "SiglipRelevance",
    "TrimTokenator",
    "TrimTokenatorLC",
    "UniformGrid",
    "VisualTokens",
    "draw_gaps",
    "draw_kept",
    "gap_summary",
    "kv_bytes",
    "methods_table",
    "prefill_flops",
    "prune",
    "prune_inputs",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

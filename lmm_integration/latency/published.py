"""Latencies that papers report. They stand beside measured ones and are never mixed with them."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

WARNING = (
    "Published figures are from other cards and other protocols (software, baseline kernel, text length, what is counted): "
    "compare reductions, not milliseconds, and these only roughly."
)


def published() -> list[dict[str, Any]]:
    """One entry for each figure: method, source (bib key), model, tokens, figure, unit, full, pruned, reduction, protocol.

    `reduction` is 1 - pruned / full, or, where a paper gives no times, what it states itself.

    >>> [entry["method"] for entry in published() if entry["reduction"] > 0.8]
    ['CDPruner', 'DOP']
    """
    entries: list[dict[str, Any]] = json.loads((files("lmm_integration.latency") / "published.json").read_text("utf-8"))
    return entries

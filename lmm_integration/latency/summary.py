"""From timed requests to figures: medians with their spread, ratios within rounds, and where pruning pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lmm_integration.latency.break_even import break_even_batch, break_even_length
from lmm_integration.latency.request import PARTS
from lmm_integration.latency.rows import BASELINE, label
from lmm_integration.latency.study import Line

Group = tuple[Any, ...]


def summary_rows(lines: Sequence[Line], lengths: Sequence[int]) -> list[dict[str, Any]]:
    """One row for each method, kernel, budget and batch, in the order of the lines; skipped lines are left out.

    A row holds method, kernel, keep, batch, label, rounds, and

    * `parts`: name -> median, p5 and p95 in milliseconds, over the rounds;
    * `outputs`: length -> the same for the latency of an output of that length, with `ratio` to the unpruned model with
      sdpa: the median of the rounds' own ratios;
    * `prefill_ratio`: likewise, of the prefill alone;
    * `step`: median milliseconds of a decoding step, None for outputs of one token;
    * `ahead`, `gain`: milliseconds saved against the unpruned model up to the first token, and by each further one:
      medians of the rounds' own differences;
    * `visual`, `layer_tokens`, `kv_bytes`: visual tokens of the first picture before and after, columns of the prompt in
      every layer, bytes of keys and values after the prefill;
    * `peak_bytes`, `held_bytes`: as in `Timed`, the largest of the rounds.

    Ratios and savings are None where the unpruned model is not in the round.

    Parameters
    ----------
    lines : as `run_sweep` gives them.
    lengths : of outputs, each at most that of the runs.
    """
    groups: dict[Group, list[Line]] = {}
    for line in lines:
        if "skipped" not in line:
            groups.setdefault((line["method"], line["kernel"], line["keep"], line["batch"]), []).append(line)
    return [_row(runs, groups.get((*BASELINE, key[3]), []), lengths) for key, runs in groups.items()]


def _row(runs: list[Line], full: list[Line], lengths: Sequence[int]) -> dict[str, Any]:
    first = runs[0]
    against = {line["round"]: line for line in full}
    pairs = [(run, against[run["round"]]) for run in runs if run["round"] in against]
    ends = {n: [run["tokens"][n - 1] for run in runs] for n in lengths}
    peaks = [run["peak_bytes"] for run in runs if run["peak_bytes"] is not None]
    held = [run["held_bytes"] for run in runs if run["held_bytes"] is not None]
    return {
        **{name: first[name] for name in ("method", "kernel", "keep", "batch")},
        "label": label(first["method"], first["kernel"], first["keep"]),
        "rounds": len(runs),
        "parts": {name: spread([run["parts"][name] for run in runs]) for name in PARTS},
        "outputs": {
            n: spread(ends[n]) | {"ratio": _ratio([(a["tokens"][n - 1], b["tokens"][n - 1]) for a, b in pairs])}
            for n in lengths
        },
        "prefill_ratio": _ratio([(a["parts"]["prefill"], b["parts"]["prefill"]) for a, b in pairs]),
        "step": float(np.median([_step(run) for run in runs])) if len(first["tokens"]) > 1 else None,
        "ahead": float(np.median([b["tokens"][0] - a["tokens"][0] for a, b in pairs])) if pairs else None,
        "gain": float(np.median([_step(b) - _step(a) for a, b in pairs])) if pairs else None,
        "visual": first["visual"],
        "layer_tokens": first["columns"],
        "kv_bytes": first["kv_bytes"],
        "peak_bytes": max(peaks, default=None),
        "held_bytes": max(held, default=None),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 5th and 95th percentile.

    >>> spread([3.0, 1.0, 2.0])["median"]
    2.0
    """
    low, middle, high = (float(x) for x in np.percentile(values, (5, 50, 95)))
    return {"median": middle, "p5": low, "p95": high}


def _ratio(pairs: Sequence[tuple[float, float]]) -> float | None:
    return float(np.median([ours / theirs for ours, theirs in pairs])) if pairs else None


def _step(run: Line) -> float:
    """Milliseconds of a decoding step, 0 where there was none."""
    return float((run["tokens"][-1] - run["tokens"][0]) / max(1, len(run["tokens"]) - 1))


def break_even_rows(rows: Sequence[Mapping[str, Any]], longest: int) -> list[dict[str, Any]]:
    """For each pruned method and budget of `summary_rows`, where it pays against the unpruned model with sdpa.

    An entry holds method, keep, longest, and

    * `lengths`: batch -> first and last output length at which it takes no longer, by `break_even_length`, or None;
    * `batches`: output length -> the batch from which on that length is among them, by `break_even_batch`, or None.

    Parameters
    ----------
    rows : of one sweep.
    longest : output of the sweep.
    """
    found = []
    for method, keep in dict.fromkeys((row["method"], row["keep"]) for row in rows if row["method"] != "none"):
        own = [row for row in rows if (row["method"], row["keep"]) == (method, keep) and row["ahead"] is not None]
        spans = {row["batch"]: break_even_length(row["ahead"], row["gain"], longest) for row in own}
        found.append(
            {
                "method": method,
                "keep": keep,
                "longest": longest,
                "lengths": {batch: span and [span.first, span.last] for batch, span in spans.items()},
                "batches": {
                    n: break_even_batch({batch: span is not None and n in span for batch, span in spans.items()})
                    for n in (own[0]["outputs"] if own else ())
                },
            }
        )
    return found

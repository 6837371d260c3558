"""The tables of a latency sweep: stages, outputs, break-even, selection alone, and what papers report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmm_integration.evaluate.gap_table import markdown_table
from lmm_integration.latency.published import WARNING
from lmm_integration.latency.request import PARTS
from lmm_integration.latency.rows import label

Row = Mapping[str, Any]
Table = tuple[tuple[str, ...], list[tuple[str, ...]]]

HOW = (
    "Times are milliseconds, the median over rounds with the 5th and 95th percentile in brackets. Rows ran in turns within "
    "each round; a ratio is the median of the rounds' own ratios to the unpruned model with sdpa. Outputs have their full "
    "length: the end of sequence is not allowed before. Stages are marks on the road that users take, by hooks: see "
    "`lmm_integration.latency.request`."
)
MEMORY = (
    "Peak memory is that of the prefill alone, weights included, and in brackets what it takes beyond what was held when it "
    "began. It is known on CUDA only; on a CPU the bytes of keys and values, which are exact, say what pruning saves."
)


def stage_table(rows: Sequence[Row]) -> Table:
    """One line for each row and batch, the time of every stage."""
    columns = ("method", "batch", "tokens", *PARTS, "prefill ratio")
    return columns, [
        (
            row["label"],
            str(row["batch"]),
            _tokens(row),
            *(_spread(row["parts"][name]) for name in PARTS),
            _ratio(row["prefill_ratio"]),
        )
        for row in rows
    ]


def output_table(rows: Sequence[Row]) -> Table:
    """The latency of outputs, with ratios, and the memory."""
    lengths = list(rows[0]["outputs"])
    heads = [head for n in lengths for head in (f"{n} new", "ratio")]
    columns = ("method", "batch", *heads, "KV MiB", "peak MiB")
    return columns, [
        (
            row["label"],
            str(row["batch"]),
            *(cell for n in lengths for cell in (_spread(row["outputs"][n]), _ratio(row["outputs"][n]["ratio"]))),
            f"{row['kv_bytes'] / 2**20:.1f}",
            _peak(row),
        )
        for row in rows
    ]


def break_even_table(found: Sequence[Row]) -> Table:
    """Where pruning pays: output lengths by batch, batches by output length."""
    if not found:
        return ("method",), []
    batches, lengths = list(found[0]["lengths"]), list(found[0]["batches"])
    columns = ("method", *(f"lengths at batch {b}" for b in batches), *(f"batch for {n} new" for n in lengths))
    return columns, [
        (
            label(row["method"], "sdpa", row["keep"]),
            *(_lengths(row["lengths"].get(b), row["longest"]) for b in batches),
            *(_batch(row["batches"][n]) for n in lengths),
        )
        for row in found
    ]


def selection_table(found: Sequence[Row]) -> Table:
    """Selection alone, by kind of tokens."""
    columns = ("method", "n", "batch", "tokens", "ms")
    return columns, [
        (label(row["method"], "sdpa", row["keep"]), str(row["n"]), str(row["batch"]), row["tokens"], _spread(row))
        for row in found
    ]


def published_table(entries: Sequence[Row]) -> Table:
    """What papers report."""
    columns = ("method", "model", "tokens", "figure", "full", "pruned", "reduction", "protocol", "source")
    return columns, [
        (
            *(str(entry[name] or "-") for name in ("method", "model", "tokens", "figure")),
            *("-" if entry[name] is None else f"{entry[name]:g} {entry['unit']}" for name in ("full", "pruned")),
            f"{entry['reduction']:.0%}",
            entry["protocol"],
            entry["source"],
        )
        for entry in entries
    ]


def latency_page(report: Row, picture: str | None) -> str:
    """A Markdown page of everything in a report of `mmdp latency`, with a picture of this name."""
    rows, skipped = report["rows"], report["skipped"]
    parts = [
        f"# Latency of {report['model']}",
        f"{report['device_name']}, {report['dtype']}, {report['words']} words beside the picture, pictures are "
        f"{report['pictures']}"
        + ("; weights are random, so answers mean nothing." if report["random_weights"] else "."),
        HOW,
        "" if picture is None else f"![Stages of a request, and latency by output length]({picture})",
        "## Stages",
        _markdown(stage_table(rows)) if rows else "Nothing was measured.",
        "## Outputs",
        _markdown(output_table(rows)) if rows else "",
        MEMORY,
        "## Where pruning pays",
        "Lengths and batches of this sweep at which a pruned request takes no longer than the unpruned one with sdpa.",
        _markdown(break_even_table(report["break_even"])),
        "## Selection alone",
        "On tokens that are given, without a model: patches of photographs brought to the model's width, and independent "
        "normal ones. What a method reads beside them is random.",
        _markdown(selection_table(report["selection"])),
        "## Published",
        WARNING,
        _markdown(published_table(report["published"])),
        "## Left out" if skipped else "",
        "\n".join(f"- {left_out(entry)}" for entry in skipped),
        "## Machine",
        "\n".join(f"- {name}: {value}" for name, value in report["machine"].items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _markdown(table: Table) -> str:
    columns, rows = table
    return markdown_table(columns, rows) if rows else "Nothing was measured."


def left_out(entry: Row) -> str:
    name = (
        label(entry["method"], entry.get("kernel", "sdpa"), entry.get("keep")) if "method" in entry else "all methods"
    )
    where = f"on {entry['tokens']} tokens, " if "tokens" in entry else ""
    return f"{name}, {where}batch {entry['batch']}: {entry['skipped']}"


def _tokens(row: Row) -> str:
    before, after = row["visual"]
    return f"{before}" if before == after else f"{before} to {after}"


def _spread(values: Row) -> str:
    if not values["p95"]:
        return "-"
    return f"{_ms(values['median'])} ({_ms(values['p5'])} to {_ms(values['p95'])})"


def _ms(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _peak(row: Row) -> str:
    if row["peak_bytes"] is None:
        return "-"
    return f"{row['peak_bytes'] / 2**20:.0f} ({(row['peak_bytes'] - row['held_bytes']) / 2**20:.0f})"


def _lengths(span: Sequence[int] | None, longest: int) -> str:
    if span is None:
        return f"never within 1 to {longest}"
    return f"{span[0]} to {span[1]}"


def _batch(batch: int | None) -> str:
    return "never within the sweep" if batch is None else f"from {batch}"

"""`mmdp latency`: what pruning saves of the time of a request, stage by stage."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from lmm_integration.commands.arguments import Json, method_labels, names, print_json, whole, whole_numbers

WIDTH = 200


def latency(
    model: Annotated[
        str | None, typer.Option(help="A Hugging Face id, a folder, or tiny, which ships with the package.")
    ] = None,
    random_weights: Annotated[
        str | None,
        typer.Option(help="In place of --model: llava-1.5-7b, llava-1.5-13b, llava-next-7b or tiny, built here."),
    ] = None,
    methods: Annotated[
        str, typer.Option(help="none (unpruned), random, or methods by class name; comma-separated.")
    ] = "none,random,divprune,fastv",
    baselines: Annotated[
        str, typer.Option(help="Kernels of the unpruned model: sdpa, eager, flash_attention_2, compile.")
    ] = "sdpa,eager,flash_attention_2,compile",
    keep: Annotated[str, typer.Option(help="Budgets: tokens (64) or shares of them (0.11), comma-separated.")] = "64",
    batch: Annotated[str, typer.Option(help="Pictures in a request, comma-separated.")] = "1,4,8",
    new_tokens: Annotated[str, typer.Option("--new-tokens", help="Lengths of outputs, comma-separated.")] = "1,32,128",
    words: Annotated[int, whole("--words", "Words of the prompt, with --random-weights.", least=2)] = 64,
    relevance: Annotated[
        str | None, typer.Option(help="For methods that read it: a CLIP or SigLIP checkpoint, or llm.")
    ] = None,
    repeats: Annotated[int, whole("--repeats", "Rounds that count.", least=1)] = 10,
    warmup: Annotated[int, whole("--warmup", "Rounds before them.", least=1)] = 2,
    dtype: Annotated[
        str, typer.Option(help="auto, float32, float16 or bfloat16; auto is float32 on the CPU.")
    ] = "auto",
    device: Annotated[str | None, typer.Option(help="cpu or cuda; by default CUDA where there is one.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for runs, report and figure; run again, it goes on there.")
    ] = None,
    json: Json = False,
) -> None:
    """Vision, relevance, selection, prefill and decoding apart, for batches and lengths of output, and where pruning pays."""
    from lmm_integration.budget import read_keep

    if (model is None) == (random_weights is None):
        raise ValueError("name one model: --model for a checkpoint, or --random-weights for a shape")
    budgets = [read_keep(entry) for entry in names(keep, "--keep")]
    batches, lengths = _counts(batch, "--batch"), sorted(_counts(new_tokens, "--new-tokens"))
    labels = method_labels(methods)
    kernels = names(baselines, "--baselines")
    from lmm_integration.latency.kernels import check_kernels

    check_kernels(kernels)
    if model is not None and relevance is None:
        from lmm_integration.model_files import bundled_folder

        bundled = bundled_folder(model)
        relevance = None if bundled is None else str(bundled / "clip")
    subject = _subject(model, random_weights, labels, relevance, dtype, device, words, max(batches), max(lengths))
    from lmm_integration.commands.progress import Progress
    from lmm_integration.latency.report import latency_report
    from lmm_integration.latency.rows import label

    requests = len(batches) * repeats * (len(set(kernels) | {"sdpa"}) + len(set(labels) - {"none"}) * len(budgets))
    with Progress(requests) as progress:

        def show(line: dict[str, Any], finished: int, total: int) -> None:
            took = line["skipped"] if "skipped" in line else f"{line['whole']:.0f} ms"
            what = f"batch {line['batch']} {label(line['method'], line['kernel'], line['keep'])}: {took}"
            progress.show(what, finished, total)

        try:
            report = latency_report(
                subject,
                labels,
                kernels,
                budgets,
                batches,
                lengths,
                relevance=relevance,
                repeats=repeats,
                warmup=warmup,
                out=out,
                on_line=show,
            )
        except KeyboardInterrupt:
            kept = f"what was timed is kept in {out}; the same command goes on" if out else "--out would have kept it"
            typer.echo(f"mmdp: interrupted: {kept}", err=True)
            raise typer.Exit(130) from None
    if out is not None:
        write(report, out)
    if json:
        print_json(report)
    else:
        print_tables(report)


def _counts(text: str, option: str) -> list[int]:
    found = whole_numbers(text, option)
    if min(found) < 1:
        raise ValueError(f"{option} must name whole numbers >= 1, got {min(found)}")
    return found


def _subject(
    model: str | None,
    shape: str | None,
    methods: list[str],
    relevance: str | None,
    dtype: str,
    device: str | None,
    words: int,
    batch: int,
    new_tokens: int,
) -> Any:
    """The model, when everything that can be known before it is built is right."""
    import torch

    from lmm_integration.latency.clock import Clock
    from lmm_integration.latency.report import loaded_subject, random_subject
    from lmm_integration.latency.rows import RANDOM
    from lmm_integration.pruners.named import check_method

    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if Clock(where).cuda and not torch.cuda.is_available():
        raise ValueError(f"--device {where} is not here: torch sees no CUDA device")
    for name in methods:
        if name != "none":
            tower = relevance or ("of random weights" if shape else None)
            check_method(RANDOM if name == "random" else name, tower)
    if shape is None:
        return loaded_subject(str(model), dtype=dtype, device=where)
    return random_subject(shape, dtype=dtype, device=where, words=words, batch=batch, new_tokens=new_tokens)


def write(report: dict[str, Any], out: Path) -> None:
    """report.json, report.md and, where there is matplotlib, latency.png."""
    import json

    from lmm_integration.evaluate.latency_table import latency_page
    from solvers.records import to_json

    picture = "latency.png" if report["rows"] and find_spec("matplotlib") is not None else None
    (out / "report.json").write_text(json.dumps(to_json(report), allow_nan=False) + "\n", encoding="utf-8")
    (out / "report.md").write_text(latency_page(report, picture), encoding="utf-8")
    if picture is not None:
        from lmm_integration.evaluate.latency_figure import draw_latency

        title = f"{report['model']} on {report['device_name']}, {report['dtype']}"
        draw_latency(report["rows"], title).savefig(out / picture)
    elif report["rows"]:
        typer.echo("mmdp: latency.png needs matplotlib: pip install 'mmdp[report]'", err=True)


def print_tables(report: dict[str, Any]) -> None:
    """Stages, outputs, break-even and selection, on stdout."""
    from rich.console import Console

    from lmm_integration.evaluate import latency_table as tables
    from lmm_integration.evaluate.gap_table import rich_table

    console = Console()
    console.width = max(console.width, WIDTH)
    if not report["rows"]:
        print("nothing was measured")
        return
    for columns, rows in (
        tables.stage_table(report["rows"]),
        tables.output_table(report["rows"]),
        tables.break_even_table(report["break_even"]),
        tables.selection_table(report["selection"]),
    ):
        if rows:
            console.print(rich_table(columns, rows))
    for entry in report["skipped"]:
        print(f"left out: {tables.left_out(entry)}")

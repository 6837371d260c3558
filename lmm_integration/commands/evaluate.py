"""`mmdp evaluate`: what pruning costs in answers, measured on a model, with errors and at equal cost."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmm_integration.commands.arguments import JOBS, Json, Seed, method_labels, names, print_json, whole

if TYPE_CHECKING:
    from lmm_integration.evaluate.accuracy.answers import Line
    from lmm_integration.evaluate.accuracy.bench import Setup
    from lmm_integration.evaluate.accuracy.task import Question

TINY = "tiny"
WIDTH = 180


def evaluate(
    model: Annotated[str, typer.Option(help="tiny, shipped with the package; a Hugging Face id; a folder.")] = TINY,
    methods: Annotated[
        str,
        typer.Option(
            help="none (unpruned), blind (no picture), random, methods by class name, dop:FILE; comma-separated."
        ),
    ] = "none,blind,random,divprune",
    keep: Annotated[
        str, typer.Option(help="Budgets: tokens (64) or shares of them (0.11), comma-separated.")
    ] = "0.25,0.11",
    task: Annotated[
        Path | None,
        typer.Option(help="JSON lines of images, question and answer; by default tiny's own test questions."),
    ] = None,
    limit: Annotated[int, whole("--limit", "Questions in all, every kind with its share.", least=1)] = 300,
    draws: Annotated[int, whole("--draws", "Draws of the random baseline for each question.", least=1)] = 3,
    relevance: Annotated[
        str | None,
        typer.Option(help="For methods that read it: a CLIP or SigLIP checkpoint, or llm; tiny has its own."),
    ] = None,
    sign: Annotated[
        str | None,
        typer.Option("--relevance-sign", help="+1 or -1 in place of the provider's own: which way is relevant."),
    ] = None,
    batch: Annotated[int, whole("--batch", "Pictures in a batch.", least=1)] = 32,
    max_new_tokens: Annotated[int, whole("--max-new-tokens", "Length of the answers.", least=1)] = 16,
    dtype: Annotated[
        str, typer.Option(help="auto, float32, float16 or bfloat16; auto is float32 on the CPU.")
    ] = "auto",
    device: Annotated[str | None, typer.Option(help="By default CUDA where there is one.")] = None,
    jobs: Annotated[
        int | None,
        whole("--jobs", f"Processes side by side, each with a model [default: {JOBS}; 1 with CUDA].", least=1),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for answers, summary, tables and curves; run again, it goes on there.")
    ] = None,
    json: Json = False,
) -> None:
    """Accuracy of a model by pruning method and budget: errors by scene, paired differences, panels of equal cost."""
    from lmm_integration.budget import read_keep

    budgets = [read_keep(entry) for entry in names(keep, "--keep")]
    labels = method_labels(methods)
    if sign not in (None, "1", "+1", "-1"):
        raise ValueError(f"--relevance-sign must be +1 or -1, got {sign!r}")
    if task is None and model.split(":")[0] != TINY:
        raise ValueError("--task is needed: only the tiny model brings its own questions")
    from lmm_integration.evaluate.accuracy.bench import cells
    from lmm_integration.evaluate.accuracy.report import report, write_report
    from lmm_integration.evaluate.accuracy.run import answer_all

    table = cells(labels, budgets, draws)
    setup = _setup(model, tuple(labels), relevance, sign, seed, dtype, device)
    questions = _questions(task, limit, seed)
    facts: dict[str, Any] = {
        "model": model,
        "task": TINY if task is None else str(task),
        "questions": len(questions),
        "kinds": {kind: sum(q.kind == kind for q in questions) for kind in dict.fromkeys(q.kind for q in questions)},
        "limit": limit,
        "seed": seed,
        "max_new_tokens": max_new_tokens,
    }
    lines = _answers(
        lambda on_lines: answer_all(
            setup,
            questions,
            table,
            batch=batch,
            max_new_tokens=max_new_tokens,
            out=out,
            jobs=jobs or _processes(device),
            on_lines=on_lines,
        ),
        len(questions) * len(table),
        out,
    )
    found = report(lines, facts)
    written = [] if out is None else write_report(found, out)
    if json:
        print_json(found)
        return
    _print(found)
    if written:
        print(f"in {out}: {', '.join(['answers.jsonl', *written])}")


def _setup(
    model: str,
    labels: tuple[str, ...],
    relevance: str | None,
    sign: str | None,
    seed: int,
    dtype: str,
    device: str | None,
) -> Setup:
    """What to load; method names and the relevance they need are checked before anything is."""
    from lmm_integration.evaluate.accuracy.bench import BLIND, NONE, RANDOM, Setup
    from lmm_integration.pruners.named import check_method

    source, side = model, None if sign is None else int(sign)
    if model.split(":")[0] == TINY:
        from lmm_integration import tiny

        folder = tiny.folder(*model.split(":")[1:])
        source = str(folder)
        if relevance is None:
            relevance, side = str(folder / "clip"), 1 if side is None else side
    for label in labels:
        if label not in (NONE, BLIND, RANDOM):
            check_method(label, relevance)
    return Setup(model, source, labels, relevance, side, seed, dtype, device)


def _questions(task: Path | None, limit: int, seed: int) -> list[Question]:
    if task is None:
        from lmm_integration import tiny

        return tiny.test_questions(limit, seed=seed)
    from lmm_integration.evaluate.accuracy.sampling import stratified
    from lmm_integration.evaluate.accuracy.task import read_task

    return stratified(read_task(task), limit, seed)


def _processes(device: str | None) -> int:
    import os

    import torch

    if torch.cuda.is_available() and device != "cpu":
        return 1
    return min(JOBS, os.cpu_count() or 1)


def _answers(run: Any, total: int, out: Path | None) -> list[Line]:
    from lmm_integration.commands.progress import Progress

    known = 0
    try:
        with Progress(total) as progress:

            def show(lines: Sequence[Line], finished: int, whole: int) -> None:
                nonlocal known
                known = finished
                done = " ".join(dict.fromkeys(f"{line.method}@{line.keep:g}" for line in lines))
                progress.show(f"{done}: {sum(line.correct for line in lines)} of {len(lines)} right", finished, whole)

            return run(show)
    except KeyboardInterrupt:
        kept = f"are kept in {out}; run it again to go on" if out else "are lost; --out would have kept them"
        print(f"mmdp: interrupted: the {known} finished of {total} answers {kept}", file=sys.stderr)
        raise typer.Exit(130) from None


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console

    from lmm_integration.evaluate.accuracy.table import sections
    from lmm_integration.evaluate.gap_table import rich_table

    console = Console()
    console.width = max(console.width, WIDTH)  # never cut a number short
    for heading, _, columns, rows in sections(
        f"{found['model']}, {found['questions']} questions", found["summary"], found["panels"]
    ):
        console.print(heading, style="bold", markup=False)
        console.print(rich_table(columns, rows))

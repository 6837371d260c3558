"""`mmdp demo`: the certified gap on six photos, and what pruning costs a small model in answers, in tables and pictures."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmm_integration.commands import arguments
from lmm_integration.commands.arguments import Jobs, seconds

if TYPE_CHECKING:
    from solvers.records import Record

BUDGETS = (16, 64)
QUICK_SECONDS = 4.0


def demo(
    out: Annotated[Path, typer.Option(help="Folder for the records, the summary and the pictures.")],
    jobs: Jobs = arguments.JOBS,
    time_limit: Annotated[float | None, seconds("--time-limit", "For each run [default: 10; 4 with --quick].")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A smoke run: one photo, k = 16.")] = False,
) -> None:
    """Six photos, three objectives, greedy against local search against exact; then a small model that answers questions
    with fewer and fewer visual tokens. At most 6 minutes on two cores.

    Run again on the same folder it goes on where it stopped.
    """
    if find_spec("matplotlib") is None:
        raise ImportError("the demo draws with matplotlib: pip install 'mmdp[report]'")
    from solvers.study_plan import plan_study

    tokens = arguments.TOKENS.split(",")[: 1 if quick else None]
    budgets = BUDGETS[:1] if quick else BUDGETS
    limit = time_limit if time_limit is not None else QUICK_SECONDS if quick else 10.0
    objectives, methods = arguments.OBJECTIVES.split(","), arguments.METHODS.split(",")
    plan = plan_study(tokens, objectives, budgets, methods, time_limit=limit)

    from lmm_integration.commands.collect import collect, leave, print_tables, write_summary

    records, stopped = collect(plan, jobs=jobs, out=out, resume=True)
    print_tables(records)
    pictures = {} if stopped else draw(records, tokens, max(budgets), out)
    write_summary(records, out, pictures)
    written = ", ".join(["records.jsonl", "run.json", "summary.md", *pictures])
    print(f"in {out}: {written}")
    if not stopped and find_spec("transformers") is not None:
        from lmm_integration.commands.demo_answers import answer_questions

        answer_questions(out, jobs=jobs, quick=quick)
    leave(records, len(plan.runs), stopped=stopped, out=out, again="run it again to go on")


def draw(records: list[Record], tokens: list[str], k: int, out: Path) -> dict[str, str]:
    """Write the gap chart and one picture of kept patches per photo; file names and their captions."""
    from lmm_integration.evaluate.gap_figure import draw_gaps
    from lmm_integration.evaluate.kept_figure import draw_kept
    from mmdp.instances.names import load

    pictures = {"gaps.png": "Certified gap of each method"}
    draw_gaps(records).savefig(out / "gaps.png")
    for name in tokens:
        photo = name.split("/")[1]
        shown = [record for record in records if record.instance == name and record.k == k]
        draw_kept(load(name), shown).savefig(out / f"kept_{photo}.png")
        pictures[f"kept_{photo}.png"] = f"{photo}: the patches each method keeps, k = {k}"
    return pictures

"""`mmdp gap`: how far each method is from what can be proved, over a grid of instances, objectives and budgets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lmm_integration.commands import arguments
from lmm_integration.commands.arguments import Jobs, Json, Seed, names, print_json, seconds, whole_numbers

BUDGETS = "16,64"


def gap(
    tokens: Annotated[str, typer.Option(help="Instances or token files, comma-separated.")] = arguments.TOKENS,
    k: Annotated[
        str | None, typer.Option("--k", help="Budgets, comma-separated; by default 16,64, or all with --k-path.")
    ] = None,
    objectives: Annotated[str, typer.Option(help="Objectives, comma-separated.")] = arguments.OBJECTIVES,
    methods: Annotated[
        str | None,
        typer.Option(
            help="name, name:backend or name:backend:dtype, comma-separated; by default greedy,local_search,exact, "
            "or greedy with --k-path."
        ),
    ] = None,
    k_path: Annotated[
        bool, typer.Option("--k-path", help="One run of each method against the bounds of every budget, and a plot.")
    ] = False,
    time_limit: Annotated[float, seconds("--time-limit", "For each run.")] = 10.0,
    seed: Seed = 0,
    jobs: Jobs = arguments.JOBS,
    out: Annotated[Path | None, typer.Option(help="Folder for records.jsonl, run.json and summary.md.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a study in --out stopped.")] = False,
    json: Json = False,
) -> None:
    """The certified gap of every method on every problem of a grid."""
    from solvers.study_plan import plan_study

    if resume and out is None:
        raise ValueError("--resume needs --out, the folder to go on in")
    if k_path:
        from lmm_integration.commands.k_path import show_paths

        if resume:
            raise ValueError("--k-path has nothing to resume")
        show_paths(
            names(tokens, "--tokens"),
            names(objectives, "--objectives"),
            None if k is None else whole_numbers(k, "--k"),
            names(methods or "greedy", "--methods"),
            seed=seed,
            out=out,
            json=json,
        )
        return
    plan = plan_study(
        names(tokens, "--tokens"),
        names(objectives, "--objectives"),
        whole_numbers(k or BUDGETS, "--k"),
        names(methods or arguments.METHODS, "--methods"),
        time_limit=time_limit,
        seed=seed,
    )
    from lmm_integration.commands.collect import collect, leave, print_tables, write_summary

    records, stopped = collect(plan, jobs=jobs, out=out, resume=resume)
    if json:
        runs = [record.to_dict() for record in records]
        print_json({"total": len(plan.runs), "interrupted": stopped, "records": runs})
    else:
        print_tables(records)
    if out is not None:
        write_summary(records, out)
    leave(records, len(plan.runs), stopped=stopped, out=out)

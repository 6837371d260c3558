"""`mmdp conform`: does a pruner keep its contract?"""

from __future__ import annotations

from typing import Annotated

import typer

from lmm_integration.commands.arguments import Json, print_json


def conform(
    pruner: Annotated[
        str, typer.Argument(metavar="PACKAGE:PRUNER", help="A class, or an object, with select(tokens, k).")
    ],
    json: Json = False,
) -> None:
    """Check a pruner on tokens and inside a small model; exit 1 when a check fails."""
    from lmm_integration.conformance.run import conform as run
    from lmm_integration.conformance.run import find_pruner

    outcomes = []
    for outcome in run(find_pruner(pruner)):
        outcomes.append(outcome)
        if not json:
            print(f"{outcome.verdict:5} {outcome.name:18} {outcome.detail}", flush=True)
    failed = sum(outcome.verdict == "fail" for outcome in outcomes)
    if json:
        checks = [{"name": o.name, "verdict": o.verdict, "detail": o.detail} for o in outcomes]
        print_json({"pruner": pruner, "conforms": not failed, "checks": checks})
    else:
        print(f"{pruner} {'conforms' if not failed else f'fails {failed} of {len(outcomes)} checks'}")
    if failed:
        raise typer.Exit(1)

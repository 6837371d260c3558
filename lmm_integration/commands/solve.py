"""`mmdp solve`: one problem, one method."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmm_integration.commands.arguments import Json, Seed, print_json, seconds, whole

if TYPE_CHECKING:
    from mmdp import Problem, Selection
    from mmdp.instances import Instance

DEFAULT_BUDGET = 64


def solve(
    tokens: Annotated[str, typer.Argument(metavar="TOKENS", help="An instance, or a .safetensors or .txt file.")],
    objective: Annotated[str, typer.Option(help="max-min, conditional-dpp or implicit-weight.")] = "max-min",
    k: Annotated[int | None, whole("--k", "Tokens to keep; by default the benchmark's own, or 64.")] = None,
    method: Annotated[str, typer.Option(help="auto, greedy, exact, or a name of the catalog.")] = "auto",
    backend: Annotated[str, typer.Option(help="naive, cpu, gpu or auto.")] = "auto",
    time_limit: Annotated[float | None, seconds("--time-limit", "By default 10 for auto, else no limit.")] = None,
    bound: Annotated[str, typer.Option(help="cheap, full or none: what to prove of a heuristic answer.")] = "cheap",
    certificate: Annotated[
        Path | None, typer.Option(help="File (.npz) for the answer and its proof; mmdp check verifies it.")
    ] = None,
    seed: Seed = 0,
    json: Json = False,
) -> None:
    """Choose k tokens and say how good the choice is."""
    import solvers
    from mmdp import Status
    from mmdp.instances.names import load
    from solvers.solve import find_solver, options_of

    instance = load(tokens)
    budget = k if k is not None else min(instance.k or DEFAULT_BUDGET, instance.n)
    problem = instance.problem(objective, budget)
    options: dict[str, Any] = {"backend": backend, "time_limit": time_limit, "seed": seed, "bound": bound}
    if certificate is not None:
        if not certificate.parent.is_dir():
            raise ValueError(f"no folder {certificate.parent} to write {certificate.name} to")
        if "certify" in options_of(find_solver(problem, method, backend, certify=True).load()):
            options["certify"] = True
    selection = solvers.solve(problem, method, **options)
    if certificate is not None:
        _keep(certificate, problem, selection)
    if json:
        facts = selection.to_dict()
        value, proved = facts.pop("objective"), selection.proved
        names = {"instance": instance.name, "objective": objective, "n": instance.n, "k": budget}
        print_json({**names, "value": value, "proved": proved, **facts})
    else:
        print(summary(instance, selection))
        if instance.grid is not None and sys.stdout.isatty():
            print(kept_map(instance.grid, selection.kept.tolist()))
    if selection.status is Status.INTERRUPTED:
        print("mmdp: interrupted: this is the best that was found", file=sys.stderr)
        raise typer.Exit(130)


def _keep(path: Path, problem: Problem, selection: Selection) -> None:
    """Write the file, and say what it does not prove."""
    from mmdp.certificates import save

    save(path, problem, selection)
    if selection.certificate is None and selection.bound < math.inf:
        reason = selection.stats.get("certificate", f"{selection.solver} writes none")
        print(f"mmdp: {path} holds no certificate for the bound: {reason}", file=sys.stderr)


def summary(instance: Instance, selection: Selection) -> str:
    """What was found and what is proved, one fact per line."""
    from lmm_integration.evaluate.verdict import amount

    proved = "proved optimal" if selection.proved else "not proved optimal"
    bound = "nothing proved" if selection.bound == math.inf else f"{selection.bound:.6g}"
    facts = {
        "instance": instance.name,
        "problem": selection.problem,
        "solver": selection.solver,
        "value": f"{selection.objective:.6g}",
        "bound": bound if selection.certificate is None else f"{bound} (certificate: {selection.certificate.kind})",
        "gap": amount(selection.gap, selection.gap_kind),
        "status": f"{selection.status.value} ({proved})",
        "seconds": f"{selection.seconds:.3f}",
        "indices": " ".join(map(str, selection.indices.tolist())),
    }
    return "\n".join(f"{name:9} {fact}" for name, fact in facts.items())


def kept_map(grid: tuple[int, int], kept: list[int]) -> str:
    """The patch grid as text, kept patches filled.

    >>> print(kept_map((2, 3), [0, 5]))
    ■ · ·
    · · ■
    """
    rows, columns = grid
    inside = set(kept)
    return "\n".join(" ".join("■" if r * columns + c in inside else "·" for c in range(columns)) for r in range(rows))

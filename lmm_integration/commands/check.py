"""`mmdp check`: verify what a certificate file claims, without the solver that made it."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmm_integration.commands.arguments import Json, print_json

if TYPE_CHECKING:
    from mmdp.certificates import Claim

REFUTED = 1


def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Written by mmdp solve --certificate.")],
    json: Json = False,
) -> None:
    """Verify a certificate file: 0 proved, 1 a claim that does not hold, 2 a broken file."""
    from mmdp.certificates import CertificateError, load
    from solvers.certificates import certificate_kind

    claim = load(file, resolve=certificate_kind)
    started = time.perf_counter()
    try:
        proved = verified(claim)
    except CertificateError as error:
        if json:
            print_json({"file": str(file), "verified": False, "error": str(error)})
        print(f"mmdp: {file} does not hold: {error}", file=sys.stderr)
        raise typer.Exit(REFUTED) from None
    facts = _facts(claim, proved, time.perf_counter() - started)
    if json:
        print_json({"file": str(file), "verified": True, **facts})
    else:
        print(summary(claim, proved, facts["check_seconds"]))


def verified(claim: Claim) -> float:
    """`mmdp.check`, which also refuses a bound that has no certificate (other than inf, which claims nothing)."""
    import mmdp
    from solvers.solve import one_blas_thread

    selection = claim.selection
    with one_blas_thread():  # the leaves of a tree are many small matrices
        proved = mmdp.check(claim.problem, selection)
    if selection.certificate is None and selection.bound < math.inf:
        raise mmdp.CertificateError(f"the bound {selection.bound} comes without a certificate")
    return proved


def _facts(claim: Claim, proved: float, seconds: float) -> dict[str, Any]:
    problem, selection = claim
    return {
        "objective": problem.name,
        "n": problem.n,
        "k": problem.k,
        "value": selection.objective,
        "bound": selection.bound,
        "proved_bound": proved,
        "gap": selection.gap,
        "gap_kind": selection.gap_kind,
        "status": selection.status.value,
        "certificate": None if selection.certificate is None else selection.certificate.kind,
        "solver": selection.solver,
        "solver_seconds": selection.seconds,
        "check_seconds": seconds,
    }


def summary(claim: Claim, proved: float, seconds: float) -> str:
    """What was verified, one fact per line."""
    from lmm_integration.evaluate.verdict import amount

    problem, selection = claim
    kind = "nothing" if selection.certificate is None else selection.certificate.kind
    bound = "no bound" if proved == math.inf else f"no set has a value above {selection.bound:.9g}"
    facts = {
        "problem": f"{selection.problem}{', constrained' if problem.constraints else ''}",
        "set": f"{len(selection.indices)} tokens of value {selection.objective:.9g}: verified",
        "bound": f"{bound}: proved by {kind}",
        "gap": "0, the set is optimal" if selection.gap == 0 else amount(selection.gap, selection.gap_kind),
        "checked": f"in {seconds:.3f} s; {selection.solver} took {selection.seconds:.3f} s",
    }
    return "\n".join(f"{name:9} {fact}" for name, fact in facts.items())

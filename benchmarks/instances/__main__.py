"""The instance library: `python -m benchmarks.instances check | list | fill | certify | submit`.

* check [PATTERN]: generate every problem whose name holds PATTERN again, recompute the values, verify the certificates.
* list [PATTERN]: one line per entry.
* fill: take over what the study found (benchmarks/results/study).
* certify PATTERN [--seconds S]: solve again and keep certificates, better sets and better bounds.
* submit FILE.npz --instance NAME --by WHO: take over an answer written by `mmdp solve --certificate FILE.npz`.
"""

from __future__ import annotations

import argparse
import inspect
import sys
from datetime import UTC, datetime

import numpy as np

from benchmarks.instances.library import Entry, Key, check, entry_of, improved, read_index, slack, write_index
from benchmarks.study.data import read_cells, read_instances
from benchmarks.study.statistics import Problems
from benchmarks.vit_tokens import load_any
from mmdp import CertificateError, __version__
from mmdp import check as check_claim
from mmdp.certificates import load
from solvers import solve
from solvers.certificates import certificate_kind
from solvers.solve import find_solver
from solvers.study_plan import digest_of


def main() -> int:
    """Run a command; the exit status is 1 where something does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("check", "list", "certify"):
        command = commands.add_parser(name)
        command.add_argument("pattern", nargs="?", default="")
        if name == "certify":
            command.add_argument("--seconds", type=float, default=10.0)
    commands.add_parser("fill")
    submit = commands.add_parser("submit")
    submit.add_argument("file")
    submit.add_argument("--instance", required=True)
    submit.add_argument("--by", required=True)
    arguments = parser.parse_args()
    entries = read_index()
    if arguments.command == "submit":
        return _submit(entries, arguments.file, arguments.instance, arguments.by)
    if arguments.command == "fill":
        return _fill(entries)
    chosen = [entry for key, entry in sorted(entries.items()) if arguments.pattern in label(entry)]
    if arguments.command == "certify":
        return _certify(entries, chosen, arguments.seconds)
    return _check(chosen) if arguments.command == "check" else _list(chosen)


def label(entry: Entry) -> str:
    """ "photo/coffee/raw max-min k=64"."""
    return f"{entry.instance} {entry.objective} k={entry.k}"


def _today() -> str:
    return datetime.now(UTC).date().isoformat()


def _list(entries: list[Entry]) -> int:
    for entry in entries:
        state = "optimal" if entry.optimal else f"bound {entry.upper:.9g}"
        print(
            f"{label(entry)}: {entry.value:.9g}, {state}{', certificate ' * bool(entry.certificate)}{entry.certificate or ''}"
        )
    print(f"{len(entries)} entries, {sum(entry.optimal for entry in entries)} proved optimal")
    return 0


def _check(entries: list[Entry]) -> int:
    wrong = certified = 0
    for entry in entries:
        try:
            certified += "bound" in check(entry)
        except (CertificateError, ValueError, OSError) as error:
            wrong += 1
            print(f"{label(entry)}: {error}", file=sys.stderr)
    print(f"{len(entries) - wrong} of {len(entries)} entries hold, {certified} of them with a verified certificate")
    return int(wrong > 0)


def _fill(entries: dict[Key, Entry]) -> int:
    """Best values and bounds of the study; values are recomputed, bounds are the word of the exact solvers."""
    cells, digests = Problems(read_cells()), read_instances()
    news = 0
    for group in sorted(cells.sound):
        name, objective, k = group
        runs = cells.cells[group].values()
        best = max((run for run in runs if run.value is not None), key=lambda run: run.value)
        tightest = min((run for run in runs if run.bound is not None), key=lambda run: run.bound)
        problem = load_any(name).problem(objective, k)
        by = "mmdp {} {}, {}".format
        new = entry_of(
            name,
            problem,
            best.kept(problem.n),
            by(__version__, best.method, _today()),
            max(tightest.bound, best.value),
            by(__version__, tightest.method, _today()),
        )
        if new.digest != digests[name]["digest"]:
            raise ValueError(f"{name} has the digest {new.digest} here, {digests[name]['digest']} in the study")
        entries[new.key], better = improved(entries.get(new.key), new)
        news += better
    write_index(entries)
    print(f"{news} entries are new or better, {len(entries)} in all")
    return 0


def _certify(entries: dict[Key, Entry], chosen: list[Entry], seconds: float) -> int:
    news = 0
    for entry in chosen:
        problem = entry.problem()
        able = "certify" in inspect.signature(find_solver(problem, "exact").load()).parameters
        answer = solve(problem, "exact", time_limit=seconds, **({"certify": True} if able else {}))
        by = f"mmdp {__version__} {answer.solver}, {_today()}"
        new = entry_of(entry.instance, problem, answer.kept, by, answer.bound, by)
        certificate = answer.certificate
        if certificate is not None:
            proved = check_claim(problem, answer)
            if proved > new.upper + slack(new.objective, new.value):
                certificate = None
        entries[entry.key], better = improved(entry, new, certificate)
        news += better
        write_index(entries)
    print(f"{news} of {len(chosen)} entries are better now")
    return 0


def _submit(entries: dict[Key, Entry], file: str, name: str, by: str) -> int:
    """A claim from outside: nothing is taken over that is not verified here."""
    try:
        claim = load(file, resolve=certificate_kind)
        instance = load_any(name)
        objective, k = claim.problem.name, claim.problem.k
        problem = instance.problem(objective, k)
        proved = check_claim(problem, claim.selection)
    except (CertificateError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    source = f"{by}, {_today()}"
    new = entry_of(name, problem, np.sort(claim.selection.indices), source, proved, source)
    old = entries.get(new.key)
    if old is not None and old.digest != digest_of(instance):
        print(f"{name} is not the same data here as in the index", file=sys.stderr)
        return 1
    entries[new.key], better = improved(old, new, claim.selection.certificate)
    write_index(entries)
    print(f"{label(new)}: {'taken over' if better else 'no better than what is known'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

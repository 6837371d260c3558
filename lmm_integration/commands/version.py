"""`mmdp version`: what a bug report needs."""

from __future__ import annotations

from lmm_integration.commands.arguments import Json, print_json


def version(json: Json = False) -> None:
    """Versions of mmdp and what it builds on, and the machine."""
    from solvers.environment import environment

    facts = environment()
    if json:
        print_json(facts)
        return
    packages = facts.pop("packages")
    for name, fact in {**facts, **packages}.items():
        print(f"{name:13} {'not installed' if fact is None else fact}")

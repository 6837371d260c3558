"""`mmdp instances`: what can be named wherever tokens are asked for."""

from __future__ import annotations

from lmm_integration.commands.arguments import Json, print_json

EXAMPLES = 6


def instances(json: Json = False) -> None:
    """The instances there are; token files (.safetensors) and MDPLIB files (.txt) are taken too."""
    from mmdp.instances.names import describe

    families = describe()
    if json:
        keys = ("pattern", "n", "d", "summary", "examples")
        print_json({"families": [{key: getattr(family, key) for key in keys} for family in families]})
        return
    for family in families:
        print(f"{family.pattern}\n    {family.summary}; n: {family.n}; d: {family.d}")
        print(f"    for example {', '.join(family.examples[:EXAMPLES])}\n")
    print("<path>.safetensors or <path>.txt\n    captured tokens, or an MDPLIB file")

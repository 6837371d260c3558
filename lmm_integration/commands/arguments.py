"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

import typer

JOBS = 2
PHOTOS = ("astronaut", "coffee", "chelsea", "motorcycle_left", "china", "flower")
TOKENS = ",".join(f"photo/{name}/pca" for name in PHOTOS)
OBJECTIVES = "max-min,conditional-dpp,implicit-weight"
METHODS = "greedy,local_search,exact"


def _number(kind: type[int] | type[float], what: str, least: int) -> Callable[[str], Any]:
    """A parser that names the value and the allowed range when it refuses."""

    def parse(text: Any) -> Any:
        try:
            number = kind(text)
        except ValueError:
            number = None
        if number is None or not least <= number < math.inf:
            raise typer.BadParameter(f"must be {what} >= {least}, got {text!r}")
        return number

    return parse


def whole(option: str, help: str, least: int = 0) -> Any:
    """An option that takes a whole number."""
    return typer.Option(option, help=help, metavar="INTEGER", parser=_number(int, "a whole number", least))


def seconds(option: str, help: str) -> Any:
    """An option that takes a finite number of seconds."""
    return typer.Option(option, help=help, metavar="SECONDS", parser=_number(float, "a finite number of seconds", 0))


Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Seed = Annotated[int, whole("--seed", "Seed of everything random.")]
Jobs = Annotated[int, whole("--jobs", "Runs side by side.", least=1)]


def names(text: str, option: str) -> list[str]:
    """The entries of a comma-separated list, without repetitions.

    >>> names("greedy, exact,greedy", "--methods")
    ['greedy', 'exact']
    """
    entries = [entry.strip() for entry in text.split(",")]
    if "" in entries:
        raise ValueError(f"{option} must be a comma-separated list without empty entries, got {text!r}")
    return list(dict.fromkeys(entries))


def method_labels(text: str) -> list[str]:
    """The entries of --methods: methods in lower case, the file behind a colon as it stands.

    >>> method_labels("DivPrune, DOP:Runs/Policy.json, divprune")
    ['divprune', 'dop:Runs/Policy.json']
    """
    parts = (entry.partition(":") for entry in names(text, "--methods"))
    return list(dict.fromkeys(method.lower() + colon + file for method, colon, file in parts))


def whole_numbers(text: str, option: str) -> list[int]:
    """The same for whole numbers.

    >>> whole_numbers("16,64", "--k")
    [16, 64]
    """
    try:
        return list(dict.fromkeys(int(entry) for entry in names(text, option)))
    except ValueError as error:
        raise ValueError(f"{option} must be a comma-separated list of whole numbers, got {text!r}") from error


def print_json(value: Any) -> None:
    """One strict JSON object on stdout."""
    import json

    from solvers.records import to_json

    print(json.dumps(to_json(value), allow_nan=False))

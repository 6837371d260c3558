"""Methods by the name that a command line takes."""

from __future__ import annotations

import difflib
from typing import Any

from lmm_integration.pruners import DOP, METHODS
from lmm_integration.pruners.method import Method
from lmm_integration.relevance import relevance_named


def method_names() -> list[str]:
    """The class names in lower case.

    >>> "divprune" in method_names()
    True
    """
    return [method.__name__.lower() for method in METHODS]


def check_method(name: str, relevance: str | None = None) -> type[Method]:
    """The class of a method; nothing is loaded.

    Raises
    ------
    ValueError : no such method; a method that reads relevance, without a name for it; a file for any but DOP.
    """
    plain, colon, _ = name.partition(":")
    found = {method.__name__.lower(): method for method in METHODS}.get(plain.lower())
    if found is None:
        near = difflib.get_close_matches(plain.lower(), method_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(method_names())}"
        raise ValueError(f"unknown method {name!r}; {hint}")
    if colon and found is not DOP:
        raise ValueError(f"dop alone takes a file, as in dop:policy.json, got {name!r}")
    if "relevance" in found.requires and relevance is None:
        raise ValueError(f"{name} needs relevance: name a CLIP or SigLIP checkpoint, or llm, with --relevance")
    return found


def method_named(name: str, relevance: str | None = None) -> Any:
    """A method with its default options.

    Parameters
    ----------
    name : of `method_names`, in any case; "dop:FILE" is DOP with the policy of a file and the reducer it was made for.
    relevance : for methods that read it, see `relevance_named`.

    Raises
    ------
    ValueError : as `check_method`; a tower or a file that cannot be read.
    """
    found = check_method(name, relevance)
    if file := name.partition(":")[2]:
        from lmm_integration.calibration.policy_file import load_dop, load_policy

        reducer = str(load_policy(file)[1].settings.get("reducer")).partition("(")[0]
        return load_dop(file, method_named(reducer, relevance))
    if relevance is None or "relevance" not in found.requires:
        return found()
    options: dict[str, Any] = {"relevance": relevance_named(relevance)}
    return found(**options)

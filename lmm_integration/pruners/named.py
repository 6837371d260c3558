"""Methods by the name that a command line takes."""

from __future__ import annotations

import difflib
from typing import Any

from lmm_integration.pruners import METHODS
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
    ValueError : no such method; a method that reads relevance, without a name for it.
    """
    found = {method.__name__.lower(): method for method in METHODS}.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name.lower(), method_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(method_names())}"
        raise ValueError(f"unknown method {name!r}; {hint}")
    if "relevance" in found.requires and relevance is None:
        raise ValueError(f"{name} needs relevance: name a CLIP or SigLIP checkpoint, or llm, with --relevance")
    return found


def method_named(name: str, relevance: str | None = None) -> Any:
    """A method with its default options.

    Parameters
    ----------
    name : of `method_names`, in any case.
    relevance : for methods that read it, see `relevance_named`.

    Raises
    ------
    ValueError : as `check_method`; a tower that cannot be read.
    """
    found = check_method(name, relevance)
    if relevance is None or "relevance" not in found.requires:
        return found()
    options: dict[str, Any] = {"relevance": relevance_named(relevance)}
    return found(**options)

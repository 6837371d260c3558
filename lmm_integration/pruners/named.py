"""Methods by the name that a command line takes."""

from __future__ import annotations

import dataclasses
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
    """The class of a method; nothing but the file of a policy is loaded.

    Raises
    ------
    ValueError : no such method; a method that reads relevance, without a name for it; a file for any but DOP, or one
        that holds no policy.
    """
    found = _class(name)
    if "relevance" in token_chooser(name).requires and relevance is None:
        raise ValueError(f"{name} needs relevance: name a CLIP or SigLIP checkpoint, or llm, with --relevance")
    return found


def token_chooser(name: str) -> type[Method]:
    """The class that chooses tokens: the method itself, or the reducer that the policy of a file was made for."""
    found, file = _class(name), name.partition(":")[2]
    if not file:
        return found
    from lmm_integration.calibration.policy_file import load_policy

    return _class(str(load_policy(file)[1].settings.get("reducer")).partition("(")[0])


def method_named(name: str, relevance: str | None = None, sign: int | None = None) -> Any:
    """A method with its default options.

    Parameters
    ----------
    name : of `method_names`, in any case; "dop:FILE" is DOP with the policy of a file and the reducer it was made for.
    relevance : for methods that read it, see `relevance_named`; with `sign` in place of its own.

    Raises
    ------
    ValueError : as `check_method`; a tower that cannot be read.
    """
    found, chooser = check_method(name, relevance), token_chooser(name)
    options: dict[str, Any] = {}
    if relevance is not None and "relevance" in chooser.requires:
        provider = relevance_named(relevance)
        options["relevance"] = provider if sign is None else dataclasses.replace(provider, sign=sign)
    if not (file := name.partition(":")[2]):
        return found(**options)
    from lmm_integration.calibration.policy_file import load_dop

    return load_dop(file, chooser(**options))


def _class(name: str) -> type[Method]:
    plain, colon, file = name.partition(":")
    found = {method.__name__.lower(): method for method in METHODS}.get(plain.lower())
    if found is None:
        near = difflib.get_close_matches(plain.lower(), method_names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(method_names())}"
        raise ValueError(f"unknown method {name!r}; {hint}")
    if colon and (found is not DOP or not file):
        raise ValueError(f"dop alone takes a file, as in dop:policy.json, got {name!r}")
    return found

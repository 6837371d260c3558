"""Run every check on one pruner."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from lmm_integration.conformance import in_a_model, on_tokens
from lmm_integration.conformance.outcome import BreachError, NotApplicableError, Outcome


def conform(pruner: Any) -> Iterator[Outcome]:
    """One outcome after another, as the checks end.

    On tokens: exact budgets, independence of the units of a batch, repeatability, permutation, precision, odd tokens,
    merged tokens. In a small LLaVA with random weights: all tokens kept is the unpruned model bit for bit, the cache is
    shorter, the work is less, decoding with and without the cache agree. A pruner that goes by the place of a token, or
    by chance, says so with a class attribute `positional = True`.

    Parameters
    ----------
    pruner : anything with `select(tokens, k)`.

    Raises
    ------
    TypeError : no `select`.

    Examples
    --------
    >>> from lmm_integration import DivPrune
    >>> {outcome.verdict for outcome in conform(DivPrune())} <= {"pass", "skip"}
    True
    """
    if not callable(getattr(pruner, "select", None)):
        raise TypeError(f"a pruner must have a method select(tokens, k), got {pruner!r}")
    for check in on_tokens.CHECKS:
        yield _outcome(check.__name__, partial(check, pruner))
    if "relevance" in getattr(pruner, "requires", ()) and getattr(pruner, "relevance", None) is None:
        for inside in in_a_model.CHECKS:
            yield Outcome(_title(inside.__name__), "skip", "it needs a relevance tower, and this one has none")
        return
    model = in_a_model.small_llava()
    for inside in in_a_model.CHECKS:
        yield _outcome(inside.__name__, partial(inside, pruner, model))


def find_pruner(where: str) -> Any:
    """The pruner of "package.module:Name": an object, or a class or function that makes one without arguments.

    Raises
    ------
    ValueError : no such module or name, or nothing that has `select`.
    """
    module, colon, name = where.partition(":")
    if not colon or not module or not name:
        raise ValueError(f"a pruner is named like package.module:Name, got {where!r}")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ValueError(f"cannot import {module!r}: {error}") from error
    except AttributeError:
        raise ValueError(f"{module} has no {name!r}") from None
    try:
        makes_one = isinstance(found, type) or (callable(found) and not hasattr(found, "select"))
        pruner = found() if makes_one else found
    except TypeError as error:
        raise ValueError(f"{where} cannot be made without arguments: {error}") from error
    if not callable(getattr(pruner, "select", None)):
        raise ValueError(f"{where} has no method select(tokens, k)")
    return pruner


def _outcome(name: str, check: Callable[[], str]) -> Outcome:
    try:
        return Outcome(_title(name), "pass", check())
    except NotApplicableError as reason:
        return Outcome(_title(name), "skip", str(reason))
    except BreachError as breach:
        return Outcome(_title(name), "fail", str(breach))
    except Exception as error:  # whatever the pruner raised is what the report is for
        return Outcome(_title(name), "fail", f"{type(error).__name__}: {error}")


def _title(name: str) -> str:
    return name.replace("_", " ")

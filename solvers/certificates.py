"""The kinds of certificates that exact solvers write, beside those of `mmdp.certificates`."""

from __future__ import annotations

import importlib
from typing import Any

from mmdp.certificates import KINDS, Certificate

# kind -> module:class, named and not imported: their verifiers are compiled
TREES = {
    "clique-tree": "solvers.exact.max_min.tree_log:CliqueTree",
    "log-det-tree": "solvers.exact.log_det.tree_log:LogDetTree",
    "rank1-tree": "solvers.exact.rank1.tree_log:Rank1Tree",
}


def certificate_kind(kind: str) -> type[Certificate]:
    """The class of any kind, for `mmdp.certificates.load`; ValueError for an unknown one.

    Examples
    --------
    >>> certificate_kind("theta").__name__
    'ThetaCertificate'
    """
    if kind in KINDS:
        return KINDS[kind]
    if kind not in TREES:
        raise ValueError(f"unknown kind of certificate {kind!r}; there are {', '.join([*KINDS, *TREES])}")
    module, _, name = TREES[kind].partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Certificate) and found.kind == kind):
        raise RuntimeError(f"{TREES[kind]} is not the certificate of kind {kind!r}")
    return found

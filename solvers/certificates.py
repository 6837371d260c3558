"""The kinds of certificates that exact solvers write, beside those of `mmdp.certificates`."""

from __future__ import annotations

import importlib
from typing import Any

from mmdp.certificates import Certificate, certificate_class

# kind -> module:class, named and not imported: their verifiers are compiled
TREES = {
    "clique-tree": "solvers.exact.max_min.tree_log:CliqueTree",
    "rank1-tree": "solvers.exact.rank1.tree_log:Rank1Tree",
}


def certificate_kind(kind: str) -> type[Certificate]:
    """The class of any kind, for `mmdp.certificates.load`.

    Examples
    --------
    >>> certificate_kind("theta").__name__
    'ThetaCertificate'
    """
    if kind not in TREES:
        return certificate_class(kind)
    module, _, name = TREES[kind].partition(":")
    found: Any = getattr(importlib.import_module(module), name)
    if not (isinstance(found, type) and issubclass(found, Certificate) and found.kind == kind):
        raise RuntimeError(f"{TREES[kind]} is not the certificate of kind {kind!r}")
    return found

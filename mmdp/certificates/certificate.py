"""What a certificate is: data from which anybody can recompute a bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from mmdp.problem import Problem


class CertificateError(Exception):
    """A claim does not hold."""


class Certificate(ABC):
    """Proof of an upper bound on the optimum of a problem.

    A kind is a frozen dataclass whose fields are numbers and numeric arrays, with a name of its own in `kind`. Its
    `__post_init__` turns what comes from a file into the types it needs and raises ValueError where that fails, so
    that `arrays` and `from_arrays` need not be written again.

    Nothing in a certificate is believed: `verify` uses its data as hints and recomputes the bound from the arrays of
    the problem, with margins for its own rounding.
    """

    kind: ClassVar[str]

    @abstractmethod
    def verify(self, problem: Problem) -> float:
        """The rigorous upper bound on max {value(S) : |S| = k} that this proves.

        Constraints of the problem are ignored: they only shrink the set of choices.

        Raises
        ------
        CertificateError : where it proves nothing about the problem; one sentence says why.
        """

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The fields as numeric arrays, for a `.npz` file without pickle."""
        return {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Self:
        """The certificate again; ValueError where arrays are missing, unknown or of the wrong form."""
        expected = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if sorted(arrays) != sorted(expected):
            raise ValueError(f"a {cls.kind} certificate holds {', '.join(expected)}, got {', '.join(sorted(arrays))}")
        return cls(**arrays)

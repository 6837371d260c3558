"""Files that hold a problem, an answer and the proof of its bound; `.npz` without pickle."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mmdp.certificates import fields
from mmdp.certificates.angle import AngleCertificate
from mmdp.certificates.certificate import Certificate
from mmdp.certificates.colouring import ColouringCertificate
from mmdp.certificates.ddfact import DDFactCertificate
from mmdp.certificates.plain import (
    HadamardCertificate,
    OnlyChoiceCertificate,
    RowSumCertificate,
    SimplexCertificate,
    SpectralCertificate,
)
from mmdp.certificates.problem_arrays import problem_from_arrays, problem_to_arrays
from mmdp.certificates.qp import QPCertificate
from mmdp.certificates.theta import ThetaCertificate
from mmdp.problem import Problem
from mmdp.selection import Selection, Status

Arrays = Mapping[str, npt.NDArray[Any]]
FORMAT = "mmdp certificate 1"
KINDS: dict[str, type[Certificate]] = {
    kind.kind: kind
    for kind in (
        AngleCertificate,
        ColouringCertificate,
        DDFactCertificate,
        HadamardCertificate,
        OnlyChoiceCertificate,
        QPCertificate,
        RowSumCertificate,
        SimplexCertificate,
        SpectralCertificate,
        ThetaCertificate,
    )
}
CLAIM = ("indices", "objective", "bound", "status", "solver", "seconds")


class Claim(NamedTuple):
    """What a file holds; `mmdp.check(*claim)` says whether it is true."""

    problem: Problem
    selection: Selection


def certificate_class(kind: str) -> type[Certificate]:
    """The class of a kind that numpy alone verifies; ValueError for others."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of certificate {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind]


def save(path: str | Path, problem: Problem, selection: Selection) -> None:
    """Write a problem, an answer to it, and its certificate to one `.npz` file.

    The file holds the arrays that the problem was given (features in their own dtype, distances, kernel, relevance;
    for implicit weights the Gram matrix), k, the constraints, the claim, and the arrays of the certificate.

    Parameters
    ----------
    path : written as it is named; its folder must exist.
    problem : one of the objectives of `mmdp`.
    selection : with or without a certificate; figures of the solver (`stats`) are left out.

    Raises
    ------
    TypeError : an objective of the user's own, or a certificate with other fields than numbers.

    Examples
    --------
    >>> import tempfile
    >>> from mmdp import MaxMinDiversity, check
    >>> from solvers import solve
    >>> problem = MaxMinDiversity.from_features(np.eye(4), k=3)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/answer.npz", problem, solve(problem, "greedy"))
    ...     check(*load(f"{folder}/answer.npz"))
    1.0
    """
    arrays = {f"problem/{name}": array for name, array in problem_to_arrays(problem).items()}
    for name in CLAIM:
        value = getattr(selection, name)
        arrays[f"selection/{name}"] = np.asarray(value.value if isinstance(value, Status) else value)
    certificate = selection.certificate
    if certificate is not None:
        arrays["certificate"] = np.asarray(certificate.kind)
        arrays |= {f"certificate/{name}": array for name, array in certificate.arrays().items()}
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise TypeError(f"{name} must be a plain array, got dtype {array.dtype}")
    with Path(path).open("wb") as file:
        np.savez_compressed(file, format=np.asarray(FORMAT), **arrays)  # type: ignore[arg-type]


def load(path: str | Path, *, resolve: Callable[[str], type[Certificate]] = certificate_class) -> Claim:
    """Read a file of `save`. Nothing in it is checked but its form; `mmdp.check` checks what it claims.

    Parameters
    ----------
    path : a file of `save`.
    resolve : from the kind of a certificate to its class; `solvers.certificates.certificate_kind` also knows the
        kinds of the exact solvers.

    Raises
    ------
    ValueError : not such a file, cut short, or edited so that its parts do not fit.
    FileNotFoundError : there is no such file.
    """
    try:
        with Path(path).open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: np.asarray(file[name]) for name in file}
    except (ValueError, TypeError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path} is not a certificate file, or is damaged: {error}") from error
    try:
        return _claim(arrays, resolve)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path} is not a valid certificate file: {reason}") from error


def _claim(arrays: Arrays, resolve: Callable[[str], type[Certificate]]) -> Claim:
    version = fields.text(arrays["format"], "format")
    if version != FORMAT:
        raise ValueError(f"its format is {version!r}, this version reads {FORMAT!r}")
    problem = problem_from_arrays(_under(arrays, "problem/"))
    certificate = None
    if "certificate" in arrays:
        certificate = resolve(fields.text(arrays["certificate"], "certificate")).from_arrays(
            _under(arrays, "certificate/")
        )
    indices = arrays["selection/indices"]
    if indices.ndim != 1 or (indices.size and indices.dtype.kind not in "iu"):
        raise ValueError(f"indices must be a list of whole numbers, got {indices.dtype} of shape {indices.shape}")
    selection = Selection(
        indices=indices.astype(np.int64),
        objective=_real(arrays, "selection/objective"),
        bound=_real(arrays, "selection/bound"),
        status=Status(fields.text(arrays["selection/status"], "selection/status")),
        solver=fields.text(arrays["selection/solver"], "selection/solver"),
        problem=f"{problem.name} n={problem.n} k={problem.k}",
        gap_kind=problem.gap_kind,
        seconds=_real(arrays, "selection/seconds"),
        certificate=certificate,
    )
    return Claim(problem, selection)


def _real(arrays: Arrays, name: str) -> float:
    value = arrays[name]
    if value.ndim or value.dtype.kind not in "fiu" or math.isnan(value):
        raise ValueError(f"{name} must be one number, got {value.dtype} of shape {value.shape}")
    return float(value)


def _under(arrays: Arrays, prefix: str) -> dict[str, npt.NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}

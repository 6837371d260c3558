"""Independent checks of what a solver claims."""

from __future__ import annotations

import math

import numpy as np

from mmdp.certificates.certificate import CertificateError
from mmdp.checks import as_subset
from mmdp.problem import Problem
from mmdp.selection import Selection, Status

TOLERANCE = 1e-9


def check(problem: Problem, selection: Selection) -> float:
    """Raise CertificateError unless `selection` is what it says for `problem`.

    Checked: k distinct indices in range, the constraints, the objective by its definition (relative tolerance 1e-9),
    and, where there is a certificate, that it proves a bound of at most `selection.bound` (to 1e-9, relative, or in
    nats for log det). A bound without a certificate stays the word of the solver.

    Returns
    -------
    float : the upper bound that was verified here; inf without a certificate.

    Examples
    --------
    >>> from mmdp import MaxMinDiversity, check
    >>> from solvers import solve
    >>> problem = MaxMinDiversity.from_features([[1, 0], [0, 1], [-1, 0], [1, 1]], k=2)
    >>> check(problem, solve(problem, "farthest_first", bound="full"))
    2.0
    """
    _check_set(problem, selection)
    if selection.certificate is None:
        return math.inf
    try:
        with np.errstate(
            all="ignore"
        ):  # absurd numbers in a certificate end as a bound of inf or NaN, which is refused
            proved = selection.certificate.verify(problem)
    except np.linalg.LinAlgError as error:
        raise CertificateError(f"the {selection.certificate.kind} certificate cannot be evaluated: {error}") from error
    slack = TOLERANCE if problem.gap_kind == "absolute" else 0.0
    if not (proved <= selection.bound or math.isclose(proved, selection.bound, rel_tol=TOLERANCE, abs_tol=slack)):
        raise CertificateError(
            f"the {selection.certificate.kind} certificate proves the bound {proved}, not {selection.bound}"
        )
    return proved


def _check_set(problem: Problem, selection: Selection) -> None:
    if selection.status is Status.INFEASIBLE:
        if len(selection.indices):
            raise CertificateError("an infeasible answer must hold no indices")
        return
    try:
        subset = as_subset(selection.indices, problem.n)
    except (TypeError, ValueError) as error:
        raise CertificateError(str(error)) from error
    if len(subset) != problem.k:
        raise CertificateError(f"the problem asks for {problem.k} tokens, got {len(subset)}")
    broken = problem.constraints.violation(subset)
    if broken:
        raise CertificateError(f"constraint broken: {broken}")
    value = problem.value(subset)
    same = value == selection.objective or math.isclose(
        value, selection.objective, rel_tol=TOLERANCE, abs_tol=TOLERANCE
    )
    if not same:
        raise CertificateError(f"the objective is {value}, got {selection.objective}")

"""What one check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "skip"]


class BreachError(Exception):
    """A pruner did something it must not do; the message says what."""


class NotApplicableError(Exception):
    """A check that does not apply to this pruner; the message says why."""


@dataclass(frozen=True)
class Outcome:
    """One line of the report.

    Attributes
    ----------
    name : of the check.
    verdict : "pass", "fail" or "skip".
    detail : what was seen, or why it was skipped.
    """

    name: str
    verdict: Verdict
    detail: str

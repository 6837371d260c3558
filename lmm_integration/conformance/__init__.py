"""Does a pruner keep its contract? Checks that run on anybody's, on tokens and inside a small model."""

from lmm_integration.conformance.outcome import Outcome
from lmm_integration.conformance.run import conform

__all__ = ["Outcome", "conform"]

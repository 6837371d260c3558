"""The optimum is an ensemble: samples of the optimal and near-optimal sets, and the best among them by a second criterion."""

from solvers.ensemble.refine import CRITERIA, refined
from solvers.ensemble.sample import optimal_sets

__all__ = ["CRITERIA", "optimal_sets", "refined"]

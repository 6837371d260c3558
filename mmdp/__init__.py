"""What is asked, and what can be proved: ground sets, objectives, bounds, guarantees, instances."""

from mmdp.bound_path import bound_path
from mmdp.bounds import upper_bounds
from mmdp.certificates import CertificateError
from mmdp.certify import check
from mmdp.constraints import Constraints
from mmdp.ground_set import GroundSet
from mmdp.objectives import OBJECTIVES, ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity
from mmdp.problem import Problem
from mmdp.selection import Selection, Status, optimality_gap

__version__ = "0.1.0"

__all__ = [
    "OBJECTIVES",
    "CertificateError",
    "ConditionalDPP",
    "Constraints",
    "GroundSet",
    "ImplicitWeight",
    "MaxMinDiversity",
    "MaxSumDiversity",
    "Problem",
    "Selection",
    "Status",
    "bound_path",
    "check",
    "optimality_gap",
    "upper_bounds",
]

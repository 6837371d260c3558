"""One file per objective. Everything is maximised."""

from mmdp.objectives.conditional_dpp import ConditionalDPP
from mmdp.objectives.implicit_weight import ImplicitWeight
from mmdp.objectives.max_min import MaxMinDiversity
from mmdp.objectives.max_sum import MaxSumDiversity

# what studies and tables compare; MaxSumDiversity is posed by itself
OBJECTIVES = {objective.name: objective for objective in (MaxMinDiversity, ConditionalDPP, ImplicitWeight)}

__all__ = ["OBJECTIVES", "ConditionalDPP", "ImplicitWeight", "MaxMinDiversity", "MaxSumDiversity"]

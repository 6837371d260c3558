"""Which exact method to take when the user does not say."""

from __future__ import annotations

import math

from mmdp import ConditionalDPP, ImplicitWeight, MaxMinDiversity, MaxSumDiversity, Problem

# Enumeration values 20,000 sets in 0.01 s (max-min, implicit weight) to 0.05 s (log det), less than the others need
# for their local search and bounds (0.02 to 0.2 s); at 200,000 it is slower for log det (1 s against 0.05 s).
FEW_SUBSETS = 20_000

# One core, photo tokens unless said otherwise:
# branch_and_bound     proves n = 576, k = 16 to 64 in 0.05 to 0.5 s for max-min and 0.1 s for the rank-1 energy, and
#                      k = 16 in about 10 s for log det. Of constraints it takes must-keep tokens and quotas, for the
#                      quadratic objectives only; the others take all:
# node_packing         proves n = 576, k = 16 to 64 in 2 to 8 s, Gaussian n = 100, k = 10 in 0.8 s; Kuby and
#                      Sayah-Irnich pass a 30 s limit at n = 100.
# linearised           fixes nearly all tokens at the root: n = 576, k = 16 to 192 in 2 to 6 s, Gaussian k = 64 in 8 s;
#                      miqp takes as long and proves to 1e-7 instead of 1e-9.
# outer_approximation  proves n = 100, k = 10 in 5 to 8 s, n = 30, k = 6 in 0.1 to 2 s.
CONSTRAINED = {
    MaxMinDiversity.name: "node_packing",
    ConditionalDPP.name: "outer_approximation",
    ImplicitWeight.name: "linearised",
    MaxSumDiversity.name: "linearised",
}
QUADRATIC = (ImplicitWeight.name, MaxSumDiversity.name)


def few_subsets(problem: Problem) -> bool:
    """Whether enumeration takes a moment."""
    return math.comb(problem.n, problem.k) <= FEW_SUBSETS


def best_method(problem: Problem, certify: bool = False) -> str:
    """The name of the proving method that is fastest for a problem: enumeration where there are few subsets, branch and
    bound where it takes the constraints (quotas and must-keep tokens, for quadratic objectives), else an OR-Tools model.

    An objective of the user's own can only be enumerated. `certify` leaves enumeration out where there is a choice, since
    it has no proof to show.
    """
    if (few_subsets(problem) and not certify) or problem.name not in CONSTRAINED:
        return "brute_force"
    if not problem.constraints or (problem.name in QUADRATIC and not problem.constraints.forbidden_pairs):
        return "branch_and_bound"
    return CONSTRAINED[problem.name]

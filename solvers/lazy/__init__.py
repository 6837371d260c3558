"""Lazy greedy selection without a matrix: what the compiled greedy solvers share.

Greedy takes the token of the highest score, and the scores of max-min, log det and MMR only fall as tokens are chosen.
A score that has not been brought up to date is therefore an upper bound, and it is enough to bring the highest one up
to date again and again until the highest is current :cite:p:`minoux1978accelerated`. Let i < j have equal scores: the
bound of i is no lower, so i is looked at first, and ties go to the lowest index as in the eager loop.

Every inner product in this package is summed in one order, whichever function computes it, so that equal tokens get
equal scores and all paths of a solver see the same products.
"""

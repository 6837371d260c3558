"""Log-determinant maximisation by cuts from a concave bound, in a master problem for CP-SAT."""

from __future__ import annotations

from mmdp import ConditionalDPP, Status
from solvers.answer import Answer, Request
from solvers.exact.conditional_cuts import Proof
from solvers.exact.options import whole
from solvers.exact.start import first_set, settled


def run(problem: ConditionalDPP, request: Request, workers: int = 1) -> Answer:
    """A set of largest log det L_S, ascending, proved by outer approximation with conditional cuts.

    *Cuts.* The factorisation bound is concave and exact at binary points, so each of its linearisations is a valid cut
    (`ddfact_bound`). At the root such a cut is weak. Over the sets that hold given tokens T, where the bound is that of
    a Schur complement, it is strong: when it proves log det L_S <= LB, the best known value, for every S that holds T,
    it becomes the row sum_{i in T} x_i <= |T| - 1, free of rounding. For T of one token, that token is dropped; and
    when the bound without a token is at most LB, the token is in every better set.

    *Master.* x binary, sum x = k, the constraints, the root cut, and the rows found so far. CP-SAT finds any solution;
    inside it T grows by the token of least gradient until the bound is at most LB, is thinned out again, and gives the
    next row. A solution better than LB becomes the best set. When there is no solution left, the best set is optimal.
    The master has no objective: maximising a bound made of gradient cuts took three times as long (Gaussian tokens,
    n = 100, k = 10: 31 s instead of 11 s).

    The bound is that of the root (factorisation, spectral, Hadamard), or the k-th largest of the bounds with one token
    given; at the end it becomes the objective.

    Parameters
    ----------
    workers : threads of CP-SAT, >= 1; with 1 the answer is reproducible.

    Notes
    -----
    Optimal means within 1e-9 nats. Conditioning is done in float64, and what its rounding can do is added: 1e-9 nats
    per token, more for nearly dependent ones; where too many digits would go, Hadamard's inequality takes the place of
    the relaxation. -inf is optimal where every set is singular. NP-hard: exponential in the worst case; n = 30 takes a
    second, n = 100 with k = 10 about ten.

    Examples
    --------
    >>> from solvers import solve
    >>> problem = ConditionalDPP.from_kernel([[2, 0, 1], [0, 1, 0], [1, 0, 2]], k=2)
    >>> solve(problem, "outer_approximation").indices.tolist()  # log 3 beats log 2
    [0, 2]
    """
    whole(workers, "workers", 1)
    answer = settled(problem, request)
    if answer is not None:
        return answer
    proof = Proof(problem, first_set(problem, request), workers)
    status = Status.TIME_LIMIT
    try:
        if proof.at_root(request) or proof.by_single_tokens(request) or proof.by_cuts(request):
            status = Status.OPTIMAL
    except TimeoutError:
        pass
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Answer(proof.best, bound=max(proof.bound, proof.lower), status=status, stats=proof.stats())

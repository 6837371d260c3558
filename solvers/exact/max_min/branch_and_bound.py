"""Max-min diversity to proven optimality: which levels are reachable is decided by clique search in the far graph.

The optimum is one of the distinct distances. A level t is reachable when the far graph at t (tokens joined when
d_ij >= t) has a clique of size k. Two ends close in on the optimum: sets found by tabu search raise the lower one;
the upper one falls by colouring, clique search and, where these stall, the theta' bound with branching on top.
Distances are only compared, so the proof is exact for the float64 matrix given; theta' carries a margin for rounding.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from mmdp import MaxMinDiversity, Problem, Status
from mmdp.certificates import OnlyChoiceCertificate, ThetaCertificate
from mmdp.checks import Float
from solvers.answer import Answer, Request
from solvers.exact.max_min.bracket import Bracket
from solvers.exact.max_min.refuter import Refuter
from solvers.exact.max_min.splitting import Splitting
from solvers.exact.max_min.tabu import Climber, farthest_first_starts
from solvers.exact.max_min.theta import MOST_GROUPS, GroupedTokens, close_pairs, theta_descent
from solvers.exact.max_min.theta_prime import ThetaPrime
from solvers.exact.max_min.tree_writer import TreeWriter
from solvers.exact.options import yes_or_no

STARTS = 64  # farthest-first traversals
PATIENCE, NODES = 3_000, 400  # tabu iterations and search nodes of the first round
MORE_PATIENCE, MORE_NODES = 2, 3  # their growth from round to round
QUICK = 0.5  # seconds: a proof in prospect within this, or within the time already spent, is just done
STALLED = 2.0  # seconds of search without a proof in prospect before theta' is called in
CLIMB_SHARE = 0.1  # of the time left, for better sets where no proof is in prospect
LONGER = 100  # times the patience then
LONG = 15.0  # seconds for theta' that pay off with more groups of tokens
ROUND_SHARE = 0.2  # of that time which one search of a round may take
FIRST_SPLIT, LAST_SPLIT = 0.12, 0.02  # share of the gap that one splitting is to close
SPLIT_GROWTH = 2.2  # times the effort of a splitting for the next one as far down
SPLIT_SAFETY = 0.9  # of the next step that the time left seems to allow
MOST_GROWTH = 1.5  # of one such step over the last


def run(problem: Problem, request: Request, certify: bool = False, verify: bool = False) -> Answer:
    """Solve max-min diversity exactly, or give the best set and bound within the time limit.

    Parameters
    ----------
    problem : `MaxMinDiversity` without constraints.
    request : time limit in seconds (None proves, however long it takes) and seed of the tabu search.
    certify : whether the search writes down its proof, up to 100 MB; takes a little more time.
    verify : whether OR-Tools (`Packing`) is to show again, in the time left, that no set is better than the optimum.

    Returns
    -------
    Answer : tokens ascending. Status OPTIMAL when proved, else TIME_LIMIT or INTERRUPTED (Ctrl-C) with the best set
        and the best proven bound. `certificate` proves that bound: an `OnlyChoiceCertificate`, a
        `ColouringCertificate` or a `ThetaCertificate` where these suffice, else, with `certify`, a `CliqueTree`; None
        where there is none, and `stats["certificate"]` says why. Other `stats`: nodes of the clique search,
        iterations of the tabu search, theta_bound, sub-problems of the splitting, distance levels left between value
        and bound; with `verify` and an optimum, verified: True or "not within the time".

    Raises
    ------
    RuntimeError : OR-Tools finds a better set than the one proved optimal, so that one of the two is wrong.

    Notes
    -----
    Exponential in the worst case; memory O(n^2).

    Examples
    --------
    >>> from solvers import solve
    >>> problem = MaxMinDiversity.from_features(np.random.default_rng(0).normal(size=(40, 8)), k=8)
    >>> answer = solve(problem, "branch_and_bound", certify=True, verify=True)
    >>> answer.stats["verified"], answer.certificate.verify(problem) == answer.objective
    (True, True)
    """
    if not isinstance(problem, MaxMinDiversity):
        raise TypeError(f"branch_and_bound solves max-min diversity, got {type(problem).__name__}")
    if problem.constraints:
        raise ValueError("branch_and_bound cannot honour constraints; node_packing can")
    yes_or_no(certify, "certify")
    yes_or_no(verify, "verify")
    if problem.k < 2 or problem.k == problem.n:
        tokens = np.arange(problem.k)
        stats: dict[str, Any] = {"nodes": 0, "verified": True} if verify else {"nodes": 0}
        return Answer(tokens, problem.value(tokens), Status.OPTIMAL, stats, OnlyChoiceCertificate())
    began = time.perf_counter()
    _compiled()
    compile_seconds = time.perf_counter() - began
    deadline = math.inf
    if request.time_limit is not None:
        deadline = request.started + compile_seconds + request.time_limit
    proof = _Proof(np.ascontiguousarray(problem.distances), problem.k, deadline, request.seed, certify)
    status = Status.TIME_LIMIT
    try:
        proof.close_in()
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    bracket, stats = proof.bracket, proof.stats
    if bracket.certificate is None:
        stats["certificate"] = "its log exceeds 100 MB" if certify else "the search keeps its log with certify=True"
    if bracket.closed:
        status = Status.OPTIMAL
        if verify:
            stats["verified"] = _verified(problem, bracket, replace(request, time_limit=_left(deadline)))
    return Answer(bracket.tokens, bracket.bound, status, stats, bracket.certificate, compile_seconds)


def _left(deadline: float) -> float | None:
    return None if deadline == math.inf else max(0.0, deadline - time.perf_counter())


def _verified(problem: MaxMinDiversity, bracket: Bracket, request: Request) -> bool | str:
    """Ask OR-Tools for a set above the optimum."""
    from solvers.exact.packing import Packing

    if bracket.high == len(bracket.levels):
        return True  # there is no larger distance
    threshold = float(bracket.levels[bracket.high])
    try:
        better = Packing(problem).at_least(threshold, replace(request, started=time.perf_counter()))
    except TimeoutError:
        return "not within the time"
    except KeyboardInterrupt:
        return "interrupted"
    if better is not None:
        raise RuntimeError(
            f"branch and bound proves that {bracket.value} is optimal, but OR-Tools finds {better.tolist()}, "
            f"whose value is {problem.value(better)}"
        )
    return True


class _Proof:
    """The two ends of one bracket and those who move them."""

    def __init__(self, distances: Float, k: int, deadline: float, seed: int, certify: bool = False) -> None:
        self.certify = certify
        self.began, self.deadline = time.perf_counter(), deadline
        starts = np.unique(np.linspace(0, len(distances) - 1, STARTS).astype(np.int64))
        tokens, _ = farthest_first_starts(distances, k, starts)
        self.bracket = Bracket(distances, np.sort(tokens))
        self.climber = Climber(self.bracket, seed)
        self.refuter = Refuter(self.bracket, deadline, certify)
        self.splitting = Splitting(deadline)
        self.theta_bound: float | None = None
        self._groups: GroupedTokens | None = None

    @property
    def stats(self) -> dict[str, Any]:
        return {
            "nodes": self.refuter.nodes,
            "tabu_iterations": self.climber.iterations,
            "theta_bound": self.theta_bound,
            "subproblems": self.splitting.subproblems,
            "open_levels": self.bracket.high - self.bracket.low - 1,
        }

    @property
    def _left(self) -> float:
        return self.deadline - time.perf_counter()

    @property
    def _spent(self) -> float:
        return time.perf_counter() - self.began

    def close_in(self) -> None:
        """Move both ends, with growing effort, until they meet or time is up."""
        self.refuter.colour()
        patience, nodes = PATIENCE, NODES
        while not self.bracket.closed and self._left > 0:
            self.climber.climb(patience, self.deadline)
            self.refuter.finish(nodes)
            self.refuter.lower(nodes)
            if self.bracket.closed or self._left <= 0:
                return
            expected = self.refuter.forecast()
            seconds = expected / self.refuter.rate
            if seconds < max(QUICK, self._spent):
                self.refuter.finish(4 * int(expected) + nodes, both=False)
            elif self._spent > min(STALLED, 0.1 * (self._spent + self._left)):
                groups = self._groups = self._groups or self._relax()
                until = time.perf_counter() + CLIMB_SHARE * min(self._left, self._spent)
                self.climber.climb(LONGER * patience, until)
                if self.bracket.closed:
                    return
                if 2 * seconds < self._left < math.inf:
                    self.refuter.finish(int(self._left / 2 * self.refuter.rate), both=False)
                elif self.theta_bound is not None:
                    self._split(groups)
            patience *= MORE_PATIENCE
            nodes *= MORE_NODES
            if self._groups is None:  # no round may put theta' off for long
                nodes = min(nodes, max(NODES, int(ROUND_SHARE * STALLED * self.refuter.rate)))

    def _relax(self) -> GroupedTokens:
        """Lower the upper end by theta', in a third of the time left or in the time already spent."""
        bracket = self.bracket
        seconds = self._left / 3 if self._left < math.inf else self._spent
        deadline = time.perf_counter() + seconds
        most = MOST_GROUPS if seconds < LONG else 2 * MOST_GROUPS
        groups = GroupedTokens(bracket.distances, bracket.k, float(bracket.levels[bracket.low + 1]), most)
        theta_descent(groups, bracket.k, bracket.value, bracket.bound, deadline, self._certified)
        return groups

    def _split(self, groups: GroupedTokens) -> None:
        """Lower it further by branching on top of theta', in all the time left or in the time already spent."""
        bracket = self.bracket
        self.splitting.deadline = self.deadline if self._left < math.inf else time.perf_counter() + self._spent
        step = FIRST_SPLIT * (bracket.bound - bracket.value)
        while not bracket.closed and step > LAST_SPLIT * (bracket.bound - bracket.value):
            began = time.perf_counter()
            threshold = float(bracket.levels[bracket.index_at(bracket.bound - step)])
            close = close_pairs(groups.distances, threshold)
            if threshold <= groups.diameter or not close.any():
                return
            writer = TreeWriter() if self.certify else None
            if self.splitting.refutes(ThetaPrime(close, bracket.k), writer):
                tree = writer and writer.certificate(bracket.between(threshold), bracket.k, groups.labels)
                bracket.refuted(threshold, tree)
            else:
                step /= 2
            now = time.perf_counter()
            left = self.splitting.deadline - now
            if left <= now - began:
                return
            step *= min(MOST_GROWTH, SPLIT_SAFETY * math.log(left / (now - began)) / math.log(SPLIT_GROWTH))

    def _certified(self, certificate: ThetaCertificate) -> None:
        self.theta_bound = certificate.bound(self.bracket.distances)
        self.bracket.refuted(certificate.threshold, certificate)


@cache
def _compiled() -> bool:
    """Have every kernel compiled, or read from disk, by solving a small problem; the first call takes the time."""
    points = np.random.default_rng(0).standard_normal((24, 4))
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    proof = _Proof(distances, 8, math.inf, 0)
    proof.close_in()
    theta_descent(GroupedTokens(distances, 8, 0.0), 8, 0.0, float(distances.max()), math.inf, proof._certified)
    return True

"""The small parts of the exact solvers: bit-set graphs, reduced costs, swaps under constraints, Ctrl-C."""

import itertools
import os
import signal
from dataclasses import replace

import numpy as np
import pytest

from mmdp import Constraints, MaxMinDiversity, Problem, Status, check
from mmdp.instances import gaussian
from solvers import CATALOG, solve
from solvers.answer import Request
from solvers.exact.best import best_method
from solvers.exact.constrained_swaps import improve_within
from solvers.exact.far_graph import bit_rows, clique_cover, colour_classes, core_smallest_last, members, usable
from solvers.exact.interruptible import interruptible
from solvers.exact.reduced_costs import UNITS, cost_row, forced
from solvers.exact.start import first_set, nearest_feasible


def graphs():
    """Random graphs on up to 11 tokens, sparse to dense."""
    for seed in range(40):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 12))
        upper = np.triu(rng.random((n, n)) < rng.uniform(0.2, 0.95), 1)
        yield upper | upper.T


def cliques(adjacent: np.ndarray, size: int):
    """All of them, by the definition."""
    for subset in itertools.combinations(range(len(adjacent)), size):
        inside = adjacent[np.ix_(subset, subset)]
        if inside.sum() == size * (size - 1):
            yield set(subset)


def test_every_clique_lies_in_the_core_and_in_the_usable_tokens():
    """Neither degrees nor colours exclude a token of a clique; nothing usable proves that there is none."""
    for adjacent in graphs():
        far, everything = bit_rows(adjacent), (1 << len(adjacent)) - 1
        for size in range(1, len(adjacent) + 1):
            core = set(core_smallest_last(adjacent, size).tolist())
            left = set(members(usable(far, everything, size, Request())))
            for clique in cliques(adjacent, size):
                assert clique <= core
                assert clique <= left


def test_classes_and_covers_are_groups_of_close_tokens():
    """Colour classes partition the tokens; the cover holds exactly the close pairs."""
    for adjacent in graphs():
        n, far = len(adjacent), bit_rows(adjacent)
        classes, left = colour_classes(far, (1 << n) - 1, 3)
        assert sum(classes) + left == (1 << n) - 1
        assert left == 0 or len(classes) == 3
        covered = np.zeros((n, n), dtype=bool)
        for group in clique_cover(far, (1 << n) - 1):
            inside = list(members(group))
            covered[np.ix_(inside, inside)] = True
        for group in classes:
            inside = list(members(group))
            assert not adjacent[np.ix_(inside, inside)].any()
        np.fill_diagonal(covered, False)
        assert (covered == ~(adjacent | np.eye(n, dtype=bool))).all()


def test_usable_stops_on_time():
    """The filter looks at the clock."""
    adjacent = ~np.eye(6, dtype=bool)
    with pytest.raises(TimeoutError):
        usable(bit_rows(adjacent), 0b111111, 4, Request(time_limit=0))


def test_reduced_costs_spare_every_point_near_the_maximum():
    """Forced binaries and the cost row hold for all x whose linear value is within the slack; some others they exclude."""
    excluded = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 9))
        count = int(rng.integers(1, n))
        gradient = rng.normal(size=n) if seed % 3 else rng.integers(0, 3, n).astype(float)
        top_value = np.sort(gradient)[n - count :].sum()
        slack = float(rng.uniform(0, 2)) if seed % 4 else 0.0
        ones, zeros = forced(gradient, count, slack)
        units, top = cost_row(gradient, count, slack)
        assert top.sum() == count
        for subset in itertools.combinations(range(n), count):
            x = np.isin(np.arange(n), subset)
            row = units[top & ~x].sum() + units[~top & x].sum() <= UNITS
            fits = x[ones].all() and not x[zeros].any()
            if gradient[x].sum() >= top_value - slack:
                assert row
                assert fits
            excluded += not (row and fits)
    assert excluded > 100


def some_constraints(rng: np.random.Generator, n: int) -> Constraints:
    pairs = tuple((int(i), int(j)) for i, j in (rng.permutation(n)[:2] for _ in range(rng.integers(0, 6))))
    groups = tuple(int(g) for g in rng.integers(0, 3, n))
    labels = sorted(set(groups))
    return Constraints(
        keep=tuple(int(i) for i in rng.permutation(n)[: rng.integers(0, 3)]),
        forbidden_pairs=pairs,
        groups=groups,
        min_per_group={label: int(rng.integers(0, 3)) for label in labels if rng.random() < 0.4},
        max_per_group={label: int(rng.integers(0, 4)) for label in labels if rng.random() < 0.6},
    )


def constrained_problem(objective: str, seed: int) -> Problem:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(4, 11))
    problem = gaussian(n, 8, seed=seed).problem(objective, int(rng.integers(1, n)))
    problem.constraints = some_constraints(rng, n)
    return problem


CONSTRAINED = [(row.name, name) for row in CATALOG if row.constrained for name in sorted(row.solves)]


@pytest.mark.parametrize(("method", "objective"), [pair for pair in CONSTRAINED if pair[0] != "brute_force"])
def test_constraints_as_by_enumeration(method, objective):
    """Keep, forbidden pairs where they are taken, quotas: the best allowed set is found, or that there is none."""
    pairs = all(row.pairs for row in CATALOG if row.name == method and objective in row.solves)
    infeasible = 0
    for seed in range(30):
        problem = constrained_problem(objective, seed)
        if not pairs:
            problem.constraints = replace(problem.constraints, forbidden_pairs=())
        truth = solve(problem, "brute_force")
        answer = solve(problem, method)
        check(problem, answer)
        assert answer.status is truth.status
        assert answer.objective == pytest.approx(truth.objective, rel=1e-7, abs=1e-9)
        infeasible += truth.status is Status.INFEASIBLE
    assert 3 <= infeasible <= 27


def test_nearest_feasible_set():
    """It satisfies the constraints with as many wanted tokens as any other set, and is None exactly when there is none."""
    for seed in range(60):
        problem = constrained_problem("max-min", seed)
        wanted = np.arange(problem.k)
        allowed = [
            len(set(subset) & set(wanted.tolist()))
            for subset in itertools.combinations(range(problem.n), problem.k)
            if problem.constraints.violation(np.array(subset)) is None
        ]
        found = nearest_feasible(problem, wanted, Request())
        assert (found is None) == (not allowed)
        if found is not None:
            assert problem.constraints.violation(found) is None
            assert len(np.intersect1d(found, wanted)) == max(allowed)


@pytest.mark.parametrize("objective", ["max-min", "conditional-dpp", "implicit-weight"])
def test_swaps_stay_within_the_constraints(objective):
    """Swaps end in an allowed set that no allowed swap improves, never a worse one."""
    for seed in range(30):
        problem = constrained_problem(objective, seed)
        start = nearest_feasible(problem, np.arange(problem.k), Request())
        if start is None:
            continue
        better = improve_within(problem, start, Request())
        value = problem.value(better)
        assert problem.constraints.violation(better) is None
        assert value >= problem.value(start)
        for i, j in itertools.product(better, np.setdiff1d(np.arange(problem.n), better)):
            swapped = np.sort(np.append(better[better != i], j))
            if problem.constraints.violation(swapped) is None:
                assert problem.value(swapped) <= value
        assert problem.constraints.violation(first_set(problem, Request())) is None


def test_forbidden_pairs_alone_can_be_unsatisfiable():
    """That no set exists may itself be hard to see: three mutually forbidden tokens for two places."""
    problem = MaxMinDiversity.from_distances(
        1 - np.eye(3), 2, constraints=Constraints(forbidden_pairs=((0, 1), (1, 2), (0, 2)))
    )
    for method in ("auto", "node_packing", "kuby", "sayah_irnich"):
        assert solve(problem, method).status is Status.INFEASIBLE


def test_ctrl_c_reaches_a_solver():
    """The signal asks the call to stop, and its result is kept."""
    import threading

    stopped = threading.Event()

    def call() -> str:
        os.kill(os.getpid(), signal.SIGINT)
        return "asked to stop" if stopped.wait(20) else "ran to its end"

    assert interruptible(call, stopped.set) == ("asked to stop", True)


def test_an_error_in_a_solver_reaches_the_caller():
    """Exceptions cross the thread."""

    def call() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interruptible(call, lambda: None)
    assert interruptible(lambda: 7, lambda: None) == (7, False)


def test_best_method_can_solve_the_problem():
    """Whatever the size and the constraints, the method chosen is an exact row that takes them."""
    for objective in ("max-min", "conditional-dpp", "implicit-weight"):
        for n in (8, 40):
            problem = gaussian(n, 8, seed=0).problem(objective, 4)
            for constraints in (Constraints(), Constraints(keep=(1,))):
                problem.constraints = constraints
                rows = [row for row in CATALOG if row.name == best_method(problem) and objective in row.solves]
                assert any(row.exact and (row.constrained or not constraints) for row in rows)

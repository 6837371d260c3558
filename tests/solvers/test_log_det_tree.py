"""Trees of log det as certificates: what they prove, that edits are noticed, and their limits."""

import itertools
import math

import numpy as np
import pytest

from mmdp import ConditionalDPP, MaxMinDiversity, Status, check
from mmdp.certificates import CertificateError, DDFactCertificate, load, save
from mmdp.instances import gaussian
from solvers import solve
from solvers.answer import Request
from solvers.certificates import certificate_kind
from solvers.exact.log_det import relaxation, tree_log
from solvers.exact.log_det.branch_and_bound import Search, run
from solvers.exact.log_det.evidence import Evidence, in_units
from solvers.exact.log_det.leaf_bounds import prove
from solvers.exact.log_det.tree_log import LogDetTree


def certified(problem, **options):
    """The answer of a run that writes its tree down."""
    return solve(problem, "branch_and_bound", certify=True, **options)


@pytest.fixture(scope="module")
def problem():
    """A problem with a tree of some hundred nodes."""
    return ConditionalDPP.from_features(gaussian(34, 20, seed=1).features, 9)


@pytest.fixture(scope="module")
def answer(problem):
    """Its certified optimum."""
    found = certified(problem)
    assert found.status is Status.OPTIMAL
    assert isinstance(found.certificate, LogDetTree)
    assert len(found.certificate.codes) > 100
    return found


def test_the_tree_proves_the_optimum(problem, answer):
    """`check` recomputes a bound equal to the value; a run without a log ends with the same."""
    assert check(problem, answer) == pytest.approx(answer.objective, abs=1e-9)
    assert solve(problem, "branch_and_bound").objective == pytest.approx(answer.objective, abs=1e-9)


@pytest.mark.parametrize("prefer", [0.0, math.inf])
@pytest.mark.parametrize("kind", ["relevance", "ones", "copies", "zeros", "low rank", "nearly dependent", "kernel"])
def test_small_problems_of_every_kind(kind, prefer, monkeypatch):
    """Degenerate problems are proved and verified as well, by either relaxation."""
    monkeypatch.setattr(relaxation, "LINX_GAP", -math.inf)
    monkeypatch.setattr(relaxation, "PREFER_LINX", prefer)
    rng = np.random.default_rng(len(kind))
    for _ in range(6):
        n = int(rng.integers(5, 12))
        k = int(rng.integers(0, n + 1))
        rows, relevance = rng.normal(size=(n, 8)), None
        if kind == "relevance":
            relevance = rng.random(n)
        elif kind == "copies":
            rows = rows[rng.integers(0, n // 2 + 1, n)]
        elif kind == "zeros":
            relevance = rng.integers(0, 2, n)
        elif kind == "low rank":
            rows = rows[:, :3]
        elif kind == "nearly dependent":
            rows = rows[:, :3] @ rng.normal(size=(3, 8)) + 1e-4 * rows
        problem = ConditionalDPP.from_features(rows, k, relevance)
        if kind == "kernel":
            rows *= 10.0 ** rng.uniform(-3, 3, size=(n, 1))
            problem = ConditionalDPP.from_kernel(rows @ rows.T, k)
        found = certified(problem)
        best = max(problem.value(list(subset)) for subset in itertools.combinations(range(n), k))
        assert found.status is Status.OPTIMAL
        assert found.objective == best or abs(found.objective - best) <= 1e-9
        assert found.certificate is not None
        assert best <= check(problem, found) + 1e-9


def test_stopped_runs_have_trees_too(problem, answer, monkeypatch):
    """An unfinished tree proves the bound of its open nodes, also after Ctrl-C in the middle of a node."""
    inner, calls = Search._close, []

    def interrupted(self, state):
        calls.append(0)
        if len(calls) > 20:
            raise KeyboardInterrupt
        return inner(self, state)

    monkeypatch.setattr(Search, "_close", interrupted)
    stopped = certified(problem)
    assert stopped.status is Status.INTERRUPTED
    assert isinstance(stopped.certificate, LogDetTree)
    assert answer.objective < check(problem, stopped) <= stopped.bound + 1e-9


def test_a_file_keeps_the_tree(problem, answer, tmp_path):
    """Saved, loaded and verified."""
    save(tmp_path / "answer.npz", problem, answer)
    again, selection = load(tmp_path / "answer.npz", resolve=certificate_kind)
    assert isinstance(selection.certificate, LogDetTree)
    assert check(again, selection) == pytest.approx(answer.objective, abs=1e-9)


def edited(tree, **arrays):
    """The tree with some arrays replaced."""
    return LogDetTree.from_arrays({**tree.arrays(), **arrays})


def test_a_tampered_tree_fails(problem, answer):
    """Cut short, prolonged, with a subtree closed, tokens exchanged, points or shifts moved: nothing passes for a proof."""
    tree = answer.certificate
    rng = np.random.default_rng(0)

    def proves(other):
        try:
            return other.verify(problem)
        except CertificateError:
            return math.inf

    assert proves(tree) <= answer.bound + 1e-9
    ends = np.flatnonzero(tree.codes % 5 == tree_log.END)
    trivial = tree.codes.copy()
    trivial[ends[0]] = tree_log.TRIVIAL
    branch = np.flatnonzero(tree.codes == tree_log.BRANCH)
    closed = tree.codes.copy()
    closed[branch[0]] = tree_log.TRIVIAL
    unknown = tree.codes.copy()
    unknown[0] = 200
    tampered = [
        edited(tree, codes=tree.codes[:-1]),
        edited(tree, codes=np.append(tree.codes, tree_log.TRIVIAL)),
        edited(tree, codes=trivial),
        edited(tree, codes=closed),
        edited(tree, codes=unknown),
        edited(tree, tokens=tree.tokens[::-1]),
        edited(tree, tokens=np.where(tree.tokens == tree.tokens.max(), 10**6, tree.tokens)),
        edited(tree, points=tree.points[:-1]),
        edited(tree, points=rng.permutation(tree.points)),
        edited(tree, numbers=tree.numbers + 0.5),
        edited(tree, numbers=tree.numbers[:-2]),
        edited(tree, shifts=tree.shifts + 0.5),
        edited(tree, shifts=-tree.shifts),
    ]
    for other in tampered:
        assert not proves(other) <= answer.bound + 1e-9


def test_a_lower_claim_fails(problem, answer):
    """Lower cutoffs cannot make the tree prove less than the optimum."""
    tree = answer.certificate
    for less in (1e-6, 1e-3, 1.0, 100.0):
        try:
            proved = edited(tree, numbers=tree.numbers - np.tile((less, 0.0), len(tree.numbers) // 2)).verify(problem)
        except CertificateError:
            continue
        assert proved >= answer.objective - 1e-9


def test_it_belongs_to_its_problem(problem, answer):
    """Another budget, another kernel, another objective."""
    rows = np.asarray(problem.ground.features)
    for other in (
        ConditionalDPP.from_features(rows, 8),
        ConditionalDPP.from_features(rows[::-1], 9),
        ConditionalDPP.from_features(rows[:30], 9),
        MaxMinDiversity.from_features(rows, 9),
    ):
        try:
            proved = answer.certificate.verify(other)
        except CertificateError:
            continue
        assert proved >= solve(other, "greedy").objective


def test_arrays_are_checked(answer):
    """Codes and points are small whole numbers."""
    with pytest.raises(ValueError, match="codes must be at most 255, got 256"):
        edited(answer.certificate, codes=np.array([256]))
    with pytest.raises(ValueError, match="points must be at most 65535"):
        edited(answer.certificate, points=np.array([65536]))
    with pytest.raises(ValueError, match="numbers must be a 1-D array of finite numbers"):
        edited(answer.certificate, numbers=np.array([math.inf]))


def test_evidence_proves_bounds_wherever_it_is_taken():
    """Points, scalings, shifts and cutoffs at random: the bound holds for all sets above the cutoff."""
    rng = np.random.default_rng(5)
    strengthened = 0
    for _ in range(150):
        rows = np.ascontiguousarray(rng.normal(size=(8, 6)) * rng.uniform(0.3, 1.5, size=(8, 1)))
        norms, s = (rows * rows).sum(axis=1), 3
        values = {
            subset: np.linalg.slogdet(rows[list(subset)] @ rows[list(subset)].T)[1]
            for subset in itertools.combinations(range(8), s)
        }
        goal = sorted(values.values())[-int(rng.choice([1, 2, 10, 40]))] - float(10 ** rng.uniform(-7, 0))
        x, least, y = (in_units(rng.random(8)) for _ in range(3))
        theta = None if rng.random() < 0.5 else rng.normal(size=8).astype(np.float32)
        delta = (rng.normal(size=8) - rng.choice([0, 1, 3])).astype(np.float32)
        evidence = Evidence(goal, float(rng.choice([0.01, 0.3, 100])), x, theta, delta, least, y)
        proved = prove(rows, norms, s, goal, evidence)
        first = prove(rows, norms, s, goal, Evidence(*evidence[:4]))
        assert proved.upper <= first.upper
        strengthened += proved.upper < first.upper
        largest = float(np.sort(proved.gradient)[-s:].sum())
        for subset, value in values.items():
            assert value <= first.upper + 1e-9
            if value > goal:
                assert value <= proved.upper - largest + proved.gradient[list(subset)].sum() + 1e-9
    assert strengthened > 5


def test_a_tree_that_grows_too_large_is_given_up(problem, answer, monkeypatch):
    """The optimum is still found; the reason stands in words."""
    monkeypatch.setattr(tree_log, "MOST_BYTES", 10_000)
    found = certified(problem)
    assert found.objective == pytest.approx(answer.objective, abs=1e-9)
    assert found.certificate is None
    assert found.stats["certificate"] == "its tree would exceed 100 MB"


def test_no_time_means_no_certificate(problem):
    """Without a bound there is nothing to prove."""
    found = run(problem, Request(time_limit=0), certify=True)
    assert found.bound == math.inf
    assert found.certificate is None
    assert found.stats["certificate"] == "there was no time for a bound"


def test_a_wide_tolerance_has_no_certificate(problem):
    """It would prove less than the optimum that is claimed."""
    found = certified(problem, tolerance=0.01)
    assert found.certificate is None
    assert found.stats["certificate"] == "a tolerance above 1e-09 proves less than an optimum"


def test_the_root_alone_is_proved_by_a_point(problem):
    """Without a tree, a bound that comes from one point of DDFact carries that point."""
    singular = solve(ConditionalDPP.from_features(np.eye(6)[:, :3], 4), "branch_and_bound")
    assert isinstance(singular.certificate, DDFactCertificate)
    assert check(ConditionalDPP.from_features(np.eye(6)[:, :3], 4), singular) == -math.inf
    orthogonal = ConditionalDPP.from_features(np.eye(6), 3, np.linspace(0.5, 1, 6))
    assert check(orthogonal, certified(orthogonal)) == pytest.approx(orthogonal.value([3, 4, 5]), abs=1e-9)

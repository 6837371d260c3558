"""The clique-tree certificate: it holds where the search ended, and no altered part of it passes."""

import io
from dataclasses import replace

import numpy as np
import pytest

from mmdp import MaxMinDiversity
from mmdp.certificates import CertificateError
from mmdp.instances import gaussian
from solvers import solve
from solvers.exact.max_min import splitting
from solvers.exact.max_min.bitsets import full, size
from solvers.exact.max_min.clique import CliqueSearch, Outcome, clique_of_size
from solvers.exact.max_min.far_graph import far_graph
from solvers.exact.max_min.level_test import level_below
from solvers.exact.max_min.theta import close_pairs
from solvers.exact.max_min.theta_prime import ThetaPrime
from solvers.exact.max_min.tree_check import HOLDS, check_search
from solvers.exact.max_min.tree_log import SEARCH, THETA, CliqueTree, packed, symmetric
from solvers.exact.max_min.tree_writer import TreeWriter


@pytest.fixture(scope="module")
def problem() -> MaxMinDiversity:
    """80 Gaussian tokens, k = 8: a search of some hundred nodes."""
    return gaussian(80, 32, seed=0).problem("max-min", 8)


@pytest.fixture(scope="module")
def searched(problem) -> CliqueTree:
    """Its proof by search alone."""
    return solve(problem, "branch_and_bound", certify=True).certificate


@pytest.fixture(scope="module")
def split(problem) -> CliqueTree:
    """A proof by theta' and branching, of a level that theta' alone does not refute."""
    optimum = solve(problem, "branch_and_bound").objective
    writer = TreeWriter()
    threshold = float(np.nextafter(optimum, np.inf))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "EASY_NODES", 30)
        root = ThetaPrime(close_pairs(problem.distances, threshold), problem.k)
        assert splitting.Splitting(np.inf).refutes(root, writer)
    tree = writer.certificate(threshold, problem.k, np.arange(problem.n))
    assert tree.steps[0] == THETA
    assert tree.steps[1] > 0
    assert len(tree.log) > 0  # some parts end in a search
    return tree


@pytest.fixture(params=["searched", "split"])
def tree(request) -> CliqueTree:
    return request.getfixturevalue(request.param)


def fails(tree: CliqueTree, problem: MaxMinDiversity, why: str = "") -> None:
    with pytest.raises(CertificateError, match=why or None):
        tree.verify(problem)


def test_it_proves_the_bound(tree, problem):
    """The bound is the largest distance below the threshold, also after a file and for larger k."""
    bound = tree.verify(problem)
    assert bound == problem.distances[problem.distances < tree.threshold].max()
    file = io.BytesIO()
    np.savez_compressed(file, **tree.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        assert CliqueTree.from_arrays(dict(arrays)).verify(problem) == bound
    assert tree.verify(MaxMinDiversity.from_distances(problem.distances, problem.k + 1)) == bound


def test_a_lower_threshold_fails(tree, problem):
    """At the optimum there is a clique, so no log can pass; nor right below the threshold that was refuted."""
    optimum = solve(problem, "branch_and_bound").objective
    fails(replace(tree, threshold=optimum), problem)
    for share in (0.7, 0.9, 0.95):
        fails(replace(tree, threshold=share * optimum), problem)
    fails(replace(tree, threshold=0.0), problem, "threshold must be above 0")


def test_other_distances_fail(tree, problem):
    """The proof of one problem is none for another, nor for fewer tokens to choose."""
    fails(tree, gaussian(80, 32, seed=1).problem("max-min", 8))
    fails(tree, gaussian(81, 32, seed=0).problem("max-min", 8), "groups do not fit")
    fails(tree, MaxMinDiversity.from_distances(problem.distances, 7), "sets of 8 tokens")
    farther = problem.distances.copy()
    clique = solve(problem, "branch_and_bound").indices
    farther[np.ix_(clique, clique)] = 1.9
    np.fill_diagonal(farther, 0.0)
    fails(tree, MaxMinDiversity.from_distances(farther, 8))
    fails(tree, gaussian(80, 32, seed=0).problem("conditional-dpp", 8), "about max-min")


def test_a_smaller_k_fails(tree, problem):
    """Fewer tokens can be that far apart."""
    fails(replace(tree, k=tree.k - 2), MaxMinDiversity.from_distances(problem.distances, tree.k - 2))


def test_groups_are_checked(tree, problem):
    """Nobody may leave out a token or put two far ones together."""
    core = np.flatnonzero(tree.groups >= 0)
    left_out = tree.groups.copy()
    left_out[core[0]] = -1
    fails(replace(tree, groups=left_out), problem, "no group")
    far = problem.distances[core[0]] >= tree.threshold
    together = tree.groups.copy()
    together[np.flatnonzero(far)[0]] = tree.groups[core[0]]
    fails(replace(tree, groups=together), problem)
    fails(replace(tree, groups=np.roll(tree.groups, 1)), problem)


def test_every_missing_node_is_noticed(tree, problem):
    """Without one record, one step or one multiplier, the rest does not fit any more."""
    for part in ("log", "multipliers", "steps"):
        whole = getattr(tree, part)
        if len(whole):
            fails(replace(tree, **{part: whole[:-1]}), problem)
            fails(replace(tree, **{part: whole[1:]}), problem)
            fails(replace(tree, **{part: whole[:0]}), problem)
            fails(replace(tree, **{part: np.concatenate([whole, whole[-1:]])}), problem)


def test_every_changed_step_is_noticed_or_harmless(split, problem):
    """A step altered in one place fails, unless it still is a proof, as a search in another order may be."""
    rng = np.random.default_rng(0)
    failed = 0
    for _ in range(60):
        steps = split.steps.copy()
        steps[rng.integers(len(steps))] = rng.integers(0, problem.n)
        failed += broken_or_equal(replace(split, steps=steps), split, problem)
    assert failed > 30
    dropped = np.concatenate([[THETA, split.steps[1] - 1], split.steps[3:]])
    fails(replace(split, steps=dropped), problem)


def test_every_changed_word_of_the_log_is_noticed_or_harmless(searched, problem):
    """A class, vertex or count altered in one place fails, unless the record still holds."""
    rng = np.random.default_rng(1)
    failed = 0
    for at in rng.permutation(len(searched.log))[:200]:
        log = searched.log.copy()
        log[at] = (int(log[at]) + rng.integers(1, 9)) % 65536
        failed += broken_or_equal(replace(searched, log=log), searched, problem)
    assert failed > 120


def broken_or_equal(changed: CliqueTree, tree: CliqueTree, problem: MaxMinDiversity) -> bool:
    """Whether it fails; if not, it proves no more than the true certificate."""
    try:
        assert changed.verify(problem) == tree.verify(problem)
    except CertificateError:
        return True
    return False


def test_multipliers_are_checked(split, problem):
    """They must be finite, nonnegative on far pairs, and low enough."""
    for change in (lambda Z: 0 * Z, lambda Z: Z + np.float16(1), lambda Z: -Z, lambda Z: Z * np.float16(np.nan)):
        fails(replace(split, multipliers=change(split.multipliers)), problem)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("k", 1),
        ("k", 2.5),
        ("threshold", np.nan),
        ("groups", np.array([-2])),
        ("steps", np.array([0.5])),
        ("log", np.zeros(3, np.int64)),
        ("multipliers", np.zeros((2, 2), np.float16)),
    ],
)
def test_wrong_parts_are_refused(searched, part, value):
    """A file with something else in it is an error, not a proof."""
    with pytest.raises(ValueError, match=part):
        CliqueTree.from_arrays({**searched.arrays(), part: value})
    with pytest.raises(ValueError, match="certificate holds"):
        CliqueTree.from_arrays({"k": np.array(3)})


def test_every_refutation_of_random_graphs_is_accepted():
    """The log of a search passes the check exactly as it was written, at all densities, with all kinds of groups."""
    groups = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(8, 70))
        upper = np.triu(rng.random((n, n)) < rng.uniform(0.3, 0.95), 1)
        far = upper | upper.T
        for k in range(2, n):
            search = CliqueSearch(far_graph(far.astype(float), 0.5, k), k, 10**7)
            if search.advance(2**40) is Outcome.NONE:
                break
        order = search.graph.tokens
        verdict, end = check_search(packed(far[np.ix_(order, order)]), k, search.log, 0)
        assert (verdict, end) == (HOLDS, len(search.log))
        groups += int(len(search.log) > 0 and search.log[0] > 0)
    assert groups > 10


def test_splitting_is_right_about_random_graphs(monkeypatch):
    """It never refutes the clique number; where it refutes more, its proof is accepted, branches and all."""
    monkeypatch.setattr(splitting, "EASY_NODES", 1)
    branched = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(20, 45))
        upper = np.triu(rng.random((n, n)) < rng.uniform(0.4, 0.9), 1)
        far = upper | upper.T
        k = next(k for k in range(3, n) if clique_of_size(far, k).outcome is Outcome.NONE)
        close = ~far & ~np.eye(n, dtype=bool)
        writer = TreeWriter()
        assert not splitting.Splitting(np.inf).refutes(ThetaPrime(close, k - 1))
        if splitting.Splitting(np.inf).refutes(ThetaPrime(close, k), writer):
            tree = writer.certificate(1.5, k, np.arange(n))
            problem = MaxMinDiversity.from_distances(1.0 + far - np.eye(n), k)
            assert tree.verify(problem) == 1.0
            branched += len(tree.steps) > 2
    assert branched > 5


def test_a_log_of_a_graph_with_a_clique_never_passes():
    """Whatever the words say: the vertices that they exclude are checked, and the rest is searched to its end."""
    rng = np.random.default_rng(0)
    clique = ~np.eye(6, dtype=bool)
    for _ in range(2000):
        log = rng.integers(0, 7, int(rng.integers(0, 60))).astype(np.uint16)
        assert check_search(packed(clique), int(rng.integers(1, 7)), log, 0)[0] != HOLDS


def test_level_below_is_right_around_the_level():
    """It never says yes at or above the largest eigenvalue, and says yes a little below."""
    rng = np.random.default_rng(0)
    for m in (1, 2, 7, 60):
        Z = rng.normal(size=(m, m))
        Z = Z + Z.T
        np.fill_diagonal(Z, 0.0)
        level = float(np.linalg.eigvalsh(Z + 1)[-1])
        assert not level_below(Z, level * (1 - 1e-15))
        assert level_below(Z, level + 1e-8)
    assert level_below(np.zeros((0, 0)), 1.0)


def test_packed_rows_and_triangles():
    """Words and matrices hold what they should."""
    far = np.random.default_rng(0).random((70, 70)) < 0.5
    words = packed(far)
    assert [int(size(row)) for row in words] == far.sum(axis=1).tolist()
    assert size(full(70)) == 70
    assert symmetric(np.array([1, 2, 3], np.float16), 3).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def test_the_writer_keeps_to_its_bytes():
    """Beyond them there is no certificate; a search without a log counts as beyond."""
    writer = TreeWriter(bytes_left=40)
    writer.search(np.arange(2), np.zeros(4, np.uint16))
    assert writer.most_words == 0
    assert writer.certificate(1.0, 2, np.arange(2)).steps.tolist() == [SEARCH, 2, 0, 1]
    writer.theta(np.arange(1), np.zeros((3, 3)))
    assert writer.certificate(1.0, 2, np.arange(2)) is None
    without = TreeWriter()
    without.search(np.arange(2), None)
    assert without.certificate(1.0, 2, np.arange(2)) is None

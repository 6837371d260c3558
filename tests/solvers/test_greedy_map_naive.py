"""Greedy MAP against ratios of determinants."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, check
from solvers import solve
from solvers.answer import Request
from solvers.greedy_map.naive import greedy_map, run


def literal(L: np.ndarray, k: int) -> tuple[list[int], int]:
    """The token with the largest det L_{S+i} / det L_S, while it is above 1e-5 L_ii; then the highest L_ii."""
    chosen: list[int] = []
    while len(chosen) < k:
        base = np.linalg.slogdet(L[np.ix_(chosen, chosen)])[1]
        ratios = {}
        for i in set(range(len(L))) - set(chosen):
            sign, log_det = np.linalg.slogdet(L[np.ix_([*chosen, i], [*chosen, i])])
            if sign > 0 and np.exp(log_det - base) > 1e-5 * L[i, i]:
                ratios[i] = log_det - base
        if not ratios:
            break
        chosen.append(max(sorted(ratios), key=ratios.__getitem__))
    rest = [i for i in np.argsort(-np.diag(L), kind="stable").tolist() if i not in chosen]
    return chosen + rest[: k - len(chosen)], len(chosen)


def kernel(X: np.ndarray, r: np.ndarray) -> np.ndarray:
    """diag(r) C diag(r) from the formula."""
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    return (units @ units.T) * np.outer(r, r)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 12), d=st.integers(1, 14), seed=st.integers(0, 10**6))
def test_equals_ratios_of_determinants(n, d, seed):
    """Random tokens of any rank: the same greedy picks, the same number of them, the same filling."""
    rng = np.random.default_rng(seed)
    X, r = rng.normal(size=(n, d)), rng.uniform(0.1, 1, n)
    expected, rank = literal(kernel(X, r), n)
    answer = run(ConditionalDPP.from_features(X, n, r), Request())
    assert answer.indices.tolist() == expected == greedy_map(X, n, relevance=r).tolist()
    assert answer.stats == {"rank": rank, "filled": n - rank}


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6))
def test_a_kernel_serves_as_well_as_features(seed):
    """from_kernel, theta and weights above 1 all reach the same loop."""
    rng = np.random.default_rng(seed)
    X, r = rng.normal(size=(9, 12)), rng.uniform(0, 1, 9)
    by_features = ConditionalDPP.from_features(X, 6, r, theta=0.7)
    by_kernel = ConditionalDPP.from_kernel(by_features.kernel, 6)
    assert (by_features.weights >= 1).all()
    expected, _ = literal(kernel(X, np.exp(0.7 * r / 0.6)), 6)
    assert run(by_features, Request()).indices.tolist() == expected
    assert run(by_kernel, Request()).indices.tolist() == expected


def test_known_answer_by_hand():
    """The most relevant token, then the one across, though less relevant than the near copy of the first."""
    X = [[1, 0], [1, 0.1], [0, 1]]
    assert greedy_map(X, 3, relevance=[1.0, 0.9, 0.3]).tolist() == [0, 2, 1]
    assert greedy_map(X, 1, relevance=[0.8, 0.9, 0.3]).tolist() == [1]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rank_forty_stops_at_forty(dtype):
    """576 tokens spanned by 40 directions, 4096 wide: exactly 40 greedy picks, in either precision of the input."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(576, 40)) @ rng.normal(size=(40, 4096))).astype(dtype)
    answer = run(ConditionalDPP.from_features(X, 64), Request())
    assert answer.stats == {"rank": 40, "filled": 24}
    assert len(set(answer.indices.tolist())) == 64


def test_sixty_distinct_tokens_stop_at_sixty():
    """576 tokens with 60 distinct values have rank 60."""
    rng = np.random.default_rng(1)
    source = rng.permutation(np.concatenate([np.arange(60), rng.integers(0, 60, 516)]))
    answer = run(ConditionalDPP.from_features(rng.normal(size=(60, 256))[source], 96), Request())
    assert answer.stats == {"rank": 60, "filled": 36}
    assert len(set(source[answer.indices[:60]].tolist())) == 60
    assert len(set(answer.indices.tolist())) == 96


def test_full_rank_reaches_every_token():
    """576 Gaussian tokens of width 4096 are independent: the greedy never has to fill."""
    X = np.random.default_rng(2).normal(size=(576, 4096))
    assert run(ConditionalDPP.from_features(X, 576), Request()).stats == {"rank": 576, "filled": 0}


def test_constant_relevance_is_no_relevance():
    """Equal weights of any size give the choice of the plain process; the first token, all being tied, is token 0."""
    X = np.random.default_rng(3).normal(size=(15, 20))
    plain = greedy_map(X, 8)
    assert plain[0] == 0
    for level in (1.0, 0.25, 3.0):
        assert greedy_map(X, 8, relevance=np.full(15, level)).tolist() == plain.tolist()


def test_zero_relevance_is_never_a_greedy_pick():
    """Tokens of relevance 0 come after all relevant ones in index order, and before zero rows."""
    X = np.random.default_rng(4).normal(size=(6, 8))
    X[1] = 0
    r = [0.0, 1.0, 0.5, 0.0, 0.7, 0.0]
    answer = run(ConditionalDPP.from_features(X, 6, r), Request())
    assert answer.indices.tolist() == [4, 2, 0, 3, 5, 1]
    assert answer.stats["rank"] == 2
    assert greedy_map(X, 6, relevance=np.zeros(6)).tolist() == [0, 2, 3, 4, 5, 1]


def test_small_relevance_is_not_mistaken_for_dependence():
    """The pivot is measured against the token's own weight: relevance 1e-8 still counts as a direction."""
    answer = run(ConditionalDPP.from_features(np.eye(3), 3, [1.0, 1e-8, 1e-4]), Request())
    assert answer.indices.tolist() == [0, 2, 1]
    assert answer.stats["rank"] == 3


@pytest.mark.parametrize(("sine_squared", "rank"), [(1.1e-5, 2), (0.9e-5, 1)])
def test_pivot_rule(sine_squared, rank):
    """A token counts while more than 1e-5 of its own variance is unexplained."""
    X = [[1.0, 0.0], [np.sqrt(1 - sine_squared), np.sqrt(sine_squared)]]
    assert run(ConditionalDPP.from_features(X, 2, [1.0, 0.5]), Request()).stats["rank"] == rank


def test_the_fill_rule_takes_the_highest_relevance():
    """Beyond the rank the most relevant tokens follow, ties by index."""
    X = [[1, 0]] * 4 + [[0, 1]] * 3
    assert greedy_map(X, 7, relevance=[0.3, 0.9, 0.5, 0.5, 0.4, 0.8, 0.6]).tolist() == [1, 5, 6, 2, 3, 4, 0]


def test_through_the_door():
    """`solve` reports a finite log det while the rank lasts and -inf beyond it."""
    X = np.random.default_rng(5).normal(size=(10, 4))
    for k, finite in ((4, True), (5, False)):
        problem = ConditionalDPP.from_features(X, k)
        selection = solve(problem, "greedy_map", backend="naive")
        check(problem, selection)
        assert np.isfinite(selection.objective) == finite
        assert selection.stats["rank"] == 4


@pytest.mark.parametrize("relevance", [[1, -1, 1], [1, np.nan, 1]])
def test_bad_relevance_is_refused(relevance):
    """Relevance must be finite and non-negative."""
    with pytest.raises(ValueError, match="relevance must be finite and >= 0, got"):
        greedy_map(np.eye(3), 2, relevance=relevance)

"""Progressive chunked MMR against the algorithm as IWP prints it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ImplicitWeight, check
from solvers import solve
from solvers.answer import Request
from solvers.rank1.pc_mmr_naive import pc_mmr, run


def literal(P, R: np.ndarray, M: int, chunk: int, growth: int, strength: float, floor: float) -> list[int]:
    """Algorithm 1: the b largest P, then P_i *= max(floor, 1 - lam max_j R_ij) for what is left, then b *= g."""
    P, b = [float(p) for p in P], chunk
    C: list[int] = []
    U = list(range(len(P)))
    while len(C) < M:
        L = sorted(U, key=lambda i: -P[i])[: min(b, M - len(C))]
        C += L
        U = [i for i in U if i not in L]
        for i in U:
            P[i] *= max(floor, 1 - strength * max(R[i, j] for j in L))
        b *= growth
    return C


def redundancy(K: np.ndarray, V: np.ndarray) -> np.ndarray:
    """mean over heads of (cos(v_i, v_j) exp(-||k_i - k_j||^2 / (2 sqrt d)))^2 from (H, n, .) arrays."""
    H, n, d = K.shape
    R = np.zeros((n, n))
    for h in range(H):
        for i in range(n):
            for j in range(n):
                cosine = V[h, i] @ V[h, j] / np.linalg.norm(V[h, i]) / np.linalg.norm(V[h, j])
                S = cosine * np.exp(-(np.linalg.norm(K[h, i] - K[h, j]) ** 2) / (2 * np.sqrt(d)))
                R[i, j] += S**2 / H
    return R


options = st.fixed_dictionaries(
    {
        "chunk": st.integers(1, 4),
        "growth": st.integers(1, 3),
        "strength": st.sampled_from([0.0, 0.5, 2.0, 5.0]),
        "floor": st.sampled_from([0.01, 0.3, 1.0]),
    }
)


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 14), heads=st.integers(1, 3), seed=st.integers(0, 10**6), options=options)
def test_equals_the_printed_algorithm(n, heads, seed, options):
    """Random magnitudes, keys and values, one head or several, at every setting."""
    rng = np.random.default_rng(seed)
    P, K, V = rng.uniform(0.1, 1, n), rng.normal(size=(heads, n, 4)), rng.normal(size=(heads, n, 3))
    expected = literal(P, redundancy(K, V), n, **options)
    assert pc_mmr(P[None], K[None], V[None], n, **options)[0].tolist() == expected
    if heads == 1:
        assert pc_mmr(P, K[0], V[0], n, **options).tolist() == expected


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 14), seed=st.integers(0, 10**6), options=options)
def test_on_a_problem_the_gram_says_it_all(n, seed, options):
    """P = sqrt(G_ii) / max and R_ij = G_ij^2 / (G_ii G_jj)."""
    rng = np.random.default_rng(seed)
    problem = ImplicitWeight.from_keys_values(rng.normal(size=(n, 4)), rng.normal(size=(n, 3)), n)
    G = problem.gram
    size = np.sqrt(np.diag(G))
    expected = literal(size / size.max(), (G / np.outer(size, size)) ** 2, n, **options)
    assert run(problem, Request(), **options).indices.tolist() == expected


@pytest.mark.parametrize(("k", "rounds"), [(0, 0), (1, 1), (2, 1), (3, 2), (64, 6), (128, 7), (192, 7)])
def test_number_of_rounds(k, rounds):
    """ceil(log_g(1 + k (g - 1) / b0)) rounds: 2, 4, 8, 16, 32 and 2 for 64 tokens."""
    K, V = np.random.default_rng(0).normal(size=(2, 200, 4))
    problem = ImplicitWeight.from_keys_values(K, V, k)
    selection = solve(problem, "pc_mmr", backend="naive")
    check(problem, selection)
    assert selection.stats == {"rounds": rounds}


def test_opposite_updates_are_as_redundant_as_equal_ones():
    """The square forgets the sign: the copy and the opposite of the first token both come after the orthogonal one."""
    V = [[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    assert pc_mmr([1.0, 0.9, 0.8, 0.1], np.zeros((4, 2)), V, 4, chunk=1).tolist() == [0, 3, 1, 2]


def test_penalties_add_up_without_underflow():
    """One token a round, 400 rounds, each penalised by the floor: the order survives a factor of 1e-800."""
    P = np.random.default_rng(1).permutation(np.linspace(1, 2, 400))
    chosen = pc_mmr(P, np.zeros((400, 1)), np.ones((400, 1)), 400, chunk=1, growth=1)
    assert chosen.tolist() == np.argsort(-P).tolist()


def test_no_magnitude_at_all_means_pure_diversity():
    """All P = 0 count as 1: token 0 first, then what is unlike it, ties by index; zero updates still last."""
    V = [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    K = np.zeros((4, 2))
    assert pc_mmr(np.zeros(4), K, V, 4, chunk=1).tolist() == [1, 3, 2, 0]
    assert pc_mmr([7.0, 0.0, 0.0, 0.0], K, V, 4, chunk=1).tolist() == [1, 3, 2, 0]
    assert run(ImplicitWeight.from_gram(np.zeros((3, 3)), 2), Request()).indices.tolist() == [0, 1]


def test_a_magnitude_of_zero_comes_before_a_zero_update():
    """P_i = 0 ranks behind every positive magnitude, in front of tokens without any value."""
    V = [[0.0], [1.0], [1.0], [1.0]]
    assert pc_mmr([1.0, 0.0, 0.0, 0.5], np.arange(4.0)[:, None] * 9, V, 4).tolist() == [3, 1, 2, 0]


def test_only_one_head_with_a_value_is_enough():
    """A token counts as zero only when its value vanishes in every head."""
    V = np.ones((1, 2, 3, 1))
    V[0, 0, 1] = V[0, :, 2] = 0
    K = np.arange(6.0).reshape(1, 2, 3, 1) * 9
    assert pc_mmr([[0.5, 0.9, 1.0]], K, V, 3)[0].tolist() == [1, 0, 2]


@pytest.mark.parametrize(
    ("option", "error", "message"),
    [
        ({"chunk": 0}, ValueError, "chunk must be >= 1, got 0"),
        ({"growth": 0}, ValueError, "growth must be >= 1, got 0"),
        ({"chunk": 1.5}, TypeError, "chunk must be a whole number, got 1.5"),
        ({"growth": True}, TypeError, "growth must be a whole number, got True"),
        ({"strength": -1}, ValueError, "strength must be finite and >= 0, got -1"),
        ({"strength": np.nan}, ValueError, "strength must be finite and >= 0, got nan"),
        ({"floor": 0}, ValueError, r"floor must be in \(0, 1\], got 0"),
        ({"floor": 1.5}, ValueError, r"floor must be in \(0, 1\], got 1.5"),
    ],
)
def test_bad_options_are_named(option, error, message):
    """Both doors refuse them in the same words."""
    with pytest.raises(error, match=message):
        pc_mmr(np.ones(2), np.eye(2), np.eye(2), 1, **option)
    with pytest.raises(error, match=message):
        solve(ImplicitWeight.from_gram(np.eye(2), 1), "pc_mmr", backend="naive", **option)

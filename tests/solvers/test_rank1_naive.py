"""Greedy on the rank-1 energy against differences of the objective."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ImplicitWeight, check
from solvers import solve
from solvers.answer import Request
from solvers.rank1.naive import rank1, run


def energy(K: np.ndarray, V: np.ndarray, pruned: list[int]) -> float:
    """|| sum over the pruned tokens of k_i^T v_i ||_F^2, heads side by side, from (H, n, .) arrays."""
    return float(sum((np.linalg.norm(k[pruned].T @ v[pruned]) ** 2) for k, v in zip(K, V, strict=True)))


def literal(value, n: int, k: int) -> list[int]:
    """The token with the largest gain in value, again and again."""
    chosen: list[int] = []
    while len(chosen) < k:
        rest = [i for i in range(n) if i not in chosen]
        chosen.append(max(rest, key=lambda i: value([*chosen, i])))
    return chosen


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 11), heads=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_equals_differences_of_the_energy(n, heads, seed):
    """Signed Gram matrices, one head or several: the energy itself decides every step."""
    rng = np.random.default_rng(seed)
    K, V = rng.normal(size=(heads, n, 4)), rng.normal(size=(heads, n, 3))
    expected = literal(lambda S: -energy(K, V, [i for i in range(n) if i not in S]), n, n)
    if heads == 1:
        assert rank1(K[0], V[0], n).tolist()[:-1] == expected[:-1]
    assert rank1(K[None], V[None], n)[0].tolist()[:-1] == expected[:-1]


@pytest.mark.parametrize("kernel", ["linear", "softmax"])
@pytest.mark.parametrize("form", ["truncation", "squared", "query_weighted"])
def test_every_form_of_the_problem(kernel, form):
    """The problem door follows the Gram matrix of the problem, whichever it is."""
    rng = np.random.default_rng(0)
    K, V, query = rng.normal(size=(2, 12, 4)), rng.normal(size=(2, 12, 3)), rng.normal(size=(1, 4))
    problem = ImplicitWeight.from_keys_values(K, V, 7, query, kernel, form)
    selection = solve(problem, "rank1", backend="naive")
    check(problem, selection)
    assert selection.indices.tolist() == literal(problem.value, 12, 7)


def test_known_answer_by_hand():
    """Updates 1, 1, 2, -3 on a line: what counts is how little the sum of the rest is."""
    problem = ImplicitWeight.from_gram(np.outer([1, 1, 2, -3], [1, 1, 2, -3]), 2)
    # keeping 0 leaves 1 + 2 - 3 = 0; then 1, 2, 3 would leave -1, -2, 3; then 2 or 3 would leave -3 or 2
    assert run(problem, Request()).indices.tolist() == [0, 1]
    assert run(problem.with_k(3), Request()).indices.tolist() == [0, 1, 3]


def test_gains_may_be_negative():
    """k tokens are kept even when every further one does harm."""
    problem = ImplicitWeight.from_gram([[1.0, -1.0], [-1.0, 1.0]], 1)
    selection = solve(problem, "rank1", backend="naive")
    assert selection.indices.tolist() == [0]
    assert selection.objective == -1
    assert problem.value([]) == 0


def test_zero_updates_come_after_harmful_tokens():
    """A zero update has gain 0, more than a harmful token, and is still kept last."""
    gram = np.zeros((4, 4))
    gram[1:3, 1:3] = [[1.0, -1.0], [-1.0, 1.0]]
    assert run(ImplicitWeight.from_gram(gram, 4), Request()).indices.tolist() == [1, 2, 0, 3]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 8))
def test_the_guarantee_for_non_negative_gram(seed, k):
    """Explained energy at least 1 - 1/e of the optimum where G >= 0."""
    rng = np.random.default_rng(seed)
    problem = ImplicitWeight.from_keys_values(
        rng.normal(size=(9, 3)), rng.normal(size=(9, 3)), k, kernel="linear", form="squared"
    )
    assert problem.is_submodular
    greedy, best = (solve(problem, method).objective + problem.total_energy for method in ("rank1", "brute_force"))
    assert greedy >= (1 - 1 / np.e) * best * (1 - 1e-12)


def test_values_may_be_wider_than_keys():
    """d and d_v need not agree, but the tokens must."""
    rng = np.random.default_rng(1)
    assert len(rank1(rng.normal(size=(6, 2)), rng.normal(size=(6, 9)), 3)) == 3
    with pytest.raises(ValueError, match="K and V must agree up to the width"):
        rank1(np.zeros((6, 2)), np.zeros((5, 2)), 3)

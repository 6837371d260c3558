"""Maximal marginal relevance against its formula."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ImplicitWeight, check
from solvers import solve
from solvers.answer import Request
from solvers.rank1.mmr_naive import mmr, run


def literal(K: np.ndarray, V: np.ndarray, k: int, lam: float) -> list[int]:
    """argmax lam ||k_i|| ||v_i|| - (1 - lam) max_j (k_i . k_j)(v_i . v_j), the first one by magnitude alone."""
    n = len(K)
    magnitude = [float(np.linalg.norm(K[i]) * np.linalg.norm(V[i])) for i in range(n)]
    chosen = [int(np.argmax(magnitude))][:k]
    while len(chosen) < k:

        def score(i):
            return lam * magnitude[i] - (1 - lam) * max(float((K[i] @ K[j]) * (V[i] @ V[j])) for j in chosen)

        chosen.append(max((i for i in range(n) if i not in chosen), key=score))
    return chosen


@settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 12), lam=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), seed=st.integers(0, 10**6))
def test_equals_the_formula(n, lam, seed):
    """Random keys and values at every trade-off, through both doors."""
    rng = np.random.default_rng(seed)
    K, V = rng.normal(size=(n, 4)), rng.normal(size=(n, 3))
    expected = literal(K, V, n, lam)
    assert mmr(K, V, n, lam).tolist() == expected
    assert run(ImplicitWeight.from_keys_values(K, V, n), Request(), lam=lam).indices.tolist() == expected


def test_a_problem_brings_its_own_gram():
    """mag_i = sqrt(G_ii) and dup_ij = G_ij for any form: by hand for a given matrix."""
    gram = np.array([[4.0, 3.0, 0.0], [3.0, 3.9, 0.0], [0.0, 0.0, 0.25]])
    problem = ImplicitWeight.from_gram(gram, 3)
    # after token 0 (size 2): 1 scores 0.5 * 1.975 - 0.5 * 3 < 0, 2 scores 0.25
    assert run(problem, Request()).indices.tolist() == [0, 2, 1]
    assert run(problem, Request(), lam=1).indices.tolist() == [0, 1, 2]
    selection = solve(problem, "mmr", backend="naive", lam=0.9)
    check(problem, selection)
    assert selection.indices.tolist() == [0, 1, 2]


def test_scaling_both_terms_alike_changes_nothing():
    """With updates s times as long, and lam / (1 - lam) s times as large, the rule is the same."""
    rng = np.random.default_rng(0)
    K, V = rng.normal(size=(15, 4)), rng.normal(size=(15, 3))
    for s in (0.5, 4.0):
        odds = s * 0.5 / 0.5
        assert mmr(K, s * V, 9, odds / (1 + odds)).tolist() == mmr(K, V, 9, 0.5).tolist()


def test_zero_updates_come_last_even_behind_duplicates():
    """The score of a zero update is 0, above that of a duplicate, and it still comes last."""
    K = [[0.0], [2.0], [2.0], [0.0]]
    assert mmr(K, np.ones((4, 1)), 4).tolist() == [1, 2, 0, 3]


@pytest.mark.parametrize("lam", [-0.1, 1.1, np.nan])
def test_lam_is_a_share(lam):
    """lam outside [0, 1] is refused at both doors."""
    with pytest.raises(ValueError, match=r"lam must be in \[0, 1\], got"):
        mmr(np.eye(2), np.eye(2), 1, lam)
    with pytest.raises(ValueError, match=r"lam must be in \[0, 1\], got"):
        solve(ImplicitWeight.from_gram(np.eye(2), 1), "mmr", backend="naive", lam=lam)

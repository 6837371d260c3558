"""The three objectives by their definitions, their edge cases and their input checks."""

import math

import numpy as np
import pytest

from mmdp import OBJECTIVES, ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity, Problem

RNG = np.random.default_rng(1)
X = RNG.normal(size=(9, 4))
K, V = RNG.normal(size=(2, 9, 3)), RNG.normal(size=(2, 9, 5))


def updates(keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n, H d d_v): the rank-1 updates dW_i, all heads side by side, for the linear kernel."""
    return np.einsum("hnd,hne->nhde", keys, values).reshape(keys.shape[1], -1)


def test_max_min_is_the_smallest_pairwise_distance():
    """By two loops; +inf for fewer than two tokens."""
    problem = MaxMinDiversity.from_features(X, 4)
    subset = [1, 3, 4, 8]
    expected = min(problem.distances[i, j] for i in subset for j in subset if i != j)
    assert problem.value(subset) == expected
    assert problem.value([2]) == math.inf
    assert problem.value([]) == math.inf


def test_conditional_dpp_splits_into_relevance_and_diversity():
    """log det L_S = sum 2 log r_i + log det C_S, and 0 for the empty set."""
    r = RNG.uniform(0.1, 1, size=9)
    problem = ConditionalDPP.from_features(X, 3, r)
    subset = [0, 5, 7]
    units = X / np.linalg.norm(X, axis=1, keepdims=True)
    expected = 2 * np.log(r[subset]).sum() + np.linalg.slogdet(units[subset] @ units[subset].T)[1]
    assert problem.value(subset) == pytest.approx(expected, abs=1e-12)
    assert problem.value([]) == 0.0
    assert ConditionalDPP.from_kernel(problem.kernel, 3).value(subset) == pytest.approx(expected, abs=1e-12)


def test_theta_replaces_relevance_by_its_exponential():
    """w = exp(theta r / (2 (1 - theta))); theta = 0 ignores relevance."""
    r = RNG.uniform(size=9)
    assert ConditionalDPP.from_features(X, 3, r, theta=0.0).weights == pytest.approx(np.ones(9))
    assert ConditionalDPP.from_features(X, 3, r, theta=0.5).weights == pytest.approx(np.exp(r / 2))


def test_singular_sets_are_minus_infinity():
    """Copies, zero rows, zero relevance and more tokens than the rank have determinant 0."""
    rows = np.vstack([X, X[:1], np.zeros(4)])
    problem = ConditionalDPP.from_features(rows, 2)
    assert problem.value([0, 9]) == -math.inf
    assert problem.value([1, 10]) == -math.inf
    assert problem.value([0, 1, 2, 3, 4]) == -math.inf
    assert ConditionalDPP.from_features(X, 2, np.r_[0.0, np.ones(8)]).value([0, 1]) == -math.inf


@pytest.mark.parametrize("from_kernel", [False, True])
def test_factor_reproduces_the_kernel(from_kernel):
    """L = F F^T, with features or from a kernel of low rank."""
    problem = ConditionalDPP.from_features(X, 3, RNG.uniform(size=9))
    if from_kernel:
        problem = ConditionalDPP.from_kernel(problem.kernel, 3)
        assert problem.factor.shape[1] == 4
    np.testing.assert_allclose(problem.factor @ problem.factor.T, problem.kernel, atol=1e-12)


def test_truncation_is_the_energy_of_the_pruned_updates():
    """-|| sum_pruned dW ||_F^2, over all heads, and 0 when nothing is pruned."""
    problem = ImplicitWeight.from_keys_values(K, V, 4)
    pruned = [0, 2, 3, 6, 8]
    energy = (updates(K, V)[pruned].sum(axis=0) ** 2).sum()
    assert problem.value([1, 4, 5, 7]) == pytest.approx(-energy, rel=1e-12)
    assert problem.value(range(9)) == 0.0
    assert problem.total_energy == pytest.approx((updates(K, V).sum(axis=0) ** 2).sum())


def test_softmax_kernel_is_the_exponential_on_its_log_scale():
    """exp(log_scale) G_ij = sum_h exp(k_i . k_j / sqrt(d)) (v_i . v_j), and the largest diagonal entry is 1."""
    problem = ImplicitWeight.from_keys_values(K, V, 4, kernel="softmax")
    kappa = np.exp(K @ K.transpose(0, 2, 1) / np.sqrt(3))
    expected = (kappa * (V @ V.transpose(0, 2, 1))).sum(axis=0)
    np.testing.assert_allclose(problem.gram * np.exp(problem.log_scale), expected, rtol=1e-12)
    assert np.diag(problem.gram).max() == pytest.approx(1.0)


def test_softmax_kernel_never_overflows():
    """Exponents far above 709 stay finite on the log scale."""
    problem = ImplicitWeight.from_keys_values(100 * K, V, 4, kernel="softmax")
    assert problem.log_scale > 709
    assert np.isfinite(problem.gram).all()


@pytest.mark.parametrize("kernel", ["linear", "softmax"])
def test_squared_form_is_size_times_mean_squared_cosine(kernel):
    """G = diag(p) (mean_h S o S) diag(p): non-negative, PSD, with p_i = ||dW_i||."""
    problem = ImplicitWeight.from_keys_values(K, V, 4, kernel=kernel, form="squared")
    kappa = K @ K.transpose(0, 2, 1)
    kappa = np.exp(kappa / np.sqrt(3)) if kernel == "softmax" else kappa
    blocks = kappa * (V @ V.transpose(0, 2, 1))
    sizes = np.sqrt(np.diagonal(blocks, axis1=1, axis2=2))
    cosines = blocks / sizes[:, :, None] / sizes[:, None, :]
    p = np.sqrt((sizes**2).sum(axis=0))
    expected = p[:, None] * (cosines**2).mean(axis=0) * p[None, :]
    np.testing.assert_allclose(problem.gram * np.exp(problem.log_scale), expected, rtol=1e-11)
    assert problem.is_submodular
    assert np.linalg.eigvalsh(problem.gram)[0] > -1e-12 * np.diag(problem.gram).max()


@pytest.mark.parametrize("form", ["truncation", "squared"])
def test_query_replaces_the_size_of_an_update(form):
    """p_i = kappa(q, k_i) ||v_i|| per head, softmax kernel, one head."""
    q = RNG.normal(size=3)
    problem = ImplicitWeight.from_keys_values(K[0], V[0], 4, query=q, kernel="softmax", form=form)
    p = np.exp(K[0] @ q / np.sqrt(3)) * np.linalg.norm(V[0], axis=1)
    np.testing.assert_allclose(np.diag(problem.gram) * np.exp(problem.log_scale), p**2, rtol=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "softmax"])
def test_query_weighted_is_the_output_error_with_frozen_normaliser(kernel):
    """y^T G y = sum_q || sum_pruned A_qi v_i ||^2."""
    queries = RNG.normal(size=(2, 6, 3))
    problem = ImplicitWeight.from_keys_values(K, V, 4, query=queries, kernel=kernel, form="query_weighted")
    scores = queries @ K.transpose(0, 2, 1)
    if kernel == "softmax":
        scores = np.exp(scores / np.sqrt(3))
        scores /= scores.sum(axis=2, keepdims=True)
    pruned = [0, 2, 3, 6, 8]
    error = (np.einsum("hmi,hid->hmd", scores[:, :, pruned], V[:, pruned]) ** 2).sum()
    assert problem.value([1, 4, 5, 7]) * np.exp(problem.log_scale) == pytest.approx(-error, rel=1e-11)


def test_zero_updates_have_no_energy():
    """A token with a zero value vector contributes nothing, in any form."""
    values = V.copy()
    values[:, 5] = 0
    for kernel in ("linear", "softmax"):
        for form in ("truncation", "squared"):
            gram = ImplicitWeight.from_keys_values(K, values, 4, kernel=kernel, form=form).gram
            assert (gram[5] == 0).all()


def test_every_objective_is_registered_and_checks_k():
    """k outside 0 .. n, or not a whole number, is refused by every objective."""
    makers = {
        "max-min": lambda k: MaxMinDiversity.from_features(X, k),
        "conditional-dpp": lambda k: ConditionalDPP.from_features(X, k),
        "implicit-weight": lambda k: ImplicitWeight.from_keys_values(K, V, k),
    }
    assert set(makers) == set(OBJECTIVES)
    for make in makers.values():
        for k in (0, 1, 9):
            assert make(k).k == k
        for k in (-1, 10):
            with pytest.raises(ValueError, match=f"k must be between 0 and n = 9, got {k}"):
                make(k)
        with pytest.raises(TypeError, match="whole number"):
            make(2.5)
        with pytest.raises(ValueError, match="between 0 and n = 9, got 10"):
            make(2).with_k(10)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ConditionalDPP.from_features(X, 2, [1.0] * 8), "one entry per token, got 8 for 9"),
        (lambda: ConditionalDPP.from_features(X, 2, [-0.5] + [1.0] * 8), "relevance must be >= 0, got -0.5 at index 0"),
        (lambda: ConditionalDPP.from_features(X, 2, [np.nan] + [1.0] * 8), "relevance must be finite"),
        (lambda: ConditionalDPP.from_features(X, 2, theta=1.0), r"theta must be in \[0, 1\), got 1.0"),
        (lambda: ConditionalDPP.from_kernel([[1.0, 2.0], [2.0, 1.0]], 1), "kernel must be positive semidefinite"),
        (lambda: ConditionalDPP.from_kernel([[1.0, 0.5], [0.4, 1.0]], 1), "kernel must be symmetric"),
        (lambda: ImplicitWeight.from_gram([[0.0, 1.0], [1.0, 0.0]], 1), "G must be positive semidefinite"),
        (lambda: ImplicitWeight.from_keys_values(K, V[:, :8], 2), "K and V must agree"),
        (lambda: ImplicitWeight.from_keys_values(K, V, 2, kernel="rbf"), "kernel must be one of linear, softmax"),
        (lambda: ImplicitWeight.from_keys_values(K, V, 2, form="exact"), "form must be one of truncation, squared"),
        (lambda: ImplicitWeight.from_keys_values(K, V, 2, form="query_weighted"), "needs query, got None"),
        (lambda: ImplicitWeight.from_keys_values(K, V, 2, query=np.ones(4)), "query must be"),
        (lambda: ImplicitWeight.from_keys_values(K, V, 2, query=np.ones((2, 3))), "takes one query per head, got 2"),
        (lambda: ImplicitWeight.from_keys_values(K * np.inf, V, 2), "K must be finite"),
    ],
)
def test_bad_input_is_named(build, message):
    """One sentence with the value and the allowed range."""
    with np.errstate(invalid="ignore"), pytest.raises(ValueError, match=message):
        build()


def test_subsets_are_checked():
    """Repeated or foreign indices never reach the definition."""
    problem = MaxMinDiversity.from_features(X, 2)
    with pytest.raises(ValueError, match="distinct indices, got 3 more than once"):
        problem.value([3, 3])
    with pytest.raises(ValueError, match="between 0 and 8, got 9"):
        problem.value([0, 9])
    with pytest.raises(TypeError, match="whole numbers"):
        problem.value([0.5, 1.0])


def test_with_k_shares_matrices():
    """Another budget costs no new matrix."""
    problem = ConditionalDPP.from_features(X, 2)
    kernel = problem.kernel
    other = problem.with_k(5)
    assert (problem.k, other.k) == (2, 5)
    assert other.kernel is kernel


def test_constraints_are_checked_against_the_ground_set():
    """Indices, labels and quotas that do not fit are refused, and violations are told in words."""
    with pytest.raises(ValueError, match="keep must hold indices between 0 and 8, got 9"):
        MaxMinDiversity.from_features(X, 2, constraints=Constraints(keep=(9,)))
    with pytest.raises(ValueError, match="two distinct indices"):
        MaxMinDiversity.from_features(X, 2, constraints=Constraints(forbidden_pairs=((1, 1),)))
    with pytest.raises(ValueError, match="one label per token, got 2 for 9"):
        MaxMinDiversity.from_features(X, 2, constraints=Constraints(groups=(0, 1)))
    with pytest.raises(ValueError, match="names group 7"):
        MaxMinDiversity.from_features(X, 2, constraints=Constraints(groups=(0,) * 9, min_per_group={7: 1}))
    rules = Constraints(
        keep=(1,), forbidden_pairs=((1, 2),), groups=(0, 0, 0, 1, 1), min_per_group={1: 1}, max_per_group={0: 2}
    )
    assert rules
    assert not Constraints()
    assert rules.violation(np.array([1, 0, 3])) is None
    assert "token 1 must be kept" in rules.violation(np.array([0, 3]))
    assert "must not both" in rules.violation(np.array([1, 2, 3]))
    assert "at least 1" in rules.violation(np.array([0, 1]))
    assert "at most 2" in Constraints(groups=(0, 0, 0), max_per_group={0: 2}).violation(np.array([0, 1, 2]))


def test_a_new_objective_is_one_method():
    """A user's own objective needs a name, a gap kind and a definition."""

    class Spread(Problem):
        name = "spread"
        gap_kind = "relative"

        def _value(self, subset):
            return float(self.ground.distances[np.ix_(subset, subset)].sum())

    from mmdp import GroundSet

    assert Spread(GroundSet(np.eye(3)), 2).value([0, 1]) == 2.0

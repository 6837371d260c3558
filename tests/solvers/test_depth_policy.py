"""Depth policies: enumeration against a literal loop and against OR-Tools; the edges that the method's page names."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from mmdp.depth_policy import DepthPolicyProblem, interpolated
from solvers.depth_policy import solve_depth_policy
from solvers.exact.depth_policy import knapsack


def random_problem(seed, L=6, counts=(0, 8, 20, 36), pruned="qkv", budget=0.4):
    rng = np.random.default_rng(seed)
    curves = [np.append(np.sort(rng.exponential(size=L))[::-1], 0.0) for _ in range(2)]
    gamma = np.append(np.sort(rng.exponential(size=len(counts) - 1))[::-1], 0.0)
    n = np.asarray(counts, dtype=float)
    costs = {"attention_cost": 8 * n + n * n / 10, "mlp_cost": 20 * n, "fixed_cost": 50.0}
    dense = 50.0 + L * (costs["attention_cost"][-1] + costs["mlp_cost"][-1])
    return DepthPolicyProblem.additive(
        *curves, gamma, tokens=counts, budget=50.0 + budget * (dense - 50.0), pruned=pruned, **costs
    ), (*curves, gamma, costs)


def literal(problem, parts, pruned):
    """The box of the method: every triple, effective MLP depth in cost and loss, ties in the stated order."""
    alpha, beta, gamma, costs = parts
    L, best = len(alpha) - 1, None
    for a, p, b in itertools.product(range(L + 1), range(L + 1), range(len(gamma))):
        last = max(a - 1, 0) if pruned == "qkv" else L - 1
        cost = costs["fixed_cost"] + a * costs["attention_cost"][b] + min(p, last) * costs["mlp_cost"][b]
        loss = alpha[a] + (beta[p] if p < last else 0.0) + gamma[b]
        if cost <= problem.budget:
            key = (loss, cost, -int(problem.tokens[b]), -a, -min(p, last))
            best = key if best is None else min(best, key)
    loss, cost, n, a, p = best
    a, p = (-a, -p) if n else (0, 0)
    return a, p, -n, loss, cost


@pytest.mark.parametrize("pruned", ["qkv", "q"])
@pytest.mark.parametrize("budget", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_enumeration_is_the_literal_loop(pruned, budget):
    for seed in range(10):
        problem, parts = random_problem(seed, pruned=pruned, budget=budget)
        found = solve_depth_policy(problem)
        a, p, n, loss, cost = literal(problem, parts, pruned)
        assert (found.attention_depth, found.mlp_depth, found.tokens) == (a, p, n)
        assert found.loss == pytest.approx(loss, abs=1e-12)
        assert found.cost == pytest.approx(cost)
        assert found.cost <= problem.budget


@pytest.mark.parametrize("budget", [0.05, 0.3, 0.7])
def test_cp_sat_finds_the_same_loss(budget):
    for seed in range(5):
        problem, _ = random_problem(seed, budget=budget)
        assert solve_depth_policy(problem, "cp_sat").loss == pytest.approx(solve_depth_policy(problem).loss, abs=1e-9)


def test_a_budget_for_everything_prunes_only_dead_code():
    problem, _ = random_problem(0, budget=1.0)
    found = solve_depth_policy(problem)
    assert (found.attention_depth, found.mlp_depth, found.tokens, found.loss) == (6, 5, 36, 0.0)
    assert found.dense_cost == pytest.approx(50.0 + 6 * (8 * 36 + 36**2 / 10 + 20 * 36))
    assert found.cost == pytest.approx(found.dense_cost - 20 * 36)  # whose last MLP runs for nothing


def test_without_attention_the_mlps_count_only_where_the_text_still_reads():
    """Under "q" tokens that never ask are still keys and values, changed by the MLPs; under "qkv" nothing reads them."""
    for pruned, mlp_depth in (("qkv", 0), ("q", 1)):
        problem = DepthPolicyProblem.additive(
            [0.1, 0.0, 0.0], [5.0, 4.0, 0.0], [0.0], tokens=[10], attention_cost=[3.0], mlp_cost=[1.0],
            fixed_cost=0.0, budget=2.0, pruned=pruned,
        )  # fmt: skip
        found = solve_depth_policy(problem)
        assert (found.attention_depth, found.mlp_depth) == (0, mlp_depth)


def test_the_dead_code_rule_is_not_a_constraint():
    """Charging the MLP loss at the last useful depth would favour another policy: the toy case of the method's page."""
    alpha, beta = [9.0, 0.1, 0.05, 0.0], [5.0, 4.0, 3.0, 0.0]
    problem = DepthPolicyProblem.additive(
        alpha, beta, [0.0], tokens=[10], attention_cost=[1.0], mlp_cost=[1.0], fixed_cost=0.0, budget=3.0
    )
    found = solve_depth_policy(problem)
    assert (found.attention_depth, found.mlp_depth, found.loss) == (2, 1, 0.05)


def test_a_measured_table_is_optimised_as_it_is():
    rng = np.random.default_rng(3)
    loss, cost = rng.random((4, 4, 2)), rng.random((4, 4, 2))
    problem = DepthPolicyProblem.table(loss, cost, tokens=[5, 9], budget=0.5)
    assert solve_depth_policy(problem).loss == loss[cost <= 0.5].min()


def test_losses_that_are_not_finite_are_left_out():
    problem, _ = random_problem(1)
    best = solve_depth_policy(problem)
    where = (best.attention_depth, best.mlp_depth, int(np.searchsorted(problem.tokens, best.tokens)))
    loss = problem.loss.copy()
    loss[where] = np.nan
    other = solve_depth_policy(
        DepthPolicyProblem.table(loss, problem.cost, problem.allowed, tokens=[0, 8, 20, 36], budget=problem.budget)
    )
    assert other.loss >= best.loss
    assert (other.attention_depth, other.mlp_depth, other.tokens) != (
        best.attention_depth,
        best.mlp_depth,
        best.tokens,
    )


def test_the_knapsack_is_the_best_of_all_choices_and_never_worse_than_depths():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        loss, cost = rng.exponential(size=(4, 2)), np.array([3.0, 5.0])
        budget = 1.0 + 0.5 * 4 * cost.sum()
        kept, lost = knapsack(loss, cost, 1.0, budget)
        assert 1.0 + (kept * cost).sum() <= budget
        choices = (np.array(bits).reshape(4, 2) for bits in itertools.product([0, 1], repeat=8))
        best = min(loss[c == 0].sum() for c in choices if 1.0 + (c * cost).sum() <= budget)
        assert lost == pytest.approx(best, abs=1e-9)
        deepest = min(
            loss[a:, 0].sum() + loss[p:, 1].sum()
            for a, p in itertools.product(range(5), repeat=2)
            if 1.0 + a * cost[0] + p * cost[1] <= budget
        )
        assert lost <= deepest + 1e-9


def test_curves_are_interpolated_and_clipped():
    with pytest.warns(UserWarning, match="depth 3 is nan"):
        curve = interpolated({0: 4.0, 2: 1.0, 3: math.nan, 4: -1e-9}, 5)
    np.testing.assert_allclose(curve, [4.0, 2.5, 1.0, 0.5, 0.0, 0.0])
    with pytest.raises(ValueError, match="finite loss at depth 0"):
        interpolated({2: 1.0}, 4)
    with pytest.raises(ValueError, match="between 0 and 4, got 7"):
        interpolated({7: 1.0}, 4)


@pytest.mark.parametrize("bad", [-1, 1.5, True, "2"])
@pytest.mark.parametrize("name", ["attention_depth", "mlp_depth", "tokens"])
def test_a_policy_is_made_of_whole_numbers(name, bad):
    policy = solve_depth_policy(random_problem(2)[0])
    with pytest.raises(ValueError, match=f"{name} must be a whole number >= 0, got {bad!r}"):
        replace(policy, **{name: bad})


def test_what_does_not_fit_is_refused():
    good = {"tokens": [0, 4], "attention_cost": [0, 1], "mlp_cost": [0, 1], "fixed_cost": 2.0, "budget": 9.0}
    build = DepthPolicyProblem.additive
    with pytest.raises(ValueError, match=r"budget must be at least 2, .* got 1"):
        build([1, 0], [1, 0], [1, 0], **good | {"budget": 1.0})
    with pytest.raises(ValueError, match="one entry per depth"):
        build([1, 0], [1, 1, 0], [1, 0], **good)
    with pytest.raises(ValueError, match="ascending"):
        build([1, 0], [1, 0], [1, 0], **good | {"tokens": [4, 0]})
    with pytest.raises(ValueError, match="mlp_cost must be >= 0"):
        build([1, 0], [1, 0], [1, 0], **good | {"mlp_cost": [-1, 0]})
    with pytest.raises(ValueError, match="pruned must be qkv or q, got 'kv'"):
        build([1, 0], [1, 0], [1, 0], pruned="kv", **good)

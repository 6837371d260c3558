"""DivPrune picks what its paper says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from lmm_integration import DivPrune, VisualTokens  # noqa: E402
from mmdp import check  # noqa: E402
from solvers import solve  # noqa: E402


def distances(x, kind):
    """(n, n) float64, straight from the formulas."""
    x = x.double().numpy()
    if kind == "centred":
        x = x - x.mean(0)
    if kind in ("cosine", "centred"):
        u = x / np.linalg.norm(x, axis=1, keepdims=True)
        return 1 - u @ u.T
    gaps = np.abs(x[:, None] - x[None])
    return gaps.sum(-1) if kind == "l1" else np.sqrt((gaps**2).sum(-1))


def literal(x, k, kind):
    """Algorithm 1: the token whose nearest neighbour is farthest, then farthest from the chosen, again and again."""
    d = distances(x, kind)
    n = len(d)
    chosen = [max(range(n), key=lambda i: (min(d[i, j] for j in range(n) if j != i), -i))]
    while len(chosen) < k:
        rest = [i for i in range(n) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (min(d[i, s] for s in chosen), -i)))
    return chosen


@pytest.mark.parametrize("kind", ["cosine", "centred", "l1", "l2"])
@settings(deadline=None, max_examples=15)
@given(n=st.integers(2, 30), d=st.integers(2, 8), seed=st.integers(0, 10**6), data=st.data())
def test_the_picks_are_those_of_the_formula(kind, n, d, seed, data):
    """For every distance the order of selection is that of the paper's algorithm, and raster order is it sorted."""
    k = data.draw(st.integers(1, n))
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed))
    expected = literal(x, k, kind)
    d_all = distances(x, kind)
    (picks,) = DivPrune(distance=kind, order="selection").select(VisualTokens([x]), [k])
    picks = picks.tolist()
    for t in range(1, k):  # equal up to rounding: each pick is within 1e-6 of the best there is
        reach = d_all[:, picks[:t]].min(1)
        assert reach[picks[t]] >= np.delete(reach, picks[:t]).max() - 1e-6
    if n > 2:
        assert picks[0] == expected[0]
    (raster,) = DivPrune(distance=kind).select(VisualTokens([x]), [k])
    assert raster.tolist() == sorted(picks)


@pytest.mark.parametrize("kind", ["cosine", "centred", "l1", "l2"])
def test_the_whole_order_is_literal_on_tokens_without_near_ties(kind):
    """On 60 Gaussian tokens the pick order is the literal one, token by token."""
    x = torch.randn(60, 16, generator=torch.Generator().manual_seed(3))
    (picks,) = DivPrune(distance=kind, order="selection").select(VisualTokens([x]), [25])
    assert picks.tolist() == literal(x, 25, kind)


def test_half_precision_features_are_scored_in_full_precision():
    """bf16 tokens are chosen as their exact float32 copies are."""
    x = torch.randn(50, 12, generator=torch.Generator().manual_seed(0)).bfloat16()
    (half,) = DivPrune().select(VisualTokens([x]), [20])
    (full,) = DivPrune().select(VisualTokens([x.float()]), [20])
    assert torch.equal(half, full)


@pytest.mark.parametrize("kind", ["cosine", "centred", "l1", "l2"])
def test_units_of_different_size_do_not_meet(kind):
    """Every unit of a call is chosen from as if it were alone."""
    generator = torch.Generator().manual_seed(1)
    units = [torch.randn(n, 6, generator=generator) for n in (5, 17, 9)]
    together = DivPrune(distance=kind).select(VisualTokens(units), [2, 9, 9])
    for unit, k, picks in zip(units, (2, 9, 9), together, strict=True):
        assert torch.equal(DivPrune(distance=kind).select(VisualTokens([unit]), [k])[0], picks)


@pytest.mark.parametrize("kind", ["cosine", "centred", "l1", "l2"])
def test_other_solvers_optimise_the_same_objective(kind):
    """Greedy <= local search <= the proven optimum, each valued by the definition."""
    tokens = VisualTokens([torch.randn(12, 4, generator=torch.Generator().manual_seed(5))])
    (problem,) = DivPrune(distance=kind).problems(tokens, [4])
    value = {}
    for solver in ("greedy", "local_search", "brute_force"):
        (picks,) = DivPrune(distance=kind, solver=solver, time_limit=5).select(tokens, [4])
        assert (picks.diff() > 0).all()
        value[solver] = problem.value(picks.numpy())
    assert value["greedy"] <= value["local_search"] <= value["brute_force"] + 1e-12
    best = solve(problem, "brute_force")
    check(problem, best)
    assert value["brute_force"] == best.objective


def test_exact_is_the_best_proving_method_of_the_catalog():
    """`solver="exact"` reaches the optimum of the definition, on more tokens than can be enumerated."""
    tokens = VisualTokens([torch.randn(40, 6, generator=torch.Generator().manual_seed(2))])
    (problem,) = DivPrune().problems(tokens, [5])
    (picks,) = DivPrune(solver="exact", time_limit=20).select(tokens, [5])
    best = solve(problem, "exact")
    assert best.gap == 0
    assert problem.value(picks.numpy()) == pytest.approx(best.objective)


def test_tokens_that_are_not_finite_are_refused():
    """A NaN is named, with its place."""
    x = torch.ones(4, 2)
    x[2, 1] = torch.nan
    with pytest.raises(ValueError, match="must be finite, got nan"):
        DivPrune().select(VisualTokens([x]), [2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distance": "cos"}, "distance must be one of 'cosine', 'centred', 'l1', 'l2', got 'cos'"),
        ({"order": "sorted"}, "order must be one of 'raster', 'selection', got 'sorted'"),
        ({"position_policy": "original"}, "position_policy must be one of 'repack', 'keep', got 'original'"),
        ({"time_limit": -1}, "time_limit must be >= 0 seconds, got -1"),
        ({"solver": ""}, "solver must be 'greedy', 'local_search', 'exact'"),
    ],
)
def test_options_are_checked_when_the_pruner_is_made(options, message):
    """One sentence with the value and what is allowed."""
    with pytest.raises(ValueError, match=message):
        DivPrune(**options)


def test_an_unknown_solver_is_named():
    """`solvers.solve` says which methods there are."""
    with pytest.raises(ValueError, match="unknown method 'greddy'"):
        DivPrune(solver="greddy").select(VisualTokens([torch.eye(3)]), [2])

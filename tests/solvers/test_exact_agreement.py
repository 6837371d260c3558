"""Every proving solver agrees with enumeration, on hundreds of small instances, degenerate ones among them."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdp import ConditionalDPP, Constraints, ImplicitWeight, MaxMinDiversity, Problem, Status, check
from solvers import CATALOG, solve

PROVERS = sorted({(row.name, objective) for row in CATALOG if row.exact for objective in row.solves})
SLOW = {"kuby", "sayah_irnich"}  # textbook models: tens of milliseconds each
CONSTRAINED = [(name, objective) for name, objective in PROVERS if name not in ("branch_and_bound", *SLOW)]


@st.composite
def tokens(draw) -> np.ndarray:
    """Up to ten tokens: generic, on a small integer grid (ties), of low rank, with copies, with zero rows."""
    n = draw(st.integers(1, 10))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["generic", "grid", "low rank", "copies", "zeros", "common mean"]))
    X = rng.normal(size=(n, 4))
    if kind == "grid":
        X = rng.integers(-1, 2, size=(n, 3)).astype(float)
    elif kind == "low rank":
        X = X[:, :2] @ rng.normal(size=(2, 4))
    elif kind == "copies":
        X = X[rng.integers(0, max(1, n // 2), size=n)]
    elif kind == "zeros":
        X[rng.random(n) < 0.4] = 0
    elif kind == "common mean":
        X = 0.1 * X + 1
    return X


@st.composite
def problems(draw, objective: str) -> Problem:
    """A problem of the objective on such tokens, any budget."""
    X = draw(tokens())
    k = draw(st.integers(0, len(X)))
    if objective == "max-min":
        return MaxMinDiversity.from_features(X, k, draw(st.sampled_from(["cosine", "chordal", "euclidean"])))
    if objective == "conditional-dpp":
        relevance = draw(st.sampled_from([np.ones(len(X)), np.linspace(0, 1, len(X))]))
        return ConditionalDPP.from_features(X, k, relevance)
    form = draw(st.sampled_from(["truncation", "squared"]))
    return ImplicitWeight.from_keys_values(X, np.roll(X, 1, axis=1), k, form=form)


def optimum(problem: Problem) -> float:
    """The best value by the definition, -inf where no set satisfies the constraints."""
    sets = (np.array(s, dtype=np.int64) for s in itertools.combinations(range(problem.n), problem.k))
    return max((problem.value(s) for s in sets if problem.constraints.violation(s) is None), default=-math.inf)


def agrees(problem: Problem, method: str) -> None:
    """objective = optimum = bound up to the tolerance that the solver states, and the answer checks."""
    answer = solve(problem, method, time_limit=60)
    best = optimum(problem)
    check(problem, answer)
    assert answer.status is Status.OPTIMAL
    if math.isfinite(best):
        scale = max(abs(best), getattr(problem, "total_energy", 1.0) * 1e-3, 1e-9)
        assert answer.objective == pytest.approx(best, rel=1e-6, abs=1e-6 * scale)
        assert answer.objective <= best + 1e-9 * max(1.0, abs(best))
    else:
        assert answer.objective == best


@pytest.mark.parametrize(("method", "objective"), [p for p in PROVERS if p[0] not in SLOW])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_agrees_with_enumeration(method, objective, data):
    """The same optimum on any instance, whatever is degenerate about it."""
    agrees(data.draw(problems(objective)), method)


@pytest.mark.parametrize("method", sorted(SLOW))
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_textbook_models_agree_with_enumeration(method, data):
    """The same for the teaching baselines, on fewer instances."""
    agrees(data.draw(problems("max-min")), method)


@pytest.mark.parametrize(("method", "objective"), CONSTRAINED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_constraints_are_honoured_and_proved(method, objective, data):
    """With must-keep tokens, forbidden pairs and quotas: the constrained optimum, or the proof that there is none."""
    base = data.draw(problems(objective))
    n = base.n
    token = st.integers(0, n - 1)
    pairs = data.draw(st.lists(st.tuples(token, token), max_size=3))
    rules = Constraints(
        keep=tuple(data.draw(st.lists(token, max_size=2, unique=True))),
        forbidden_pairs=tuple((i, j) for i, j in pairs if i != j),
        groups=tuple(i % 2 for i in range(n)),
        max_per_group={0: data.draw(st.integers(0, n))},
        min_per_group={0: data.draw(st.integers(0, 2))},
    )
    base.constraints = rules
    answer = solve(base, method, time_limit=60)
    sets = itertools.combinations(range(n), base.k)
    feasible = any(rules.violation(np.array(s, dtype=np.int64)) is None for s in sets)
    if feasible:
        agrees(base, method)
    else:
        assert answer.status is Status.INFEASIBLE
        assert len(answer.indices) == 0


@pytest.mark.parametrize("objective", ["max-min", "conditional-dpp", "implicit-weight"])
@pytest.mark.alone
def test_time_limits_are_kept_and_leave_valid_bounds(objective):
    """A hard instance under a short limit: in time (a second more at most), a checked set, a bound that holds."""
    from mmdp.instances import load

    problem = load("gaussian/200x64/0").problem(objective, 60)
    for method in ("exact", "auto"):
        answer = solve(problem, method, time_limit=1.5)
        check(problem, answer)
        assert answer.seconds < 2.5 + 1.0  # the second one is for a busy machine
        assert answer.objective <= answer.bound

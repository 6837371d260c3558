"""FastV, IWP and DivPrune at inner layers pick what their papers say."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmm_integration import IWP, DivPrune, FastV, VisualTokens  # noqa: E402
from lmm_integration.layer_tokens import LayerTokens, inner_layers  # noqa: E402
from lmm_integration.pruners import backends, iwp  # noqa: E402
from mmdp import check  # noqa: E402
from solvers import solve  # noqa: E402
from solvers.catalog import CATALOG  # noqa: E402


def layer_tokens(sizes=(30, 17), kv_heads=2, heads=4, width=8, seed=0, scale=1.0):
    """Units as a decoder layer with grouped queries hands them over."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return scale * torch.randn(*shape, generator=generator)

    return LayerTokens(
        features=[normal(n, 12) for n in sizes],
        layer=4,
        attention=[normal(n).softmax(0) for n in sizes],
        keys=[normal(kv_heads, n, width) for n in sizes],
        keys_unrotated=[normal(kv_heads, n, width) for n in sizes],
        values=[normal(kv_heads, n, width) for n in sizes],
        query=[normal(heads, width) for _ in sizes],
        query_rotated=[normal(heads, width) for _ in sizes],
    )


def literal_magnitudes(keys, values, query, head_norm):
    """P of one unit, number by number, from the formulas."""
    heads, n, width = keys.shape
    group = len(query) // heads
    rows = []
    for h in range(heads):
        q = sum(query[h * group + g] for g in range(group)) / group
        logits = [float(q @ keys[h, i]) / math.sqrt(width) for i in range(n)]
        norms = [float(values[h, i].norm()) for i in range(n)]
        if head_norm == "softmax":
            total = sum(math.exp(x) for x in logits)
            rows.append([math.exp(x) / total * v for x, v in zip(logits, norms, strict=True)])
        else:
            row = [math.exp(x) * v for x, v in zip(logits, norms, strict=True)]
            top = max(row) if head_norm == "max" else 1.0
            rows.append([x / top for x in row])
    mean = [sum(row[i] for row in rows) / heads for i in range(n)]
    return [x / max(mean) for x in mean]


def literal_redundancy(keys, values, heads, square):
    """R of one unit as a nested list."""
    count, n, width = keys.shape
    root = math.sqrt(width)

    def cosine(a, b):
        return float(a @ b / (a.norm() * b.norm()))

    def kernel(a, b):
        return math.exp(float(a @ b) / root)

    R = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            if heads == "mean":
                S = [
                    cosine(values[h, i], values[h, j])
                    * math.exp(-float(((keys[h, i] - keys[h, j]) ** 2).sum()) / (2 * root))
                    for h in range(count)
                ]
            else:

                def gram(a, b):
                    return sum(
                        kernel(keys[h, a], keys[h, b]) * float(values[h, a] @ values[h, b]) for h in range(count)
                    )

                S = [gram(i, j) / math.sqrt(gram(i, i) * gram(j, j))]
            R[i][j] = sum(s * s if square else s for s in S) / len(S)
    return R


def literal_chunks(P, R, k, chunk=2, growth=2, strength=5.0):
    """Algorithm 1 of the paper: C, U, L by their names."""
    P, C, U, b = list(P), [], list(range(len(P))), chunk
    while len(C) < k:
        L = sorted(U, key=lambda i: (-P[i], i))[: min(b, k - len(C))]
        C += L
        U = [i for i in U if i not in L]
        for i in U:
            P[i] *= max(0.01, 1 - strength * max(R[i][j] for j in L))
        b *= growth
    return sorted(C)


OPTIONS = [
    {},
    {"head_norm": "softmax"},
    {"head_norm": "none"},
    {"magnitude_rope": True},
    {"duplication_rope": False},
    {"heads": "block"},
    {"square": False},
    {"heads": "block", "square": False},
    {"chunk": 1, "growth": 1, "strength": 10.0},
    {"chunk": 8, "growth": 4, "strength": 1.0},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_iwp_is_the_published_algorithm(options):
    """Every option of the specification, against the formulas written out."""
    tokens = layer_tokens(scale=0.7)
    pruner = IWP(**options)
    picks = pruner.select(tokens, [11, 17])
    for u, k in enumerate((11, 17)):
        magnitude_keys = tokens.keys if pruner.magnitude_rope else tokens.keys_unrotated
        query = tokens.query_rotated if pruner.magnitude_rope else tokens.query
        P = literal_magnitudes(
            magnitude_keys[u].double(), tokens.values[u].double(), query[u].double(), pruner.head_norm
        )
        np.testing.assert_allclose(pruner.magnitudes(tokens)[u], P, rtol=1e-9)
        keys = tokens.keys if pruner.duplication_rope else tokens.keys_unrotated
        R = literal_redundancy(keys[u].double(), tokens.values[u].double(), pruner.heads, pruner.square)
        assert picks[u].tolist() == literal_chunks(P, R, k, pruner.chunk, pruner.growth, pruner.strength)


@pytest.mark.parametrize("options", [{}, {"heads": "block"}, {"square": False}], ids=str)
def test_iwp_problems_are_the_energy_of_what_goes(options):
    """-y^T diag(P) R diag(P) y, convex, and with squares also submodular."""
    tokens = layer_tokens(scale=0.7)
    pruner = IWP(**options)
    for u, problem in enumerate(pruner.problems(tokens, [6, 9])):
        P = pruner.magnitudes(tokens)[u]
        R = np.array(
            literal_redundancy(tokens.keys[u].double(), tokens.values[u].double(), pruner.heads, pruner.square)
        )
        gone = [i for i in range(problem.n) if i % 3]
        kept = [i for i in range(problem.n) if i % 3 == 0]
        expected = sum(P[i] * P[j] * R[i, j] for i in gone for j in gone)
        fitted = type(problem).from_gram(problem.gram, len(kept))
        assert fitted.value(kept) == pytest.approx(-expected, rel=1e-9)
        assert np.linalg.eigvalsh(problem.gram).min() > -1e-12
        assert problem.is_submodular == pruner.square


def test_other_solvers_of_iwp_optimise_that_energy():
    """Greedy within 1 - 1/e of the explained energy, local search between it and the proven optimum."""
    tokens = layer_tokens(sizes=(14,), scale=0.7)
    (problem,) = IWP().problems(tokens, [5])
    value = {}
    for solver in ("pcmmr", "greedy", "local_search", "exact"):
        (picks,) = IWP(solver=solver, time_limit=20).select(tokens, [5])
        assert (picks.diff() > 0).all()
        assert len(picks) == 5
        value[solver] = problem.value(picks.numpy())
    best = solve(problem, "brute_force")
    check(problem, best)
    assert value["exact"] == pytest.approx(best.objective, rel=1e-9)
    assert max(value["pcmmr"], value["greedy"]) <= value["local_search"] <= best.objective + 1e-12
    explained = {name: problem.total_energy + found for name, found in value.items()}
    assert explained["greedy"] >= (1 - 1 / math.e) * explained["exact"]


@pytest.mark.parametrize("solver", ["pcmmr", "greedy"])
def test_iwp_at_the_edges(solver):
    """No tokens wanted, all wanted, copies, tokens without value, no value at all."""
    tokens = layer_tokens(sizes=(9,))
    pruner = IWP(solver=solver)
    assert pruner.select(tokens, [0])[0].tolist() == []
    assert pruner.select(tokens, [9])[0].tolist() == list(range(9))
    for name in ("keys", "keys_unrotated", "values"):
        getattr(tokens, name)[0][:, 1:4] = getattr(tokens, name)[0][:, :1]
    assert len(pruner.select(tokens, [6])[0].unique()) == 6
    tokens.values[0][:, 5] = 0
    assert pruner.magnitudes(tokens)[0][5] == 0
    assert 5 not in pruner.select(tokens, [8])[0]
    tokens.values[0][:] = 0
    assert pruner.magnitudes(tokens)[0].tolist() == [1.0] * 9
    assert pruner.select(tokens, [4])[0].tolist() == [0, 1, 2, 3]


def test_iwp_survives_keys_whose_exponents_overflow():
    """Scores of several hundred, as real keys give them, are compared as logarithms."""
    tokens = layer_tokens(scale=25.0)
    for options in ({}, {"head_norm": "none"}, {"head_norm": "softmax"}, {"heads": "block"}):
        (P, _) = IWP(**options).magnitudes(tokens)
        assert np.isfinite(P).all()
        assert P.max() == 1
        picks = IWP(**options).select(tokens, [10, 10])
        assert [len(chosen.unique()) for chosen in picks] == [10, 10]
    for heads in ("mean", "block"):
        R = IWP(heads=heads)._redundancy(tokens.keys[0], tokens.values[0])
        np.testing.assert_allclose(R.diagonal(), 1.0, rtol=1e-9)
        assert R.max() <= 1 + 1e-9


@pytest.mark.parametrize("name", ["keys_unrotated", "values", "query"])
def test_iwp_refuses_what_is_not_finite(name):
    """With the name of what it is."""
    tokens = layer_tokens()
    getattr(tokens, name)[0].view(-1)[3] = torch.inf
    with pytest.raises(ValueError, match="must be finite, got inf"):
        IWP().select(tokens, [3, 3])


@pytest.mark.parametrize("backend", ["gpu", "cpu", "naive"])
def test_every_door_of_pc_mmr_gives_iwp_the_same_picks(monkeypatch, backend):
    """Tensors or arrays, the choice is that of the plain one."""
    rows = {row.backend: row.module for row in CATALOG if row.name == "pc_mmr"}
    if backend not in rows:
        pytest.skip(f"pc_mmr has no backend {backend}")
    tokens = layer_tokens(scale=0.7)
    expected = IWP(heads="mean").select(tokens, [11, 9])
    found = getattr(pytest.importorskip(rows[backend]), "pc_mmr")  # noqa: B009 (a name of the catalog)
    monkeypatch.setattr(iwp, "door", lambda name, accelerated: (backend, found))
    for a, b in zip(expected, IWP().select(tokens, [11, 9]), strict=True):
        assert torch.equal(a, b)


def test_fastv_keeps_the_most_attended():
    """Top k of the row, ties to the lowest index, raster order."""
    tokens = layer_tokens()
    picks = FastV().select(tokens, [5, 17])
    for row, k, chosen in zip(tokens.attention, (5, 17), picks, strict=True):
        assert chosen.tolist() == sorted(sorted(range(len(row)), key=lambda i: (-float(row[i]), i))[:k])
    tokens.attention[0][:] = 0.5
    assert FastV().select(tokens, [3, 1])[0].tolist() == [0, 1, 2]


def test_published_budgets():
    """FastV's 192, 128 and 64 are layer means; its own R and IWP's share count what is left."""
    assert [FastV().kept(576, k, 32) for k in (192, 128, 64)] == [(166,), (98,), (30,)]
    assert FastV(budget="final").kept(576, 288, 32) == (288,)
    assert IWP().kept(576, 64, 28) == (64,)
    assert DivPrune(layer=2).kept(50, 64, 28) == (50,)
    assert (DivPrune().kept(576, 64, 28), DivPrune().layers(28)) == ((), ())


def test_published_layers():
    """2 of 32 and 4 of 28, at other depths by the one rule; a layer that is given is taken."""
    assert [FastV().layers(depth) for depth in (32, 40, 16)] == [(2,), (2,), (1,)]
    assert [IWP().layers(depth) for depth in (28, 64, 14)] == [(4,), (4,), (2,)]
    assert FastV(layer=3).layers(32) == DivPrune(layer=3).layers(32) == (3,)
    assert inner_layers(FastV(layer=31), 32) == (31,)


def test_positions_are_kept_inside_the_model():
    """What DivPrune's policy is hangs on its layer."""
    assert [DivPrune(layer=layer).position_policy for layer in (0, 2)] == ["repack", "keep"]
    assert DivPrune(position_policy="keep").position_policy == FastV().position_policy == "keep"
    assert DivPrune(layer=2, position_policy="repack").position_policy == "repack"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: FastV(layer=0), ValueError, "layer must be >= 1, a decoder layer counted from 0, got 0"),
        (lambda: FastV(layer=1.0), TypeError, "layer must be a whole number or None, got 1.0"),
        (lambda: FastV(budget="input"), ValueError, "budget must be one of 'layer_mean', 'final', got 'input'"),
        (lambda: FastV(order="selection"), ValueError, "order must be 'raster', got 'selection'"),
        (lambda: IWP(position_policy="new"), ValueError, "position_policy must be one of 'repack', 'keep', got 'new'"),
        (lambda: DivPrune(layer=2, order="selection"), ValueError, "order must be 'raster', got 'selection'"),
        (lambda: DivPrune(layer=-1), ValueError, "layer must be >= 1, a decoder layer counted from 0, got -1"),
        (lambda: IWP(query="mean"), ValueError, "query must be one of 'text', 'last', 'image', got 'mean'"),
        (lambda: IWP(head_norm="sum"), ValueError, "head_norm must be one of 'max', 'none', 'softmax', got 'sum'"),
        (lambda: IWP(heads="all"), ValueError, "heads must be one of 'mean', 'block', got 'all'"),
        (lambda: IWP(chunk=0), ValueError, "chunk must be >= 1, got 0"),
        (lambda: IWP(solver=""), ValueError, "solver must be 'greedy', 'local_search', 'exact'"),
    ],
)
def test_options_are_checked_when_the_pruner_is_made(make, error, message):
    """One sentence with the value and what is allowed."""
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(("pruner", "name"), [(FastV(), "attention"), (IWP(), "keys")])
def test_tokens_in_front_of_the_model_are_refused(pruner, name):
    """They have neither attention nor keys."""
    with pytest.raises(ValueError, match=rf"needs LayerTokens\.{name}"):
        pruner.select(VisualTokens([torch.zeros(3, 2)]), [1])


def test_fields_of_layer_tokens_have_one_entry_per_unit():
    """As those of VisualTokens."""
    with pytest.raises(ValueError, match="keys must have one entry per unit, got 2 for 1 units"):
        LayerTokens([torch.zeros(2, 2)], keys=[torch.zeros(1, 2, 2)] * 2)


def test_backends_know_the_door_of_iwp():
    """The catalog has it."""
    assert backends.door("pc_mmr", accelerated=False)[1].__name__ == "pc_mmr"

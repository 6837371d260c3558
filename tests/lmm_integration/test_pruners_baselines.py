"""The baselines, the choice of backend, and the table of methods."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmm_integration import (  # noqa: E402
    AveragePool,
    ClsAttention,
    DivPrune,
    RandomPruner,
    UniformGrid,
    VisualTokens,
    methods_table,
    prune_inputs,
)
from lmm_integration.pruners import METHODS, backends  # noqa: E402
from lmm_integration.pruners.cells import cells  # noqa: E402
from lmm_integration.pruners.table import COLUMNS  # noqa: E402
from solvers.catalog import CATALOG  # noqa: E402
from solvers.farthest_first.naive import farthest_first  # noqa: E402
from solvers.greedy_map.naive import greedy_map  # noqa: E402


@pytest.mark.parametrize("n", [1, 2, 7, 10, 576])
def test_on_a_line_the_grid_is_the_published_rule(n):
    """Without a raster the kept tokens are floor((i + 1/2) n / k)."""
    for k in range(1, n + 1, max(1, n // 25)):
        (picks,) = UniformGrid().select(VisualTokens([torch.zeros(n, 1)]), [k])
        assert picks.tolist() == [int((i + 0.5) * n / k) for i in range(k)]


@pytest.mark.parametrize("grid", [(1, 1), (4, 4), (3, 7), (24, 24), (9, 2)])
def test_cells_cover_the_raster(grid):
    """For every budget there are k cells, none empty, each a rectangle around its centre."""
    n = grid[0] * grid[1]
    for k in range(1, n + 1, max(1, n // 40)):
        centre, member = cells(n, k, grid)
        assert len(set(centre.tolist())) == k
        assert member[centre].tolist() == list(range(k))
        assert member.bincount(minlength=k).min() > 0
        for cell in range(k):
            rows, columns = (member.view(grid) == cell).nonzero().unbind(1)
            assert len(rows) == len(rows.unique()) * len(columns.unique())


def test_pooling_is_plain_average_pooling_where_that_fits():
    """64 of 24 x 24 tokens are torch's own 3 x 3 average pooling, and a full budget is the tokens themselves."""
    x = torch.randn(576, 5, generator=torch.Generator().manual_seed(0))
    tokens = VisualTokens([x], grid=[(24, 24)])
    (pooled,) = AveragePool().select(tokens, [64])
    expected = torch.nn.functional.avg_pool2d(x.T.reshape(1, 5, 24, 24), 3).reshape(5, 64).T
    torch.testing.assert_close(pooled.features, expected)
    (full,) = AveragePool().select(tokens, [576])
    assert torch.equal(full.features, x)
    assert AveragePool().select(tokens, [0])[0].features.shape == (0, 5)


def test_random_tokens_repeat_with_their_seed_alone():
    """The same seed gives the same tokens, whatever else is in the call; another seed gives others."""
    tokens = VisualTokens([torch.zeros(50, 1), torch.zeros(30, 1)])
    alone = VisualTokens([torch.zeros(30, 1)])
    first = RandomPruner(seed=3).select(tokens, [10, 10])[1]
    assert torch.equal(first, RandomPruner(seed=3).select(alone, [10])[0])
    assert not torch.equal(first, RandomPruner(seed=4).select(alone, [10])[0])
    draws = {tuple(RandomPruner(seed=None).select(alone, [10])[0].tolist()) for _ in range(5)}
    assert len(draws) > 1
    (picks,) = RandomPruner(order="selection").select(alone, [30])
    assert sorted(picks.tolist()) == list(range(30)) != picks.tolist()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layer", [-2, -1, 1])
def test_class_token_attention_is_the_eager_row(tiny, layer, attention):
    """Under any kernel the kept tokens are the top k of the full map's row, layer counted as for the features."""
    model = tiny.model("llava", attention)
    inputs = tiny.batch(model, (1, 2))
    tower = tiny.model("llava", "eager").model.vision_tower
    with torch.no_grad():
        maps = tower(inputs["pixel_values"], output_attentions=True).attentions
        row = maps[layer if layer < 0 else layer - 1].mean(1)[:, 0, 1:]
        features = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
        new = prune_inputs(model, inputs, ClsAttention(layer=layer), keep=5)
    for scores, image, kept in zip(row, features, new["mm_encoder_outputs"]["image"].pooler_output, strict=True):
        torch.testing.assert_close(kept, image[scores.topk(5).indices.sort().values])


def test_ties_of_attention_go_to_the_lowest_index():
    """Equal scores come in index order; without scores the method refuses."""
    tokens = VisualTokens([torch.zeros(4, 1)], vision_attention=[torch.tensor([0.1, 0.5, 0.5, 0.1])])
    assert ClsAttention(order="selection").select(tokens, [3])[0].tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match=r"VisualTokens\.vision_attention is None"):
        ClsAttention().select(VisualTokens([torch.zeros(4, 1)]), [2])


@pytest.mark.parametrize("layer", [0, 4, -4])
def test_layers_the_tower_does_not_have_are_refused(tiny, layer):
    """The message names the range."""
    model = tiny.model("llava")
    with pytest.raises(ValueError, match=f"layer must be between 1 and 3, or negative from the end, got {layer}"):
        prune_inputs(model, tiny.batch(model, (1,)), ClsAttention(layer=layer), keep=3)


class Row:
    """A row of a catalog."""

    name = "farthest_first"
    missing = None

    def __init__(self, backend, module):
        self.backend, self.module = backend, module


def test_the_backend_follows_the_catalog_and_the_device(monkeypatch):
    """gpu for tensors on an accelerator, else cpu where there is one, else naive; missing packages are skipped."""
    naive, cpu, gpu = (Row(b, "solvers.farthest_first.naive") for b in ("naive", "cpu", "gpu"))
    monkeypatch.setattr(backends, "CATALOG", (naive, cpu, gpu))
    assert backends.door("farthest_first", accelerated=True)[0] == "gpu"
    assert backends.door("farthest_first", accelerated=False)[0] == "cpu"
    cpu.missing = gpu.missing = "numba"
    assert backends.door("farthest_first", accelerated=True) == ("naive", farthest_first)


@pytest.mark.parametrize("backend", ["gpu", "cpu", "naive"])
def test_every_backend_gives_the_naive_picks(monkeypatch, backend):
    """Ragged units with weights go through the real doors of every backend and come back as the naive picks."""
    generator = torch.Generator().manual_seed(0)
    units = [torch.randn(n, 12, generator=generator) for n in (30, 17)]
    weights = [torch.rand(n, dtype=torch.float64, generator=generator) for n in (30, 17)]
    for name, naive, more in (
        ("farthest_first", farthest_first, {}),
        ("greedy_map", greedy_map, {"relevance": weights}),
    ):
        rows = {row.backend: row.module for row in CATALOG if row.name == name}
        if backend not in rows:
            pytest.skip(f"{name} has no backend {backend}")
        found = getattr(pytest.importorskip(rows[backend]), name)
        monkeypatch.setattr(backends, "door", lambda name, accelerated, found=found: (backend, found))
        picks = backends.choose(name, units, [10, 17], **more)
        for i, (x, k) in enumerate(zip(units, (10, 17), strict=True)):
            own = {key: values[i].numpy() for key, values in more.items()}
            assert picks[i].tolist() == naive(x.numpy(), k, **own).tolist()


def test_no_units_are_no_picks():
    """An empty call gives an empty answer."""
    assert DivPrune().select(VisualTokens([]), []) == []


def test_what_is_not_one_entry_per_unit_is_refused():
    """Every field of the tokens has an entry per unit."""
    with pytest.raises(ValueError, match="text must have one entry per unit, got 2 for 1 units"):
        VisualTokens([torch.zeros(2, 2)], text=["a", "b"])


def test_the_table_is_what_the_methods_declare():
    """One row per method, every column filled but the source of a baseline."""
    rows = methods_table()
    assert [row["class"] for row in rows] == [method.__name__ for method in METHODS]
    for row, method in zip(rows, METHODS, strict=True):
        assert tuple(row) == COLUMNS
        assert all(row[column] for column in COLUMNS[:-1])
        assert all(name in row["needs"] for name in method.requires)
    assert np.unique([row["method"] for row in rows]).size == len(METHODS)

"""The cost of depth policies: the checked numbers of the method, grouped queries, and what every reading leaves to pay."""

import itertools

import pytest

from lmm_integration.flops import DecoderShape, prefill_flops
from lmm_integration.operation_flops import (
    LayerWork,
    attention_flops,
    depth_costs,
    depth_work,
    effective_depths,
    layer_flops,
    mlp_flops,
)

SEVEN = DecoderShape(width=4096, mlp=11008, layers=32)
GROUPED = DecoderShape(width=3584, mlp=18944, layers=28, query_width=3584, kv_width=512)


def total(shape, text, visual, attention, mlp, reading="qkv"):
    costs = depth_costs(shape, text, visual, reading)
    return costs.fixed + attention * costs.attention + mlp * costs.mlp


@pytest.mark.parametrize(
    ("visual", "depths", "tera", "cut"),
    [
        (2880, (32, 32), 43.25, 0.0),
        (640, (32, 32), 9.87, 77.2),
        (320, (32, 32), 5.53, 87.2),
        (640, (20, 16), 5.96, 86.2),
    ],
)
def test_a_7b_model_with_100_text_tokens(visual, depths, tera, cut):
    """TFLOP, and per cent below the dense 2880."""
    cost = total(SEVEN, 100, visual, *depths)
    assert round(cost / 1e12, 2) == tera
    assert round(100 * (1 - cost / total(SEVEN, 100, 2880, 32, 32)), 1) == cut


@pytest.mark.parametrize("shape", [SEVEN, GROUPED], ids=["7B", "grouped"])
@pytest.mark.parametrize("reading", ["qkv", "q"])
def test_full_depth_is_the_dense_prefill(shape, reading):
    """In both readings; and nothing at all is the text's, plus keys, values and their reading under "q"."""
    text, visual, layers = 37, 200, shape.layers
    assert total(shape, text, visual, layers, layers, reading) == prefill_flops(shape, text + visual)
    least = prefill_flops(shape, text)
    read = 4 * visual * shape.width * shape.kv_width + 4 * text * visual * shape.query_width
    assert depth_costs(shape, text, visual, reading).fixed == least + (layers * read if reading == "q" else 0)


def test_the_formulas_are_those_of_the_method():
    """dA = 8 n_v D^2 + 4 D (2 n_t n_v + n_v^2), under "q" 4 n_v D^2 + 4 D (n_t n_v + n_v^2); dM = 6 n_v D m."""
    t, v, d, m = 100, 640, 4096, 11008
    costs = depth_costs(SEVEN, t, v)
    assert costs.attention == 8 * v * d**2 + 4 * d * (2 * t * v + v**2)
    assert costs.mlp == mlp_flops(SEVEN, v) == 6 * v * d * m
    assert depth_costs(SEVEN, t, v, "q").attention == 4 * v * d**2 + 4 * d * (t * v + v**2)
    assert attention_flops(SEVEN, 3, 5) == 4 * 3 * d**2 + 4 * 5 * d**2 + 4 * 3 * 5 * d


@pytest.mark.parametrize("reading", ["qkv", "q"])
def test_the_work_of_one_prompt_adds_up_to_its_cost(reading):
    """Layer by layer, for all effective depths."""
    shape = DecoderShape(width=48, mlp=80, layers=5, query_width=80, kv_width=40)
    for asked in itertools.product(range(6), range(6)):
        depths = effective_depths(*asked, 5, reading)
        work = depth_work(depths, 5, reading, rows=1, columns=31, text=9, text_places=9)
        assert sum(layer_flops(shape, layer) for layer in work) == total(shape, 9, 22, *depths, reading)
        assert [layer.keys for layer in work] == [31 if i < depths[0] or reading == "q" else 9 for i in range(5)]


def test_a_padded_batch_pays_for_its_columns_in_attention_and_for_its_text_in_skipped_mlps():
    work = depth_work((2, 1), 3, "qkv", rows=4, columns=30, text=10, text_places=33)
    assert work == (LayerWork(4, 30, 30, 120), LayerWork(4, 30, 30, 33), LayerWork(4, 10, 10, 40))
    work = depth_work((1, 2), 3, "q", rows=4, columns=30, text=10, text_places=33)
    assert work == (LayerWork(4, 30, 30, 120), LayerWork(4, 10, 30, 120), LayerWork(4, 10, 30, 33))

"""The one rule that turns what a user asks for into numbers of tokens."""

import numpy as np
import pytest

from lmm_integration.budget import budgets, check_keep, kept_from_layer, spent, tokens_to_keep


@pytest.mark.parametrize(
    ("keep", "n", "expected"),
    [
        (1, 576, 1),
        (1.0, 576, 576),
        (64, 576, 64),
        (576, 64, 64),
        (0.098, 576, 56),
        (0.1, 1152, 115),
        (0.5, 5, 2),
        (0.5, 7, 4),
        (1e-9, 576, 1),
        (np.int64(3), 9, 3),
        (np.float32(0.5), 8, 4),
    ],
)
def test_ints_are_tokens_and_floats_are_ratios(keep, n, expected):
    """1 is one token and 1.0 is all; ratios round halves to even and never to nothing."""
    assert tokens_to_keep(keep, n) == expected


@pytest.mark.parametrize("keep", [0, -1, 0.0, -0.5, 1.5, float("nan"), float("inf")])
def test_budgets_out_of_range_are_refused_with_the_value_and_the_range(keep):
    """0, negative numbers, ratios above 1 and NaN are errors."""
    with pytest.raises(ValueError, match=rf"keep .*(>= 1 token|\(0, 1\]), got {keep}"):
        check_keep(keep)


@pytest.mark.parametrize("keep", [True, "64", None, [64], 1j])
def test_budgets_of_other_types_are_refused(keep):
    """A budget is a number, and a bool is none."""
    with pytest.raises(TypeError, match="keep must be a number of tokens"):
        check_keep(keep)


def test_a_unit_with_fewer_tokens_than_its_budget_keeps_all():
    """A small image beside a large one is no error."""
    assert budgets(10, [30, 4], [0, 0]) == [10, 4]


def test_a_budget_above_all_tokens_of_a_sample_is_refused():
    """The sentence names the sample, its tokens and the budget."""
    with pytest.raises(ValueError, match="at most the 7 visual tokens of sample 1, got 8"):
        budgets(8, [30, 4, 3], [0, 1, 1])


@pytest.mark.parametrize(("mean", "kept"), [(192, 166), (128, 98), (64, 30)])
def test_fastv_s_layer_means(mean, kept):
    """A published 64 is 30 tokens after layer 2, and the mean comes out again."""
    assert kept_from_layer(mean, 576, "layer_mean", layer=2, layers=32) == kept
    assert round(spent(576, [(2, kept)], 32).layer_mean) == mean


@pytest.mark.parametrize(
    ("kept", "mean"),
    [
        ([300, 200, 118], 192.4),
        ([238, 108, 60], 128.0),
        ([246, 54, 28], 96.8),
        ([66, 34, 20], 64.4),
        ([303, 110, 36], 123.9),
        ([238, 48, 26], 93.1),
        ([66, 30, 17], 61.7),
    ],
)
def test_sparsevlm_s_layer_means(kept, mean):
    """Stages in front of layers 2, 6 and 15 of 32."""
    found = spent(576, list(zip((2, 6, 15), kept, strict=True)), 32)
    assert (found.input, round(found.layer_mean, 1), found.final) == (576, mean, kept[-1])


def test_pyramiddrop_s_layer_mean():
    """Halved in front of layers 8, 16 and 24."""
    assert spent(576, [(8, 288), (16, 144), (24, 72)], 32) == (576, 270, 72)


def test_the_kinds_agree_in_front_of_the_first_layer():
    """There a budget means the same in all three kinds; deeper, `final` is the number itself."""
    for kind in ("input", "layer_mean", "final"):
        assert kept_from_layer(64, 576, kind, layer=0, layers=32) == 64
        assert kept_from_layer(600, 576, kind, layer=0, layers=32) == 576
    assert spent(576, [(0, 64)], 32) == (64, 64, 64)
    assert kept_from_layer(64, 576, "final", layer=4, layers=32) == 64
    assert kept_from_layer(576, 576, "layer_mean", layer=4, layers=32) == 576


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((36, 576, "layer_mean", 2, 32), "a layer mean of 36 tokens is out of reach.*are 36.9375 on average"),
        ((64, 576, "input", 2, 32), "'input' counts tokens in front of layer 0, but this stage is at layer 2"),
        ((64, 576, "mean", 2, 32), "budget_kind must be one of input, layer_mean, final, got 'mean'"),
        ((64, 576, "final", 32, 32), r"layer must be in \[0, 31\], got 32"),
    ],
)
def test_budgets_that_a_layer_cannot_meet_are_refused(arguments, message):
    """The sentence names the numbers."""
    budget, n, kind, layer, layers = arguments
    with pytest.raises(ValueError, match=message):
        kept_from_layer(budget, n, kind, layer=layer, layers=layers)


@pytest.mark.parametrize("stages", [[(4, 3), (2, 1)], [(2, 3), (2, 1)], [(32, 3)], [(2, 11)], [(2, 3), (4, 5)]])
def test_stages_that_do_not_descend_are_refused(stages):
    """Layers go up, tokens go down."""
    with pytest.raises(ValueError, match="stages must"):
        spent(10, stages, 32)

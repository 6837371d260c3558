"""Work and memory of a prefill: the numbers that the papers print, and what torch counts."""

import pytest

from lmm_integration.flops import DecoderShape, kv_bytes, prefill_flops

SEVEN = DecoderShape(width=4096, mlp=11008, layers=32)
THIRTEEN = DecoderShape(width=5120, mlp=13824, layers=40)
TEXT = [15, 15, 23, 83, 25, 113, 15, 39, 21, 91, 57]  # mean length per data set in DivPrune's tables
ANYRES = [2225, 1922, 2239, 1927, 2108, 1882, 2292, 2249, 2250, 1598, 2116]  # visual tokens of LLaVA-1.6 there


def tera(shape, tokens, style):
    return prefill_flops(shape, tokens, style) / 1e12


def mean(values):
    return sum(values) / len(values)


def divprune_table(shape, visual, share=0.098):
    """(full, pruned, mean of the ratios) over the data sets, system prompt left out as in the paper."""
    full = [tera(shape, n + t, "divprune") for n, t in zip(visual, TEXT, strict=True)]
    kept = [tera(shape, round(share * n) + t, "divprune") for n, t in zip(visual, TEXT, strict=True)]
    return mean(full), mean(kept), 100 * mean([b / a for a, b in zip(full, kept, strict=True)])


@pytest.mark.parametrize(
    ("shape", "visual", "printed"),
    [
        (SEVEN, [576] * 11, (3.2280, 0.5122, 15.63)),
        (THIRTEEN, [576] * 11, (6.2813, 1.0020, 15.71)),
        (SEVEN, ANYRES, (11.8489, 1.2659, 10.80)),
    ],
    ids=["1.5-7B", "1.5-13B", "1.6-7B"],
)
def test_divprune_s_table(shape, visual, printed):
    """Its percentages are means of ratios, not ratios of the printed means."""
    full, kept, percent = divprune_table(shape, visual)
    assert (round(full, 4), round(kept, 4), round(percent, 2)) == printed


def test_divprune_s_video_table():
    """One mean text of 69.47 tokens gives both printed numbers for 1152 tokens and a tenth of them.

    The lengths themselves are not published, and with them the printed mean of the ratios, 14.10 %.
    """
    text = [69] * 10 + [70] * 9
    full, kept = (mean([tera(SEVEN, n + t, "divprune") for t in text]) for n in (1152, 115))
    assert (round(full, 3), round(kept, 3)) == (6.539, 0.937)


@pytest.mark.parametrize(
    ("printed", "tokens", "factor"),
    [(3.82, 576, 1), (4.62, 694, 1), (7.634, 576, 2), (7.65, 577, 2), (8.82, 663, 2)],
)
def test_the_values_of_one_dense_model_in_other_papers(printed, tokens, factor):
    """Three MLP matrices, one or two operations a multiplication, with or without text."""
    digits = len(str(printed).split(".")[1])
    assert round(factor * tera(SEVEN, tokens, "sparsevlm"), digits) == pytest.approx(printed)
    assert 2 * prefill_flops(SEVEN, tokens, "sparsevlm") == prefill_flops(SEVEN, tokens, "exact")


@pytest.mark.parametrize(("visual", "printed"), [(2880, 43.25), (640, 9.87), (320, 5.53)])
def test_dop_s_values(visual, printed):
    """100 text tokens, exact form."""
    assert round(tera(SEVEN, 100 + visual, "exact"), 2) == printed


@pytest.mark.parametrize(
    ("visual", "exact", "papers", "mebibytes"),
    [
        (576, 8.11, 3.17, 306),
        (128, 2.13, 0.83, 82),
        (64, 1.29, 0.50, 50),
        (56, 1.18, 0.46, 46),
        (2880, 42.2, 16.9, 1458),
        (282, 4.16, 1.62, 158),
    ],
)
def test_7b_with_a_system_prompt_of_35_tokens(visual, exact, papers, mebibytes):
    """TFLOPs in both forms and float16 key-value memory."""
    digits = len(str(exact).split(".")[1])
    assert round(tera(SEVEN, visual + 35, "exact"), digits) == exact
    assert round(tera(SEVEN, visual + 35, "divprune"), digits) == papers
    assert round(kv_bytes(SEVEN, visual + 35) / 2**20) == mebibytes


def test_13b_at_64_of_576():
    """15.8 and 2.5 TFLOP."""
    assert [round(tera(THIRTEEN, n + 35, "exact"), 1) for n in (576, 64)] == [15.8, 2.5]


def test_pruning_inside_the_model_adds_up_layer_by_layer():
    """FastV's two full layers and thirty short ones; the cache likewise."""
    tokens = [611] * 2 + [65] * 30
    parts = prefill_flops(SEVEN, 611) * 2 / 32 + prefill_flops(SEVEN, 65) * 30 / 32
    assert prefill_flops(SEVEN, tokens) == pytest.approx(parts)
    assert kv_bytes(SEVEN, tokens, 4) == 2 * 4096 * 4 * sum(tokens)


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
def test_exact_is_what_torch_counts(heads):
    """FlopCounterMode on a Llama of the shape, grouped queries and a head width of its own included."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from torch.utils.flop_counter import FlopCounterMode

    config = transformers.LlamaConfig(
        vocab_size=10,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=3,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        head_dim=20,
        attn_implementation="eager",
    )
    with torch.device("meta"):
        model = transformers.LlamaModel(config)
        embeddings, mask = torch.empty(1, 37, 48), torch.empty(1, 1, 37, 37)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        cache = model(inputs_embeds=embeddings, attention_mask=mask).past_key_values
    shape = DecoderShape.of(config)
    # the counter also sees the products that make the rotary angles, half a head width for every place
    assert counter.get_total_flops() - prefill_flops(shape, 37) in (0, 2 * 37 * 10)
    numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
    assert kv_bytes(shape, 37) == 2 * numbers


BAD = {
    "style": (lambda: prefill_flops(SEVEN, 3, "fastv"), ValueError, "style must be one of exact, sparsevlm, divprune"),
    "layers": (lambda: prefill_flops(SEVEN, [3]), ValueError, "one for each of the 32 layers, got 1"),
    "negative": (lambda: kv_bytes(SEVEN, -1), ValueError, "tokens must be >= 0, got -1"),
    "fraction": (lambda: prefill_flops(SEVEN, 2.5), TypeError, "whole numbers, got 2.5"),
    "bytes": (lambda: kv_bytes(SEVEN, 3, 0), ValueError, "bytes_per_number must be >= 1, got 0"),
    "width": (lambda: DecoderShape(width=0, mlp=1, layers=1), ValueError, "width must be >= 1, got 0"),
    "text": (lambda: DecoderShape(width="4", mlp=1, layers=1), TypeError, "width must be a whole number, got '4'"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_refused_in_one_sentence(case):
    """With the value and what is allowed."""
    call, error, message = BAD[case]
    with pytest.raises(error, match=message):
        call()

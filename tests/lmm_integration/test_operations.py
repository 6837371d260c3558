"""Operations that visual tokens skip: against a naive decoder of full length that freezes states and masks keys."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from lmm_integration.context import prune  # noqa: E402
from lmm_integration.pre_llm import prune_inputs  # noqa: E402
from lmm_integration.pruners import DivPrune, FastV, RandomPruner, UniformGrid  # noqa: E402
from lmm_integration.pruners.dop import DOP  # noqa: E402

IMAGES = (1, 2, 0)
FAMILIES = ("llava", "llava_next", "vipllava", "llava_qwen2", "llava_qwen3")
GREEDY = {"do_sample": False, "max_new_tokens": 5}
POLICIES = [(0, 0), (1, 0), (1, 3), (2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2)]
READINGS = ("qkv", "q")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def naive(model, inputs, depths, reading, placeholder=95):
    """(logits, text): every layer at full length in eager attention, what a visual token skips is set to zero."""
    seen, added = {}, {}

    def look(module, args, kwargs):
        seen.update(kwargs, states=args[0] if args else kwargs["hidden_states"])

    decoder = model.get_decoder()
    hooks = [decoder.layers[0].register_forward_pre_hook(look, with_kwargs=True)]
    hooks.append(decoder.register_forward_pre_hook(lambda module, args, kwargs: added.update(kwargs), with_kwargs=True))
    model(**inputs)
    for hook in hooks:
        hook.remove()
    x, rotary = seen["states"].clone(), seen["position_embeddings"]
    features = added.get("deepstack_visual_embeds") or []  # Qwen3-VL adds them between layers
    real, visual = inputs["attention_mask"].bool(), inputs["input_ids"] == placeholder
    causal = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
    for index, layer in enumerate(decoder.layers):
        attends, thinks = index < depths[0], index < depths[1]
        keys = real if attends or reading == "q" else real & ~visual
        mask = torch.where((causal & keys[:, None])[:, None], 0.0, torch.finfo(x.dtype).min)
        h, _ = layer.self_attn(layer.input_layernorm(x), position_embeddings=rotary, attention_mask=mask)
        x = x + (h if attends else h * ~visual[..., None])
        h = layer.mlp(layer.post_attention_layernorm(x))
        x = x + (h if thinks else h * ~visual[..., None])
        if index < len(features):
            x[visual] += features[index]
    return model.lm_head(decoder.norm(x)), real & ~visual


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("depths", POLICIES, ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_text_answers_as_in_the_naive_decoder(tiny, reading, depths, side, attention):
    """Ragged, padded, with a row without pictures; depths as asked, dead MLPs run in the naive one."""
    model = tiny.model("llava", attention)
    inputs = tiny.batch(model, IMAGES, side)
    expected, text = naive(tiny.model("llava", "eager"), inputs, depths, reading)
    with prune(model, DOP(policy=depths, attn_prune=reading), keep=1.0):
        found = model(**inputs).logits
    assert found.shape == expected.shape
    torch.testing.assert_close(found[text], expected[text], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_with_fewer_tokens(tiny, family, reading):
    """What the reducer leaves is what skips: the naive decoder on the inputs of `prune_inputs`."""
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES)
    short = prune_inputs(model, inputs, DivPrune(), keep=5)
    expected, text = naive(tiny.model(family, "eager"), short, (2, 1), reading)
    with prune(model, DOP(policy=(2, 1), attn_prune=reading), keep=5) as pruning:
        found = model(**inputs).logits
    assert found.shape[:2] == inputs["input_ids"].shape
    everything = (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
    torch.testing.assert_close(found[everything], expected[text], rtol=1e-3, atol=1e-3)
    assert pruning.stats.operations.visual == int((short["input_ids"] == tiny.image).sum())


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_full_depth_and_a_full_budget_are_the_unpruned_model_bit_for_bit(tiny, family, side, attention, reading):
    model = tiny.model(family, attention)
    inputs = tiny.batch(model, IMAGES, side)
    plain, words = model(**inputs).logits, model.generate(**inputs, **GREEDY)
    with prune(model, DOP(policy=(3, 3), attn_prune=reading), keep=1.0) as pruning:
        assert torch.equal(model(**inputs).logits, plain)
        assert torch.equal(model.generate(**inputs, **GREEDY), words)
    assert pruning.stats.operations.depths == (3, 3)


@pytest.mark.parametrize(("reading", "last"), [("qkv", 1), ("q", 2)])
def test_mlps_that_nothing_reads_change_no_answer(tiny, reading, last):
    """(D_A, D_P >= D_A - 1) and (D_A, L) are the same function; under "q" the last layer alone is dead."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    logits, flops = [], []
    for mlp in range(last, 4):
        with prune(model, DOP(policy=(2, mlp), attn_prune=reading), keep=9) as pruning:
            logits.append(model(**inputs).logits)
        flops.append(pruning.stats.operations.flops)
    assert all(torch.equal(logits[0], other) for other in logits[1:])
    assert len(set(flops)) == 1
    text = (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
    with prune(model, DOP(policy=(3, 2), attn_prune=reading), keep=1.0):
        almost = model(**inputs).logits
    torch.testing.assert_close(almost[text], model(**inputs).logits[text], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_qwen2"])
def test_a_row_of_a_ragged_batch_answers_as_it_does_alone(tiny, family, reading):
    tiny.rows_answer_as_alone(tiny.model(family), IMAGES, DOP(policy=(2, 1), attn_prune=reading), keep=5)


MODES = {
    "greedy": {},
    "sampling": {"do_sample": True},
    "several sequences": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "beam sampling": {"do_sample": True, "num_beams": 2},
}


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("depths", [(2, 0), (3, 1)], ids=str)
def test_generation_is_the_same_with_and_without_a_cache(tiny, mode, depths, reading):
    """In every decoding mode, behind the caller's own prompt."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, DOP(policy=depths, attn_prune=reading), keep=9) as pruning:
        found = []
        for cached in (True, False):
            torch.manual_seed(3)
            found.append(model.generate(**inputs, **(GREEDY | MODES[mode]), use_cache=cached))
    assert torch.equal(*found)
    assert pruning.calls == 2
    copies = len(found[0]) // 3
    assert torch.equal(found[0][:, : inputs["input_ids"].shape[1]], inputs["input_ids"].repeat_interleave(copies, 0))


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("depths", [(2, 0), (3, 1)], ids=str)
def test_static_caches_and_prompt_lookup_give_the_same_words(tiny, depths, reading):
    """Layers fill a static cache at their own pace; candidates behind the prompt are text."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    single = tiny.batch(model, (1,))
    single["input_ids"][0, -3:] = single["input_ids"][0, 1:4]  # so that the lookup finds something
    with prune(model, DOP(policy=depths, attn_prune=reading), keep=9):
        growing = model.generate(**inputs, **GREEDY)
        for _ in range(2):
            assert torch.equal(model.generate(**inputs, **GREEDY, cache_implementation="static"), growing)
        greedy = model.generate(**single, do_sample=False, max_new_tokens=8)
        lookup = model.generate(**single, do_sample=False, max_new_tokens=8, prompt_lookup_num_tokens=2)
    assert torch.equal(greedy, lookup)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("keep", [9, 1.0])
def test_a_cache_is_continued_with_new_tokens(tiny, keep, reading):
    """A loop by hand decodes as `generate` does, and a second turn answers as the naive decoder does from scratch."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    pruner = DOP(policy=(2, 1), attn_prune=reading)
    with prune(model, pruner, keep=keep):
        expected = model.generate(**inputs, **GREEDY)[0, -5:].tolist()
        out, found = model(**inputs, use_cache=True), []
        for _ in range(5):
            logits = out.logits[:, -1].clone()
            logits[:, tiny.image] = -torch.inf
            found.append(int(logits.argmax()))
            out = model(input_ids=torch.tensor([[found[-1]]]), past_key_values=out.past_key_values, use_cache=True)
        assert found == expected
        turn = model(input_ids=torch.tensor([[5, 6, 7]]), past_key_values=out.past_key_values).logits
    longer = inputs | {
        "input_ids": torch.cat([inputs["input_ids"], torch.tensor([[*found, 5, 6, 7]])], 1),
        "attention_mask": torch.cat([inputs["attention_mask"], torch.ones(1, 8, dtype=torch.long)], 1),
    }
    short = prune_inputs(model, longer, DivPrune(), keep=keep)
    scratch, _ = naive(tiny.model("llava", "eager"), short, (2, 1), reading)
    torch.testing.assert_close(turn, scratch[:, -3:], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("images", [(1,), IMAGES], ids=str)
def test_t10_a_second_turn_with_the_whole_conversation(tiny, images, reading):
    """`generate` goes on behind the first turn's cache as it would from scratch, where the reducer chooses the same."""
    model = tiny.model("llava")
    inputs, rows = tiny.batch(model, images), len(images)
    for depths in ((2, 0), (0, 0), (3, 1)):
        with prune(model, DOP(policy=depths, attn_prune=reading), keep=9):
            first = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
            ids = torch.cat([first.sequences, torch.tensor([[5, 6, 7]]).expand(rows, -1)], 1)
            new = torch.ones(rows, ids.shape[1] - inputs["input_ids"].shape[1], dtype=torch.long)
            turn = {"input_ids": ids, "attention_mask": torch.cat([inputs["attention_mask"], new], 1)}
            continued = model.generate(**turn, past_key_values=first.past_key_values, **GREEDY)
            scratch = model.generate(**(inputs | turn), **GREEDY)
        assert torch.equal(continued, scratch)


def test_the_cache_of_every_layer_is_as_long_as_said(tiny):
    """No visual entry from D_A on under "qkv", all of them under "q"."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    text = inputs["input_ids"].shape[1] - 16
    for depths, reading, lengths in (
        ((2, 1), "qkv", (text + 5, text + 5, text)),
        ((1, 0), "qkv", (text + 5, text, text)),
        ((0, 0), "qkv", (text, text, text)),
        ((3, 0), "qkv", (text + 5,) * 3),
        ((1, 0), "q", (text + 5,) * 3),
    ):
        with prune(model, DOP(policy=depths, attn_prune=reading), keep=5) as pruning:
            cache = model(**inputs, use_cache=True).past_key_values
            after = model.generate(**inputs, **GREEDY, return_dict_in_generate=True).past_key_values
        assert tuple(layer.keys.shape[2] for layer in cache.layers) == lengths
        assert tuple(layer.keys.shape[2] - 4 for layer in after.layers) == lengths
        assert pruning.stats.layer_tokens == lengths
        numbers = sum(layer.keys.numel() + layer.values.numel() for layer in cache.layers)
        assert pruning.stats.operations.kv_bytes == 4 * numbers


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("depths", [*POLICIES, (3, 3)], ids=str)
@pytest.mark.parametrize("images", [(1,), IMAGES], ids=str)
def test_the_work_saved_is_real(tiny, depths, reading, images):
    """FlopCounterMode in eager attention counts what `stats.operations` says, to the last operation."""
    model = tiny.model("llava", "eager")
    inputs = tiny.batch(model, images)
    with prune(model, DOP(policy=depths, attn_prune=reading), keep=9) as pruning:
        model(**inputs)
        with FlopCounterMode(display=False) as counter:
            model(**inputs)
    counts = counter.get_flop_counts()
    layers = [
        sum(counts.get(f"LlavaForConditionalGeneration.model.language_model.layers.{i}", {}).values()) for i in range(3)
    ]
    assert layers == list(pruning.stats.operations.flops)


def test_one_prompt_costs_what_the_model_of_the_paper_says(tiny):
    """C = C_text + D_A dA + D_P dM, in both readings."""
    from lmm_integration.flops import DecoderShape
    from lmm_integration.operation_flops import depth_costs

    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    text = inputs["input_ids"].shape[1] - 16
    for reading in READINGS:
        for depths in POLICIES:
            with prune(model, DOP(policy=depths, attn_prune=reading), keep=9) as pruning:
                model(**inputs)
            fixed, attention, mlp = depth_costs(DecoderShape.of(model), text, 9, reading)
            a, p = pruning.stats.operations.depths
            assert sum(pruning.stats.operations.flops) == fixed + a * attention + p * mlp


def test_the_counts_of_a_budget(tiny):
    """Tokens that enter, their mean over layers, and what is left at the end."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2))
    for depths, reading, counts in (
        ((2, 1), "qkv", (9, 6.0, 0)),
        ((3, 1), "qkv", (9, 9.0, 9)),
        ((1, 0), "q", (9, 9.0, 9)),
        ((0, 0), "qkv", (0, 0.0, 0)),
    ):
        with prune(model, DOP(policy=depths, attn_prune=reading), keep=9) as pruning:
            model(**inputs)
        assert pruning.stats.spent == (counts,) * 3
        assert pruning.stats.tokens == ((16, counts[0]),) * 3


@pytest.mark.parametrize("reducer", [UniformGrid(), RandomPruner(), DivPrune(position_policy="keep", order="raster")])
def test_any_pruner_of_the_input_reduces(tiny, reducer):
    """Its choice and its positions, with the depths on top."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, reducer, keep=4) as alone:
        model(**inputs)
    with prune(model, DOP(policy=(2, 1), reducer=reducer), keep=4) as both:
        found = model(**inputs).logits
    assert all(torch.equal(a, b) for a, b in zip(alone.last_indices, both.last_indices, strict=True))
    short = prune_inputs(model, inputs, reducer, keep=4)
    expected, text = naive(tiny.model("llava", "eager"), short, (2, 1), "qkv")
    everything = (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
    torch.testing.assert_close(found[everything], expected[text], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_served(tiny, dtype, reading):
    model = tiny.fresh("llava").to(dtype)
    inputs = tiny.batch(model, IMAGES)
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    with prune(model, DOP(policy=(2, 1), attn_prune=reading), keep=6) as pruning:
        assert model(**inputs).logits.isfinite().all()
        model.generate(**inputs, **GREEDY)
    width = pruning.stats.layer_tokens
    assert pruning.stats.operations.kv_bytes == 2 * 2 * 16 * 3 * sum(width)


@pytest.mark.parametrize("reading", READINGS)
def test_labels_and_gradients(tiny, reading):
    """The loss is that of the restored logits, and the tower learns through the layers that read it."""
    model = tiny.fresh("llava")
    inputs = tiny.batch(model, (1, 2))
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == tiny.image, -100)
    with torch.enable_grad(), prune(model, DOP(policy=(2, 1), attn_prune=reading), keep=1.0):
        out = model(**inputs, labels=labels)
        out.loss.backward()
    loss = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, loss)
    layers = model.get_decoder().layers
    assert all(layer.mlp.up_proj.weight.grad.abs().sum() > 0 for layer in layers)
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reading", READINGS)
def test_t5_t13_t14_nothing_is_left_behind_and_what_others_put_on_runs(tiny, reading):
    """Also after an exception; a forward that accelerate put on a module stays where it was."""
    model = tiny.fresh("llava")
    layer, ran = model.get_decoder().layers[2], []
    for module in (layer.mlp, layer.self_attn.q_proj):

        def forward(x, inner=module.forward):
            ran.append(x.shape)
            return inner(x)

        module.forward = forward
    inputs = tiny.batch(model, (1,))
    logits = model(**inputs).logits  # transformers installs its own hooks at the first call

    def state():
        return [(len(m._forward_pre_hooks), len(m._forward_hooks), sorted(m.__dict__)) for m in model.modules()]

    before = state()
    ran.clear()

    def fail():
        model.generate(**inputs, **GREEDY)
        raise KeyError("in the block")

    with pytest.raises(KeyError), prune(model, DOP(policy=(2, 1), attn_prune=reading), keep=8):
        fail()
    text = inputs["input_ids"].shape[1] - 16
    assert {shape[1] for shape in ran} == {text, 1}
    assert state() == before
    assert torch.equal(model(**inputs).logits, logits)


@pytest.mark.parametrize("reading", READINGS)
def test_t12_prompts_without_pictures_pass(tiny, reading):
    """Placeholder ids without features are words."""
    model = tiny.model("llava")
    ids = torch.tensor([[1, 5, 6, 7]])
    plain = model.generate(input_ids=ids, **GREEDY)
    with prune(model, DOP(policy=(1, 0), attn_prune=reading), keep=4, strict=False) as pruning:
        assert torch.equal(model.generate(input_ids=ids, **GREEDY), plain)
    assert (pruning.stats, pruning.calls) == (None, 0)


@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", ["onevision", "qwen", "qwen3"])
def test_t6_other_families_and_m_rope_answer_as_in_the_naive_decoder(families, name, reading):
    """Places in the picture stay, features that Qwen3-VL adds between layers too; cached is uncached."""
    model = families.build(name)
    inputs, _ = families.batch(name, model, IMAGES)
    plain = model.generate(**inputs, **GREEDY)
    with prune(model, DOP(policy=(3, 3), attn_prune=reading), keep=1.0):
        assert torch.equal(model.generate(**inputs, **GREEDY), plain)
    for depths in ((2, 1), (1, 0), (3, 0), (0, 0)):
        model.set_attn_implementation("sdpa")
        with prune(model, DOP(policy=depths, attn_prune=reading), keep=1.0):
            cached, uncached = (model.generate(**inputs, **GREEDY, use_cache=cache) for cache in (True, False))
            found = model(**inputs).logits
        assert torch.equal(cached, uncached)
        model.set_attn_implementation("eager")
        expected, text = naive(model, inputs, depths, reading)
        torch.testing.assert_close(found[text], expected[text], rtol=1e-3, atol=1e-3)


def two_d(module, query, key, value, mask, scaling, **options):
    """Attention that knows 2-D masks alone, causal from the last key backwards, as FlashAttention's."""
    assert mask is None or mask.shape == (len(key), key.shape[2])
    new, total = query.shape[2], key.shape[2]
    allowed = torch.ones(new, total, dtype=torch.bool).tril(total - new)
    if mask is not None:
        allowed = allowed & mask[:, None, None].bool() | torch.eye(new, total).roll(total - new, 1).bool()
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    out = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed, scale=scaling)
    return out.transpose(1, 2).contiguous(), None


@pytest.mark.parametrize("depths", [(2, 0), (3, 1), (1, 0)], ids=str)
def test_kernels_with_2d_masks_serve_the_reading_that_needs_no_others(tiny, depths):
    """The contract of flash attention is kept under "qkv": the logits are those of sdpa."""
    from transformers.masking_utils import flash_attention_mask

    transformers.AttentionInterface.register("two_d", two_d)
    transformers.AttentionMaskInterface.register("two_d", flash_attention_mask)
    options = GREEDY | {"output_logits": True, "return_dict_in_generate": True}
    logits = []
    for kernel in ("sdpa", "two_d"):
        model = tiny.fresh("llava")
        model.get_decoder().set_attn_implementation(kernel)
        with prune(model, DOP(policy=depths), keep=9):
            logits.append(torch.stack(model.generate(**tiny.batch(model, IMAGES), **options).logits))
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)
    with pytest.raises(ValueError, match="which the attention implementation 'two_d' cannot"):
        prune(model, DOP(policy=(1, 0), attn_prune="q"), keep=9)


def test_the_conformance_kit_holds_full_depth_to_the_unpruned_model(tiny):
    """And says why other depths are no subject of that check."""
    from lmm_integration.conformance.in_a_model import everything_kept, small_llava
    from lmm_integration.conformance.outcome import NotApplicableError

    model = small_llava()
    assert everything_kept(DOP(policy=(6, 6)), model) == "logits are equal bit for bit"
    with pytest.raises(NotApplicableError, match="skip operations of deeper layers"):
        everything_kept(DOP(), model)


BAD = {
    "deep": (
        lambda: DOP(policy=(4, 1)),
        ValueError,
        r"attention depth of DOP must be in \[0, 3\] in this model, got 4",
    ),
    "mlp": (lambda: DOP(policy=(1, -1)), ValueError, r"MLP depth of DOP must be in \[0, 3\] in this model, got -1"),
    "half": (lambda: DOP(policy=(1, 0.5)), TypeError, "MLP depth of DOP must be a whole number, got 0.5"),
    "reading": (lambda: DOP(attn_prune="kv"), ValueError, "attn_prune must be one of 'qkv', 'q', got 'kv'"),
    "policy": (lambda: DOP(policy=3), TypeError, r"policy must be a DepthPolicy or a pair \(D_A, D_P\), got 3"),
    "order": (lambda: DOP(order="selection"), ValueError, "are those of its reducer"),
    "reducer": (lambda: DOP(reducer=7), TypeError, "reducer of DOP must be a pruner of the input, got 7"),
    "inner": (lambda: DOP(reducer=FastV(layer=1)), TypeError, "reducer of DOP must be .* got FastV, which works"),
    "nested": (lambda: DOP(reducer=DOP()), TypeError, "reducer of DOP must be .* got DOP, which works"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_pruners_are_refused_in_one_sentence(tiny, case):
    make, error, message = BAD[case]
    model = tiny.model("llava")
    with pytest.raises(error, match=message), prune(model, make(), keep=4, strict=False):
        model(**tiny.batch(model, (1,)))


def test_modes_that_would_run_wrong_are_refused(tiny):
    """The input door, prefill in chunks, a row without text, kernels without free masks, checkpointing."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with pytest.raises(TypeError, match="DOP skips operations inside the model: use `with prune"):
        prune_inputs(model, inputs, DOP(), keep=8)
    for depths in ((2, 1), (0, 0)):
        pictures = {name: value for name, value in inputs.items() if name == "pixel_values"}
        alone = pictures | {"input_ids": torch.full((1, 16), tiny.image)}
        with prune(model, DOP(policy=depths), keep=4, strict=False), pytest.raises(ValueError, match=r"row 0 .* alone"):
            model(**alone)
    with prune(model, DOP(policy=(2, 1)), keep=4, strict=False):
        with pytest.raises(ValueError, match="no prefill_chunk_size, got 8"):
            model.generate(**inputs, **GREEDY, prefill_chunk_size=8)
        cache = model(**inputs, use_cache=True).past_key_values
        with pytest.raises(ValueError, match="images are pruned in front of it only"):
            model(input_ids=inputs["input_ids"], past_key_values=cache)
    other = tiny.fresh("llava")
    other.get_decoder().config._attn_implementation = "flash_attention_2"
    with pytest.raises(ValueError, match="which the attention implementation 'flash_attention_2' cannot"):
        prune(other, DOP(policy=(2, 1), attn_prune="q"), keep=4)
    trained = tiny.fresh("llava").train()
    trained.activation_checkpointing_enable()
    with prune(trained, DOP(policy=(2, 1)), keep=4, strict=False), pytest.raises(ValueError, match="checkpointing"):
        trained(**inputs)

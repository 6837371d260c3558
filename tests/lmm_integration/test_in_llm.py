"""Pruning in front of decoder layers: against a full-length run whose later layers mask what was dropped."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from lmm_integration import DivPrune, FastV, prune, prune_inputs  # noqa: E402
from lmm_integration.adapters import LlavaNext  # noqa: E402

IMAGES = (1, 2, 0)
FAMILIES = ("llava", "llava_next", "vipllava", "llava_qwen2", "llava_qwen3")
GREEDY = {"do_sample": False, "max_new_tokens": 5}


class Loudest:
    """The hidden states of largest norm, at several layers: scores that no later token changes."""

    def __init__(self, *at, reads=()):
        self.at = at  # (layer, tokens kept)
        self.requires = frozenset(reads)
        self.seen = []
        self.picks = []

    def layers(self, depth):
        return tuple(layer for layer, _ in self.at)

    def kept(self, n, budget, depth):
        return tuple(min(n, kept) for _, kept in self.at)

    def select(self, tokens, k):
        self.seen.append(tokens)
        self.picks.append(
            [x.norm(dim=-1).topk(m).indices.sort().values for x, m in zip(tokens.features, k, strict=True)]
        )
        return self.picks[-1]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def image_columns(inputs, sizes):
    """Per image (row, columns)."""
    found = (inputs["input_ids"] == 95).nonzero().split(sizes)
    return [(int(where[0, 0]), where[:, 1]) for where in found]


def masked(model, inputs, sizes, stages):
    """Logits of an unshortened run; from each layer of `stages` on, only the kept tokens of every image are keys."""
    real = inputs["attention_mask"].bool()
    alive = {}
    for layer, kept in stages.items():
        stays = real.clone()
        for (row, columns), indices in zip(image_columns(inputs, sizes), kept, strict=True):
            stays[row, columns] = False
            stays[row, columns[indices]] = True
        alive[layer] = stays
    length = real.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()

    def hook(layer):
        keys = alive[max(start for start in alive if start <= layer)]

        def enter(module, args, kwargs):
            allowed = causal & keys[:, None, None]
            kwargs["attention_mask"] = torch.where(allowed, 0.0, torch.finfo(torch.float32).min)
            return args, kwargs

        return enter

    layers = model.get_decoder().layers
    hooks = [
        module.register_forward_pre_hook(hook(i), with_kwargs=True)
        for i, module in enumerate(layers)
        if i >= min(alive)
    ]
    try:
        return model(**inputs).logits, alive[max(alive)]
    finally:
        for one in hooks:
            one.remove()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pruned_logits_equal_a_masked_run_of_full_length(tiny, family, side):
    """Every text place and every kept token of a ragged padded batch answers as it does beside masked tokens."""
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES, side)
    with prune(model, FastV(layer=2, budget="final"), keep=5) as pruning:
        found = model(**inputs).logits
    sizes = [n for n, _ in pruning.stats.tokens]
    expected, alive = masked(tiny.model(family, "eager"), inputs, sizes, {2: pruning.last_indices})
    assert [kept for _, kept in pruning.stats.tokens] == [5, 5, 5]
    torch.testing.assert_close(found[alive], expected[alive], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_several_stages_equal_a_masked_run(tiny, side, attention):
    """Each stage chooses among what the one before left, and has a mask and a cache length of its own."""
    model = tiny.model("llava", attention)
    inputs = tiny.batch(model, IMAGES, side)
    pruner = Loudest((1, 9), (2, 4))
    with prune(model, pruner, keep=9) as pruning:
        out = model(**inputs, use_cache=True)
    first, second = pruner.picks
    last = [a[b] for a, b in zip(first, second, strict=True)]
    expected, alive = masked(tiny.model("llava", "eager"), inputs, [16] * 3, {1: first, 2: last})
    torch.testing.assert_close(out.logits[alive], expected[alive], rtol=1e-3, atol=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(pruning.last_indices, last, strict=True))
    lengths = [layer.keys.shape[2] for layer in out.past_key_values.layers]
    text = int((inputs["attention_mask"].bool() & (inputs["input_ids"] != tiny.image))[1].sum())
    assert tuple(lengths) == pruning.stats.layer_tokens == (inputs["input_ids"].shape[1], text + 18, text + 8)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_a_full_budget_is_the_unpruned_model_bit_for_bit(tiny, family, side, attention):
    """Logits and generated tokens, newlines and padding included."""
    model = tiny.model(family, attention)
    inputs = tiny.batch(model, IMAGES, side)
    plain, words = model(**inputs).logits, model.generate(**inputs, **GREEDY)
    for pruner in (FastV(layer=1), DivPrune(layer=2)):
        with prune(model, pruner, keep=1.0):
            assert torch.equal(model(**inputs).logits, plain)
            assert torch.equal(model.generate(**inputs, **GREEDY), words)


@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_qwen2"])
def test_a_row_of_a_ragged_batch_answers_as_it_does_alone(tiny, family):
    tiny.rows_answer_as_alone(tiny.model(family), IMAGES, FastV(layer=1, budget="final"), keep=5)


MODES = {
    "greedy": {},
    "sampling": {"do_sample": True},
    "several sequences": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "beam sampling": {"do_sample": True, "num_beams": 2},
}


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("side", ["left", "right"])
def test_t11_generation_without_a_cache_does_not_choose_anew(tiny, mode, side):
    """FastV's scores hang on the last token; the choice made for the prompt holds, in every decoding mode."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES, side)
    with prune(model, FastV(layer=1, budget="final"), keep=4) as pruning:
        found = []
        for cached in (True, False):
            torch.manual_seed(3)
            found.append(model.generate(**inputs, **(GREEDY | MODES[mode]), use_cache=cached))
    assert torch.equal(*found)
    assert pruning.calls == 2
    copies = len(found[0]) // 3
    assert torch.equal(found[0][:, : inputs["input_ids"].shape[1]], inputs["input_ids"].repeat_interleave(copies, 0))


def test_a_static_cache_holds_what_a_growing_one_does(tiny):
    """The later layers fill it more slowly, and decoding goes on where they stopped."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, Loudest((1, 6), (2, 3)), keep=6):
        growing = model.generate(**inputs, **GREEDY)
        static = model.generate(**inputs, **GREEDY, cache_implementation="static")
        again = model.generate(**inputs, **GREEDY, cache_implementation="static")
    assert torch.equal(growing, static)
    assert torch.equal(growing, again)


def test_t12_prompt_lookup_copies_placeholders_and_crops_the_cache(tiny):
    """Candidates stand behind the prompt already when it is read; they change neither the choice nor the answer."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    inputs["input_ids"][0, -3:] = inputs["input_ids"][0, 1:4]  # so that the lookup finds something
    with prune(model, FastV(layer=1, budget="final"), keep=4) as pruning:
        greedy = model.generate(**inputs, do_sample=False, max_new_tokens=8)
        kept = pruning.last_indices[0]
        lookup = model.generate(**inputs, do_sample=False, max_new_tokens=8, prompt_lookup_num_tokens=2)
    assert torch.equal(greedy, lookup)
    assert torch.equal(kept, pruning.last_indices[0])


@pytest.mark.parametrize("images", [(1,), (1, 2, 0)])
def test_t10_a_second_turn_on_the_shortened_cache(tiny, images):
    """The whole conversation so far with its cache answers as it does from scratch, where nothing is chosen anew."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, images)
    rows = len(images)
    with prune(model, Loudest((1, 6), (2, 3)), keep=6) as pruning:
        first = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        ids = torch.cat([first.sequences, torch.tensor([[5, 6, 7]]).expand(rows, -1)], 1)
        mask = torch.cat([inputs["attention_mask"], torch.ones(rows, ids.shape[1] - inputs["input_ids"].shape[1])], 1)
        turn = {"input_ids": ids, "attention_mask": mask.long()}
        continued = model.generate(**turn, past_key_values=first.past_key_values, **GREEDY)
        kept = pruning.last_indices
        scratch = model.generate(**(inputs | turn), **GREEDY)
    assert torch.equal(continued, scratch)
    assert all(torch.equal(a, b) for a, b in zip(kept, pruning.last_indices, strict=True))


def test_a_loop_by_hand_continues_the_cache(tiny):
    """Forward calls with one new token each decode as `generate` does."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, FastV(layer=1, budget="final"), keep=4):
        expected = model.generate(**inputs, **GREEDY)[0, -5:].tolist()
        out, found = model(**inputs, use_cache=True), []
        for _ in range(5):
            logits = out.logits[:, -1].clone()
            logits[:, tiny.image] = -torch.inf
            found.append(int(logits.argmax()))
            out = model(input_ids=torch.tensor([[found[-1]]]), past_key_values=out.past_key_values, use_cache=True)
    assert found == expected


def test_the_cache_is_short_behind_the_stage_and_whole_in_front_of_it(tiny):
    """Newlines of LLaVA-NeXT go with the first cut; lengths grow by one a step in every layer."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1,))
    with prune(model, FastV(layer=2, budget="final"), keep=5) as pruning:
        cache = model.generate(**inputs, **GREEDY, return_dict_in_generate=True).past_key_values
    length, ((n, kept),) = inputs["input_ids"].shape[1], pruning.stats.tokens
    assert [layer.keys.shape[2] for layer in cache.layers] == [length + 4, length + 4, length - n + kept + 4]
    assert pruning.stats.layer_tokens == (length, length, length - n + kept)
    assert pruning.stats.prompt == (length, length)


def test_the_three_counts_of_a_budget_are_reported(tiny):
    """Inside and in front of the model, per image."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    for pruner, counts in ((Loudest((1, 9), (2, 4)), (16, 29 / 3, 4)), (DivPrune(), (4, 4.0, 4))):
        with prune(model, pruner, keep=4) as pruning:
            model(**inputs)
        assert pruning.stats.spent == (counts,)


@pytest.mark.parametrize("newline", ["none", "row", "all", "candidate"])
def test_newline_policies_hold_inside_the_model(tiny, newline):
    """As in front of it: kept tokens per image, newlines counted, are those of the same choice of the input."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1, 2))
    adapter = LlavaNext(newline=newline)

    class First:
        def __init__(self, inner):
            self.inner = inner

        def layers(self, depth):
            return (1,) if self.inner else ()

        def kept(self, n, budget, depth):
            return (min(n, budget),)

        def select(self, tokens, k):
            return [torch.arange(m) for m in k]

    kept = []
    for inner in (True, False):
        with prune(model, First(inner), keep=7, adapter=adapter) as pruning:
            model(**inputs)
        kept.append([indices.tolist() for indices in pruning.last_indices])
    assert kept[0] == kept[1]


@pytest.mark.parametrize("family", ["llava", "llava_qwen2", "llava_qwen3"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_the_attention_row_is_that_of_the_whole_map(tiny, family, side):
    """FastV's scores are the last token's row of layer K - 1 in eager attention, mean over heads."""
    model = tiny.model(family, "eager")
    inputs = tiny.batch(model, IMAGES, side)
    pruner = Loudest((1, 5), (2, 3), reads={"attention"})
    maps = model(**inputs, output_attentions=True).attentions
    with prune(model, pruner, keep=5):
        model(**inputs)
    last = inputs["attention_mask"].cumsum(1).argmax(1)
    first, second = pruner.seen
    for row, (at, columns) in zip(first.attention, image_columns(inputs, [16] * 3), strict=True):
        torch.testing.assert_close(row, maps[0][at, :, last[at], columns].mean(0))
    assert first.layer == 1
    assert [len(row) for row in second.attention] == [5, 5, 5]


def test_keys_and_values_are_those_that_the_layer_caches(tiny):
    """What is read in front of layer l is what layer l then computes; queries are means over the tokens asked for."""
    model = tiny.model("llava_qwen3")
    inputs = tiny.batch(model, IMAGES)
    attention = model.get_decoder().layers[1].self_attn
    queries = []
    hook = attention.q_norm.register_forward_hook(lambda module, args, out: queries.append(out))
    cache = model(**inputs, use_cache=True).past_key_values.layers[1]
    hook.remove()
    text = (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
    for asking in ("text", "last", "image"):
        pruner = Loudest((1, 16), reads={"keys_values"})
        pruner.query = asking
        with prune(model, pruner, keep=16):
            model(**inputs)
        (tokens,) = pruner.seen
        for i, (row, columns) in enumerate(image_columns(inputs, [16] * 3)):
            torch.testing.assert_close(tokens.keys[i], cache.keys[row, :, columns])
            torch.testing.assert_close(tokens.values[i], cache.values[row, :, columns])
            behind = text[row] & (torch.arange(text.shape[1]) > image_columns(inputs, [16] * 3)[2 * row][1].max())
            asked = {"text": behind, "last": torch.tensor([text.shape[1] - 1]), "image": columns}[asking]
            torch.testing.assert_close(tokens.query[i], queries[0][row, asked].mean(0))
    assert not torch.allclose(tokens.keys[0], tokens.keys_unrotated[0], atol=1e-2)
    torch.testing.assert_close(tokens.keys[0].norm(dim=-1), tokens.keys_unrotated[0].norm(dim=-1))


def test_a_picture_at_the_end_of_the_prompt_is_asked_about_by_all_text(tiny):
    """Where nothing stands behind the last image, the mean is over all text of the row."""
    model = tiny.model("llava_qwen3")
    inputs = tiny.batch(model, (1,))
    end = int((inputs["input_ids"][0] == tiny.image).nonzero().max()) + 1
    inputs |= {name: inputs[name][:, :end] for name in ("input_ids", "attention_mask")}
    queries = []
    norm = model.get_decoder().layers[1].self_attn.q_norm
    hook = norm.register_forward_hook(lambda module, args, out: queries.append(out))
    model(**inputs)
    hook.remove()
    pruner = Loudest((1, 16), reads={"keys_values"})
    with prune(model, pruner, keep=16):
        model(**inputs)
    torch.testing.assert_close(pruner.seen[0].query[0], queries[0][0, inputs["input_ids"][0] != tiny.image].mean(0))


def test_divprune_at_an_inner_layer_chooses_on_hidden_states(tiny):
    """The picks are those of DivPrune on the hidden states in front of the layer."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2))
    states = model(**inputs, output_hidden_states=True).hidden_states
    for layer in (1, 2):
        with prune(model, DivPrune(layer=layer), keep=5) as pruning:
            model(**inputs)
        from lmm_integration import VisualTokens

        units = [states[layer][row, columns] for row, columns in image_columns(inputs, [16] * 3)]
        expected = DivPrune().select(VisualTokens(units), [5] * 3)
        assert all(torch.equal(a, b) for a, b in zip(expected, pruning.last_indices, strict=True))


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_t1_t4_gapped_positions_are_not_packed_sequences(tiny, cached, masked):
    """With and without a mask and a cache, kept positions with gaps attend to everything before them."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, Loudest((1, 4)), keep=4):
        expected = model(**inputs).logits
        positions = torch.arange(inputs["input_ids"].shape[1])[None]
        given = inputs if masked else {k: v for k, v in inputs.items() if k != "attention_mask"}
        found = model(**given, position_ids=positions, use_cache=cached).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_t9_later_hidden_states_are_shorter(tiny):
    """States of the layers in front of the stage have the length of the prompt, those behind it do not."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, Loudest((2, 4)), keep=4) as pruning:
        states = model(**inputs, output_hidden_states=True).hidden_states
    assert tuple(x.shape[1] for x in states[1:3]) == pruning.stats.layer_tokens[:2]
    assert pruning.stats.layer_tokens[2] == inputs["input_ids"].shape[1] - 12


def test_t7_logits_and_loss_have_the_callers_places(tiny):
    """A dropped place answers as the last kept one before it, and labels of text meet their own logits."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2))
    labels = torch.where(
        (inputs["input_ids"] == tiny.image) | (inputs["attention_mask"] == 0), -100, inputs["input_ids"]
    )
    with prune(model, Loudest((1, 4)), keep=4) as pruning:
        out = model(**inputs, labels=labels)
        last = model(**inputs, logits_to_keep=2).logits
    torch.testing.assert_close(last, out.logits[:, -2:])
    for (row, columns), kept in zip(image_columns(inputs, [16] * 3), pruning.last_indices, strict=True):
        for i, column in enumerate(columns.tolist()):
            if i not in kept:
                assert torch.equal(out.logits[row, column], out.logits[row, column - 1])
    loss = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, loss)


def test_gradients_flow_through_what_stays(tiny):
    """The choice is no obstacle to training."""
    model = tiny.fresh("llava")
    with torch.enable_grad(), prune(model, FastV(layer=1, budget="final"), keep=4):
        model(**tiny.batch(model, (1, 2))).logits.sum().backward()
    layers = model.get_decoder().layers
    assert all(layer.mlp.up_proj.weight.grad.abs().sum() > 0 for layer in layers)
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_models_are_served(tiny, dtype):
    """Scores in float32, finite logits, generation runs."""
    model = tiny.fresh("llava").to(dtype)
    inputs = tiny.batch(model, (1, 2))
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    pruner = Loudest((1, 6), (2, 3), reads={"attention"})
    with prune(model, pruner, keep=6):
        assert model(**inputs).logits.isfinite().all()
        model.generate(**inputs, **GREEDY)
    assert pruner.seen[0].attention[0].dtype == torch.float32


def test_t5_t14_nothing_is_left_behind(tiny):
    """Also after an exception in the block or in the selection; text and unpruned calls are untouched."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    model(**inputs)  # transformers installs its own hooks at the first call

    def state():
        return [(len(m._forward_pre_hooks), len(m._forward_hooks), sorted(m.__dict__)) for m in model.modules()]

    before, logits = state(), model(**inputs).logits

    def fail():
        model.generate(**inputs, **GREEDY)
        raise KeyError("in the block")

    with pytest.raises(KeyError), prune(model, FastV(layer=1), keep=8):
        fail()

    class Broken(Loudest):
        def select(self, tokens, k):
            raise OverflowError("in the selection")

    with pytest.raises(OverflowError), prune(model, Broken((1, 4)), keep=8):
        model(**inputs)
    assert state() == before
    assert torch.equal(model(**inputs).logits, logits)
    ids = torch.tensor([[1, 5, 6, 7]])
    plain = model.generate(input_ids=ids, **GREEDY)
    with prune(model, Loudest((1, 4)), keep=4, strict=False) as pruning:
        assert torch.equal(model.generate(input_ids=ids, **GREEDY), plain)
    assert (pruning.stats, pruning.calls) == (None, 0)


def test_a_block_in_which_no_picture_came_is_an_error(tiny):
    """Never fired means never pruned."""
    model = tiny.model("llava")
    with pytest.raises(RuntimeError, match="nothing was pruned"), prune(model, FastV(layer=1), keep=8):
        model(input_ids=torch.tensor([[1, 5, 6]]))


def test_prune_inputs_refuses_methods_of_inner_layers(tiny):
    """It shortens the input alone, and says so."""
    model = tiny.model("llava")
    with pytest.raises(TypeError, match=r"FastV drops tokens inside the model, in front of decoder layer 1: use `with"):
        prune_inputs(model, tiny.batch(model, (1,)), FastV(), keep=8)


BAD = {
    "layer": (lambda: FastV(layer=3), {}, ValueError, r"ascending layers in \[1, 2\] of this model, got \[3\]"),
    "order": (lambda: Loudest((2, 3), (1, 2)), {}, ValueError, r"ascending layers in \[1, 2\] of this model"),
    "first": (lambda: Loudest((0, 3)), {}, ValueError, r"ascending layers in \[1, 2\] of this model, got \[0\]"),
    "reads": (lambda: Loudest((1, 3), reads={"relevance"}), {}, ValueError, "requires .*relevance.*inside the model"),
    "mean": (lambda: FastV(layer=2), {"keep": 8}, ValueError, "a layer mean of 8 tokens is out of reach"),
    "many": (lambda: FastV(layer=1), {"keep": 17}, ValueError, "at most the 16 visual tokens of sample 0, got 17"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_pruners_and_budgets_are_refused_in_one_sentence(tiny, case):
    """When the block is made, or in the call."""
    make, options, error, message = BAD[case]
    model = tiny.model("llava")
    with pytest.raises(error, match=message), prune(model, make(), **({"keep": 8} | options), strict=False):
        model(**tiny.batch(model, (1,)))


def test_stats_count_the_prompt_alone(tiny):
    """Columns per layer are the same with and without a cache, and with candidates behind the prompt."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    found = []
    with prune(model, Loudest((1, 6), (2, 3)), keep=6) as pruning:
        for options in ({}, {"use_cache": False}, {"prompt_lookup_num_tokens": 2}, {"disable_compile": True}):
            model.generate(**inputs, **GREEDY, **options)
            found.append(pruning.stats.layer_tokens)
    length = inputs["input_ids"].shape[1]
    assert found == [(length, length - 10, length - 13)] * 4


def test_plans_and_merges_that_no_layer_can_follow_are_refused(tiny):
    """One number per stage, and indices."""
    from lmm_integration.tokens import Merged

    class Short(Loudest):
        def kept(self, n, budget, depth):
            return (budget,)

    class Merging(Loudest):
        def select(self, tokens, k):
            return [
                Merged(x[:m], torch.arange(m), torch.full((len(x),), -1))
                for x, m in zip(tokens.features, k, strict=True)
            ]

    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    message = r"Short\.kept must give 2 numbers >= 0, one per stage, got \(4,\)"
    with prune(model, Short((1, 4), (2, 3)), keep=4, strict=False), pytest.raises(ValueError, match=message):
        model(**inputs)
    with prune(model, Merging((1, 4)), keep=4, strict=False), pytest.raises(TypeError, match="dropped, not merged"):
        model(**inputs)


@pytest.mark.parametrize(
    ("answer", "message"),
    [(torch.arange(3), "must give 4 of 16 tokens, got 3"), (torch.arange(4.0), "int64")],
    ids=["count", "floats"],
)
def test_a_pruner_that_breaks_its_contract_is_named(tiny, answer, message):
    """As in front of the model."""

    class Broken(Loudest):
        def select(self, tokens, k):
            return [answer]

    model = tiny.model("llava")
    with pytest.raises(ValueError, match=rf"Broken\.select .*{message}"), prune(model, Broken((1, 4)), keep=4):
        model(**tiny.batch(model, (1,)))


def test_modes_that_would_run_wrong_are_refused(tiny):
    """Prefill in chunks, a cache from another block, gradient checkpointing."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, Loudest((1, 4)), keep=4):
        with pytest.raises(ValueError, match="no prefill_chunk_size, got 8"):
            model.generate(**inputs, **GREEDY, prefill_chunk_size=8)
        cache = model(**inputs, use_cache=True).past_key_values
    with prune(model, Loudest((1, 4)), keep=4, strict=False):
        with pytest.raises(ValueError, match="shortened in another block"):
            model(input_ids=torch.tensor([[5]]), past_key_values=cache)
        cache = model(**inputs, use_cache=True).past_key_values
        with pytest.raises(ValueError, match="continue a cache of"):
            model(**inputs, past_key_values=cache)
        with pytest.raises(ValueError, match="with its own batch, got 2 rows"):
            model(input_ids=torch.tensor([[5], [6]]), past_key_values=cache)
    trained = tiny.fresh("llava").train()
    trained.activation_checkpointing_enable()
    with prune(trained, Loudest((1, 4)), keep=4, strict=False), pytest.raises(ValueError, match="checkpointing"):
        trained(**inputs)


def test_decoders_that_cannot_be_pruned_are_refused(tiny):
    """Windows that do not see the whole prompt, and attention that cannot be read."""
    windowed = tiny.fresh("llava_qwen2")
    windowed.config.text_config.layer_types = ["full_attention", "sliding_attention", "full_attention"]
    with pytest.raises(TypeError, match="do not attend to the whole prompt"):
        prune(windowed, Loudest((1, 4)), keep=4)
    fused = tiny.fresh("llava")
    del fused.get_decoder().layers[0].self_attn.q_proj
    with pytest.raises(TypeError, match="not like Llama's: no q_proj"):
        prune(fused, FastV(layer=1), keep=4)


def unpadded(module, query, key, value, mask, scaling, position_ids=None, **options):
    """What FlashAttention takes: a 2-D mask or None, causal from the bottom right; positions tell what is packed."""
    rows, heads, new, _ = query.shape
    if position_ids is not None and rows == 1 and new > 1:  # a sequence begins wherever the lowest position stands
        assert int((position_ids == position_ids.min()).sum()) == 1
    assert mask is None or mask.shape == (rows, key.shape[2])
    key, value = (x.repeat_interleave(heads // x.shape[1], 1) for x in (key, value))
    out = torch.zeros_like(query)
    for row in range(rows):
        keys = torch.ones(key.shape[2], dtype=torch.bool) if mask is None else mask[row].bool()
        queries = keys[-new:]
        causal = torch.ones(int(queries.sum()), int(keys.sum())).tril(int(keys.sum()) - int(queries.sum())).bool()
        out[row][:, queries] = torch.nn.functional.scaled_dot_product_attention(
            query[row][:, queries], key[row][:, keys], value[row][:, keys], attn_mask=causal, scale=scaling
        )
    return out.transpose(1, 2).contiguous(), None


@pytest.mark.parametrize("place", ["layers 1 and 2", "input", "input, places kept"])
def test_the_contract_of_flash_attention_is_kept(tiny, place):
    """2-D masks over each layer's own keys, positions that no one takes for packed: the logits are those of sdpa."""
    from transformers.masking_utils import flash_attention_mask

    transformers.AttentionInterface.register("unpadded", unpadded)
    transformers.AttentionMaskInterface.register("unpadded", flash_attention_mask)
    options = GREEDY | {"output_logits": True, "return_dict_in_generate": True}
    logits = []
    pruner = {
        "layers 1 and 2": Loudest((1, 6), (2, 3)),
        "input": DivPrune(),
        "input, places kept": DivPrune(position_policy="keep"),
    }[place]
    for kernel in ("sdpa", "unpadded"):
        model = tiny.fresh("llava")
        model.get_decoder().set_attn_implementation(kernel)
        with prune(model, pruner, keep=6):
            for images in ((1,), IMAGES):
                logits += model.generate(**tiny.batch(model, images), **options).logits
    for a, b in zip(logits[: len(logits) // 2], logits[len(logits) // 2 :], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def test_t8_a_kernel_without_a_mask_function_is_refused_where_it_would_attend_to_padding(tiny):
    """transformers hands such a kernel no mask at all."""
    transformers.AttentionInterface.register("maskless", transformers.AttentionInterface()["sdpa"])
    model = tiny.fresh("llava")
    model.get_decoder().set_attn_implementation("maskless")
    with prune(model, Loudest((1, 4)), keep=4):
        assert model(**tiny.batch(model, (1,))).logits.isfinite().all()
        with pytest.raises(ValueError, match="'maskless' has no mask function, so a padded batch runs wrong"):
            model(**tiny.batch(model, (1, 2)))


def test_t13_a_forward_that_others_put_on_a_layer_runs_and_stays(tiny):
    """As accelerate does, which moves tensors in it."""
    model = tiny.fresh("llava")
    layer = model.get_decoder().layers[2]
    inner, lengths = layer.forward, []

    def forward(states, **options):
        lengths.append(states.shape[1])
        return inner(states, **options)

    layer.forward = forward
    inputs = tiny.batch(model, (1,))
    with prune(model, Loudest((2, 4)), keep=4):
        model(**inputs)
    assert lengths == [inputs["input_ids"].shape[1] - 12]
    assert layer.__dict__["forward"] is forward


@pytest.mark.parametrize(("scope", "expected"), [("image", [6, 6, 6]), ("sample", [6, 6]), ("crop", [6] * 3)])
def test_the_budget_holds_per_unit_of_the_scope(tiny, scope, expected):
    """Two images of one sample share a budget where that is asked for, and are chosen from together."""
    model = tiny.model("llava")
    with prune(model, FastV(layer=1, budget="final"), keep=6, budget_scope=scope) as pruning:
        model(**tiny.batch(model, (1, 2)))
    first, second, third = (kept for _, kept in pruning.stats.tokens)
    assert ([first, second + third] if scope == "sample" else [first, second, third]) == expected

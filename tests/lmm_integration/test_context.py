"""`with prune(...)`: every call inside is pruned, the caller sees his own prompt, and nothing is left behind."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from lmm_integration import DivPrune, prune, prune_inputs  # noqa: E402

IMAGES = (1, 2, 0)
MODES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True},
    "several sequences": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    "beam sampling": {"do_sample": True, "num_beams": 2},
    "static cache": {"do_sample": False, "cache_implementation": "static"},
    "chunked prefill": {"do_sample": False, "prefill_chunk_size": 8},
}


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.mark.parametrize("family", ["llava", "llava_next"])
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_generate_gives_the_caller_his_prompt_and_the_pruned_answer(tiny, mode, family):
    """Every decoding mode answers as `generate` on `prune_inputs` does, behind the caller's own prompt."""
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES)
    length = inputs["input_ids"].shape[1]
    new = prune_inputs(model, inputs, DivPrune(), keep=5)
    torch.manual_seed(1)
    expected = model.generate(**new, max_new_tokens=4, **MODES[mode])[:, new["input_ids"].shape[1] :]
    torch.manual_seed(1)
    with prune(model, DivPrune(), keep=5) as pruning:
        out = model.generate(**inputs, max_new_tokens=4, **MODES[mode])
    assert torch.equal(out[:, length:], expected)
    assert torch.equal(out[:, :length], inputs["input_ids"].repeat_interleave(len(out) // 3, 0))
    assert pruning.stats.prompt == (length, new["input_ids"].shape[1])


def test_prefill_in_chunks_is_prefill_at_once(tiny):
    """The pruned prompt may be read in pieces; in a ragged batch too, the answer is that of one piece."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, DivPrune(), keep=5):
        whole, pieces = (
            model.generate(**inputs, max_new_tokens=5, do_sample=False, prefill_chunk_size=size) for size in (None, 7)
        )
    assert torch.equal(whole, pieces)


def test_prompt_lookup_decoding_is_greedy_decoding(tiny):
    """Candidates copied from the prompt, placeholders among them, change no token."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, DivPrune(), keep=5):
        greedy = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        lookup = model.generate(**inputs, max_new_tokens=6, do_sample=False, prompt_lookup_num_tokens=2)
    assert torch.equal(greedy, lookup)


@pytest.mark.parametrize("policy", ["repack", "keep"])
def test_cached_generation_equals_generation_without_a_cache(tiny, policy):
    """Positions and masks of later tokens follow the shortened prompt, whichever way it is numbered."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2))
    with prune(model, DivPrune(position_policy=policy), keep=5):
        cached = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        uncached = model.generate(**inputs, max_new_tokens=6, do_sample=False, use_cache=False)
    assert torch.equal(cached, uncached)


def test_a_full_budget_generates_what_the_model_generates(tiny):
    """At keep = 1.0 the block changes no token and no bit of the logits."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    plain, logits = model.generate(**inputs, max_new_tokens=5, do_sample=False), model(**inputs).logits
    with prune(model, DivPrune(), keep=1.0):
        assert torch.equal(model.generate(**inputs, max_new_tokens=5, do_sample=False), plain)
        assert torch.equal(model(**inputs).logits, logits)


def test_the_cache_of_a_generation_is_short(tiny):
    """The cache that comes back holds the shortened prompt and the new tokens, in every layer."""
    model = tiny.model("llava")
    with prune(model, DivPrune(), keep=5) as pruning:
        out = model.generate(**tiny.batch(model, (1,)), max_new_tokens=4, do_sample=False, return_dict_in_generate=True)
    assert [layer.keys.shape[2] for layer in out.past_key_values.layers] == [pruning.stats.prompt[1] + 3] * 3


@pytest.mark.parametrize("as_config", [False, True])
def test_limits_on_the_whole_length_count_the_callers_prompt(tiny, as_config):
    """`max_length` stops after as many new tokens as it would without pruning."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    limit = inputs["input_ids"].shape[1] + 3
    config = transformers.GenerationConfig(max_length=limit, pad_token_id=0, do_sample=False)
    options = {"generation_config": config} if as_config else {"max_length": limit, "do_sample": False}
    with prune(model, DivPrune(), keep=5):
        assert model.generate(**inputs, **options).shape[1] == limit


def test_forward_gives_logits_for_the_whole_prompt(tiny):
    """Text keeps its logits, and a dropped place answers as the last kept one before it."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    new = prune_inputs(model, inputs, DivPrune(), keep=5)
    short = model(**new).logits[0]
    with prune(model, DivPrune(), keep=5) as pruning:
        full = model(**inputs).logits[0]
        last = model(**inputs, logits_to_keep=3).logits[0]
    places = inputs["input_ids"][0] == tiny.image
    kept = ~places
    kept[places.nonzero().flatten()[pruning.last_indices[0]]] = True
    torch.testing.assert_close(full[kept], short)
    for i in range(1, len(full)):
        if not kept[i]:
            assert torch.equal(full[i], full[i - 1])
    torch.testing.assert_close(last, full[-3:])


@pytest.mark.parametrize("side", ["left", "right"])
def test_forward_on_a_ragged_batch_puts_every_logit_in_its_place(tiny, side):
    """The logits of all text of all rows are those of the rows alone."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES, side)
    with prune(model, DivPrune(), keep=5):
        full = model(**inputs).logits
        for i in range(2):
            row = tiny.row(inputs, IMAGES, i)
            text = (inputs["input_ids"][i] != tiny.image) & inputs["attention_mask"][i].bool()
            alone = model(**row).logits[0][row["input_ids"][0] != tiny.image]
            torch.testing.assert_close(full[i][text], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_loss_is_that_of_the_text_behind_what_stayed(tiny, side):
    """Labels lose the same places as the prompt; the loss is the cross entropy of the logits that are given back."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES, side)
    text = (inputs["input_ids"] != tiny.image) & inputs["attention_mask"].bool()
    text &= inputs["attention_mask"].cumsum(1) > 1  # nothing predicts the first token
    labels = inputs["input_ids"].masked_fill(~text, -100)
    with prune(model, DivPrune(), keep=5):
        out = model(**inputs, labels=labels)
    expected = torch.nn.functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())
    torch.testing.assert_close(out.loss, expected, rtol=1e-4, atol=1e-4)


def test_a_loop_by_hand_continues_the_short_cache(tiny):
    """A forward call with only the new token decodes on, as `generate` does."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, DivPrune(), keep=5):
        expected = model.generate(**inputs, max_new_tokens=3, do_sample=False)[0, -3:].tolist()
        out = model(**inputs, use_cache=True)
        found = []
        for _ in range(3):
            logits = out.logits[:, -1].clone()
            logits[:, tiny.image] = -torch.inf
            found.append(int(logits.argmax()))
            out = model(input_ids=torch.tensor([[found[-1]]]), past_key_values=out.past_key_values, use_cache=True)
    assert found == expected


def state(model):
    """What pruning could leave behind."""
    hooks = [(len(m._forward_pre_hooks), len(m._forward_hooks)) for m in model.modules()]
    return hooks, model.__dict__.get("generate"), sorted(model.__dict__)


def test_nothing_is_left_behind(tiny):
    """After the block, also after an exception in it, the model is as it was."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    model(**inputs)  # transformers installs its own hooks at the first call
    before, logits = state(model), model(**inputs).logits
    with prune(model, DivPrune(), keep=5):
        model(**inputs)
    assert state(model) == before
    with pytest.raises(KeyError), prune(model, DivPrune(), keep=5):
        raise KeyError("in the block")
    with pytest.raises(ValueError, match="visual tokens of sample"), prune(model, DivPrune(), keep=50):
        model.generate(**inputs)
    assert state(model) == before
    assert torch.equal(model(**inputs).logits, logits)


def test_what_others_put_on_the_model_is_put_back(tiny):
    """A `generate` that stood on the instance before stands there afterwards."""
    model = tiny.fresh("llava")
    model.generate = own = model.generate
    with prune(model, DivPrune(), keep=5, strict=False):
        assert model.generate is not own
    assert model.__dict__["generate"] is own


def test_apply_and_remove_are_the_block_in_two_calls(tiny):
    """For harnesses: pruning starts and ends where they say."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    before = state(model)
    pruning = prune(model, DivPrune(), keep=5).apply()
    model(**inputs)
    pruning.remove()
    assert pruning.stats.tokens == ((16, 5),)
    assert pruning.calls == 1
    assert [len(kept) for kept in pruning.last_indices] == [5]
    assert state(model) == before


def test_a_block_in_which_nothing_was_pruned_is_an_error(tiny):
    """Text alone passes untouched, and the end of the block says that no image came; strict=False says nothing."""
    model = tiny.model("llava")
    ids = torch.tensor([[1, 5, 6, 7]])
    plain = model(input_ids=ids).logits
    with pytest.raises(RuntimeError, match="nothing was pruned"), prune(model, DivPrune(), keep=5):
        assert torch.equal(model(input_ids=ids).logits, plain)
    with prune(model, DivPrune(), keep=5, strict=False) as pruning:
        model.generate(input_ids=ids, max_new_tokens=2)
    assert pruning.stats is None


def test_blocks_do_not_nest(tiny):
    """Two prunings of one model at a time would prune twice."""
    model = tiny.model("llava")
    with prune(model, DivPrune(), keep=5, strict=False), pytest.raises(RuntimeError, match="pruned already"):
        prune(model, DivPrune(), keep=3).apply()


def test_tuples_are_refused(tiny):
    """Logits of a tuple could not be given back in full length."""
    model = tiny.model("llava")
    with prune(model, DivPrune(), keep=5, strict=False), pytest.raises(ValueError, match="return_dict=False"):
        model(**tiny.batch(model, (1,)), return_dict=False)


@pytest.mark.parametrize(
    ("pruner", "keep", "error"), [(DivPrune(), 0, ValueError), (DivPrune(), True, TypeError), (object(), 4, TypeError)]
)
def test_what_is_wrong_is_said_at_once(tiny, pruner, keep, error):
    """A bad budget or pruner is refused when the block is made, not in the first call."""
    with pytest.raises(error):
        prune(tiny.model("llava"), pruner, keep=keep)

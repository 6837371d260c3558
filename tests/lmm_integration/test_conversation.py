"""A second turn on the cache of a pruned prompt: it answers as the whole conversation does from scratch."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import DivPrune, prune  # noqa: E402

IMAGE = 95
GREEDY = {"do_sample": False, "max_new_tokens": 5}
WAYS = {
    "input": DivPrune(),
    "input, places kept": DivPrune(position_policy="keep"),
    "decoder layer 2": DivPrune(layer=2),
}
NAMES = ("llava", "onevision", "qwen", "qwen3")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture
def chat(tiny, families):
    """(model, inputs) by name."""

    def build(name, images):
        if name == "llava":
            model = tiny.model("llava")
            return model, tiny.batch(model, images)
        return families[name], families.batch(name, families[name], images)[0]

    return build


def next_turn(inputs, sequences, words=(5, 6, 7)):
    """The conversation so far and three new words, as a chat template would write it."""
    rows = len(sequences)
    every = rows // len(inputs["input_ids"])
    ids = torch.cat([sequences, torch.tensor([words]).expand(rows, -1)], 1)
    new = ids.shape[1] - inputs["input_ids"].shape[1]
    mask = torch.cat([inputs["attention_mask"].repeat_interleave(every, 0), torch.ones(rows, new).long()], 1)
    turn = {"input_ids": ids, "attention_mask": mask}
    if "mm_token_type_ids" in inputs:
        turn["mm_token_type_ids"] = (ids == IMAGE).int()
    return turn


@pytest.mark.parametrize("images", [(1,), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_t10_the_second_and_third_turn_answer_as_from_scratch(chat, name, way, images):
    """With the processor's pictures in the call again or without them; selections do not depend on the later turns."""
    model, inputs = chat(name, images)
    with prune(model, WAYS[way], keep=4) as pruning:
        out = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        kept = pruning.last_indices
        for pixels in ({}, {k: v for k, v in inputs.items() if "pixel" in k or "image" in k}):
            turn = next_turn(inputs, out.sequences)
            cache = out.past_key_values
            lengths = [cache.get_seq_length(layer) for layer in range(3)]
            calls = pruning.calls
            out = model.generate(**turn, **pixels, past_key_values=cache, **GREEDY, return_dict_in_generate=True)
            assert pruning.calls == calls
            assert [cache.get_seq_length(layer) for layer in range(3)] == [n + 8 for n in lengths]
            scratch = model.generate(**(inputs | turn), **GREEDY)
            assert torch.equal(out.sequences, scratch)
    assert all(torch.equal(a, b) for a, b in zip(kept, pruning.last_indices, strict=True))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", NAMES)
def test_new_tokens_alone_continue_the_cache(chat, name, way):
    """`generate` with a mask over the cache and them, and forward calls by hand, stand where the conversation ends."""
    model, inputs = chat(name, (1,))
    cached = {"return_dict_in_generate": True}
    with prune(model, WAYS[way], keep=4):
        first = model.generate(**inputs, **GREEDY, **cached)
        turn = next_turn(inputs, first.sequences)
        whole = model.generate(**turn, past_key_values=first.past_key_values, **GREEDY)
        again = model.generate(**inputs, **GREEDY, **cached)
        held = again.past_key_values.get_seq_length()
        new = turn["input_ids"][:, -4:]  # the last answered token has not been read yet
        short = model.generate(
            input_ids=new, attention_mask=torch.ones(1, held + 4), past_key_values=again.past_key_values, **GREEDY
        )
        assert short[0].tolist() == whole[0, -9:].tolist()
        out, found = model(**inputs, use_cache=True), []
        for token in [*first.sequences[0, -5:].tolist(), 5, 6, 7]:
            out = model(input_ids=torch.tensor([[token]]), past_key_values=out.past_key_values, use_cache=True)
        for _ in range(5):
            logits = out.logits[:, -1].clone()
            logits[:, [IMAGE, 96]] = -torch.inf
            found.append(int(logits.argmax()))
            out = model(input_ids=torch.tensor([[found[-1]]]), past_key_values=out.past_key_values, use_cache=True)
    assert found == whole[0, -5:].tolist()


@pytest.mark.parametrize("name", ["llava", "qwen"])
def test_several_sequences_go_on_each_by_itself(chat, name):
    """Sampling three answers gives a cache of three rows for every prompt."""
    model, inputs = chat(name, (1, 1))
    with prune(model, DivPrune(), keep=4):
        out = model.generate(
            **inputs, max_new_tokens=4, do_sample=True, num_return_sequences=3, return_dict_in_generate=True
        )
        turn = next_turn(inputs, out.sequences)
        continued = model.generate(**turn, past_key_values=out.past_key_values, **GREEDY)
        many = {k: v for k, v in inputs.items() if k not in turn}
        for row in (0, 2, 3, 5):
            picture = {k: v[row // 3 : row // 3 + 1] for k, v in many.items() if k != "pixel_values"}
            if name == "qwen":
                sizes = [int(grid.prod()) for grid in inputs["image_grid_thw"]]
                picture["pixel_values"] = inputs["pixel_values"].split(sizes)[row // 3]
            else:
                picture["pixel_values"] = inputs["pixel_values"][row // 3 : row // 3 + 1]
            alone = model.generate(**picture, **{k: v[row : row + 1] for k, v in turn.items()}, **GREEDY)
            assert torch.equal(continued[row], alone[0])


def test_limits_on_the_whole_length_count_the_conversation(chat):
    """`max_length` of the second turn is the caller's."""
    model, inputs = chat("llava", (1,))
    with prune(model, DivPrune(), keep=4):
        out = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        turn = next_turn(inputs, out.sequences)
        limit = turn["input_ids"].shape[1] + 2
        whole = model.generate(**turn, past_key_values=out.past_key_values, do_sample=False, max_length=limit)
    assert whole.shape[1] == limit


@pytest.mark.parametrize("name", ["llava", "qwen"])
def test_text_alone_is_continued_too(chat, name):
    """A block changes nothing about a conversation without pictures."""
    model, _ = chat(name, (1,))
    ids = torch.tensor([[1, 5, 6, 7]])

    def talk():
        out = model.generate(input_ids=ids, **GREEDY, return_dict_in_generate=True)
        more = torch.cat([out.sequences, torch.tensor([[8, 9]])], 1)
        return model.generate(
            input_ids=more, attention_mask=torch.ones_like(more), past_key_values=out.past_key_values, **GREEDY
        )

    plain = talk()
    with prune(model, DivPrune(), keep=4, strict=False) as pruning:
        assert torch.equal(talk(), plain)
    assert pruning.calls == 0


@pytest.mark.parametrize("name", ["llava", "qwen"])
def test_a_mask_of_queries_and_keys_passes(chat, name):
    """Forward calls that bring a 4-D mask go on as those that bring none."""
    model, inputs = chat(name, (1,))
    with prune(model, DivPrune(), keep=4):
        caches = [model(**inputs, use_cache=True).past_key_values for _ in range(2)]
        seen = torch.ones(1, 1, 1, caches[0].get_seq_length() + 1, dtype=torch.bool)
        new = torch.tensor([[5]])
        plain = model(input_ids=new, past_key_values=caches[0]).logits
        masked = model(input_ids=new, past_key_values=caches[1], attention_mask=seen).logits
    torch.testing.assert_close(plain, masked)


@pytest.mark.parametrize("way", ["input", "decoder layer 2"])
@pytest.mark.parametrize("name", ["llava", "qwen"])
def test_what_would_feed_wrong_tokens_is_refused(chat, name, way):
    """New pictures, other batches, masks that do not fit, nothing new, a cache of another block."""
    model, inputs = chat(name, (1,))
    new = torch.tensor([[5]])
    with prune(model, WAYS[way], keep=4):
        out = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        cache = {"past_key_values": out.past_key_values}
        held = out.past_key_values.get_seq_length()
        turn = next_turn(inputs, out.sequences)
        with pytest.raises(ValueError, match=f"inputs continue a cache of {held} tokens; images are pruned in front"):
            model.generate(input_ids=torch.cat([turn["input_ids"], torch.tensor([[IMAGE]])], 1), **cache)
        with pytest.raises(ValueError, match=f"inputs continue a cache of {held} tokens; images are pruned in front"):
            model(**inputs, **cache)
        with pytest.raises(ValueError, match="with its own batch, got 2 rows for its 1"):
            model(input_ids=new.expand(2, 1), **cache)
        with pytest.raises(ValueError, match=f"mask over the cache and them, {held + 1} columns, got none"):
            model.generate(input_ids=new, **cache)
        with pytest.raises(ValueError, match=rf"{held + 1} columns, got one of 3; `generate` takes the whole"):
            model(input_ids=new, attention_mask=torch.ones(1, 3), **cache)
        with pytest.raises(ValueError, match="attention_mask must have the shape"):
            model.generate(**(turn | {"attention_mask": torch.ones(1, 3)}), **cache)
        with pytest.raises(ValueError, match=f"nothing new behind the {held} cached tokens"):
            model.generate(input_ids=out.sequences[:, :-1], **cache)
    with prune(model, WAYS[way], keep=4, strict=False):
        words = "not filled in this block" if name == "qwen" else "another block|mask over the cache"
        with pytest.raises(ValueError, match=words):
            model(input_ids=new, attention_mask=torch.ones(1, out.sequences.shape[1] + 1), **cache)

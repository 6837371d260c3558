"""Pruning in front of the language model, as a pure function."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import AveragePool, CDPruner, ClsAttention, DivPrune, RandomPruner, UniformGrid, prune_inputs  # noqa: E402
from lmm_integration.pre_llm import run  # noqa: E402

IMAGES = (1, 2, 0)
FAMILIES = ("llava", "llava_next", "vipllava")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def particulars(model, inputs, pruner, keep, **options):
    """Inputs and indices of a pruned call."""
    defaults = {"text": None, "processor": None, "budget_scope": "image", "adapter": None}
    return run(model, inputs, pruner, keep, **(defaults | options))


def by_hand(model, inputs, indices, keep_positions=False):
    """(logits, columns) per row, from embeddings put together token by token, padding left out."""
    vision = {name: inputs[name] for name in ("pixel_values", "image_sizes") if name in inputs}
    features = model.model.get_image_features(**vision, return_dict=True).pooler_output
    image = -1
    answers = []
    for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
        embeddings, positions, here, place = [], [], 0, 0
        for token, real in zip(ids.tolist(), mask.tolist(), strict=True):
            if not real:
                continue
            if token == model.config.image_token_id:
                if here == 0:
                    image, here = image + 1, len(features[image + 1])
                index = len(features[image]) - here
                here -= 1
                if index in indices[image].tolist():
                    rank = sorted(indices[image].tolist()).index(index)
                    embeddings.append(features[image][indices[image][rank]])
                    positions.append(place + int(indices[image][rank]) - index)
            else:
                embeddings.append(model.get_input_embeddings()(torch.tensor(token)))
                positions.append(place)
            place += 1
        where = {"position_ids": torch.tensor([positions])} if keep_positions else {}
        whole = torch.ones(1, len(positions), dtype=torch.long)
        hidden = model.model.language_model(
            inputs_embeds=torch.stack(embeddings)[None], attention_mask=whole, **where
        ).last_hidden_state
        answers.append(model.lm_head(hidden)[0])
    return answers


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_full_budget_is_the_unpruned_model_bit_for_bit(tiny, family, side, attention):
    """Keeping everything changes neither the prompt nor a single bit of the logits."""
    model = tiny.model(family, attention)
    inputs = tiny.batch(model, IMAGES, side)
    new = prune_inputs(model, inputs, DivPrune(), keep=1.0)
    assert torch.equal(new["input_ids"], inputs["input_ids"])
    assert torch.equal(model(**new).logits, model(**inputs).logits)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("policy", ["repack", "keep"])
@pytest.mark.parametrize("order", ["raster", "selection"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pruned_logits_equal_a_run_on_embeddings_put_together_by_hand(tiny, family, order, policy, side):
    """Ragged, padded batches, both position policies and both orders give what each row alone gives by hand."""
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES, side)
    pruner = DivPrune(order=order, position_policy=policy)
    found = particulars(model, inputs, pruner, 0.4)
    logits = model(**found.inputs).logits
    expected = by_hand(model, inputs, found.indices, keep_positions=policy == "keep")
    for row, mask, alone in zip(logits, found.inputs["attention_mask"].bool(), expected, strict=True):
        torch.testing.assert_close(row[mask], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_batch_mates_change_nothing(tiny, family):
    """Every row of a ragged padded batch keeps the tokens, and gives the logits, that it does alone."""
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES)
    together = particulars(model, inputs, DivPrune(), 5)
    logits = model(**together.inputs).logits
    image = 0
    for i in range(2):
        alone = particulars(model, tiny.row(inputs, IMAGES, i), DivPrune(), 5)
        for indices in alone.indices:
            assert torch.equal(indices, together.indices[image])
            image += 1
        real = together.inputs["attention_mask"][i].bool()
        torch.testing.assert_close(logits[i, real], model(**alone.inputs).logits[0], rtol=1e-3, atol=1e-3)


def test_the_prompt_really_gets_shorter(tiny):
    """Each image loses n - k places, padding that no row needs goes, and the cache of every layer is as short."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (2, 1))
    new = prune_inputs(model, inputs, DivPrune(), keep=4)
    lost = 2 * (tiny.tokens - 4)
    assert new["input_ids"].shape[1] == inputs["input_ids"].shape[1] - lost
    assert (new["input_ids"] == tiny.image).sum(1).tolist() == [8, 4]
    cache = model(**new, use_cache=True).past_key_values
    assert [layer.keys.shape[2] for layer in cache.layers] == [new["input_ids"].shape[1]] * 3


def test_text_is_never_touched(tiny):
    """All tokens of every row that are no image stay, in order."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES, "right")
    new = prune_inputs(model, inputs, DivPrune(), keep=3)
    for i in range(3):
        before = inputs["input_ids"][i][inputs["attention_mask"][i].bool()]
        after = new["input_ids"][i][new["attention_mask"][i].bool()]
        assert before[before != tiny.image].tolist() == after[after != tiny.image].tolist()


def test_neither_model_nor_inputs_are_changed(tiny):
    """The function is pure: same keys, same tensors, no hook left."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    before = {name: value.clone() for name, value in inputs.items()}
    hooks = [len(module._forward_pre_hooks) for module in model.modules()]
    prune_inputs(model, inputs, ClsAttention(), keep=3)
    assert inputs.keys() == before.keys()
    assert all(torch.equal(inputs[name], before[name]) for name in inputs)
    assert [len(module._forward_pre_hooks) for module in model.modules()] == hooks


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_lose_the_same_places(tiny, side):
    """The loss is that of the rows by hand, also where the longest row becomes the one with new padding in front."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2), side)
    gap = (inputs["attention_mask"][0] == 0).nonzero().flatten()
    more = gap[5:] if side == "left" else gap[:-5]
    inputs["input_ids"][0, more] = 7  # row 0 loses less than row 1, and is the longer one afterwards
    inputs["attention_mask"][0, more] = 1
    labels = torch.where(
        (inputs["input_ids"] == tiny.image) | (inputs["attention_mask"] == 0), -100, inputs["input_ids"]
    )
    if side == "left":
        labels[0, 5] = -100  # transformers itself would let the padding in front predict it
    new = prune_inputs(model, inputs | {"labels": labels}, DivPrune(), keep=4)
    found = particulars(model, inputs, DivPrune(), 4)
    kept = [x[m.bool()] for x, m in zip(new["labels"], new["attention_mask"], strict=True)]
    losses = [
        torch.nn.functional.cross_entropy(logits[:-1], y[1:], ignore_index=-100, reduction="sum")
        for logits, y in zip(by_hand(model, inputs, found.indices), kept, strict=True)
    ]
    count = sum(int((y[1:] != -100).sum()) for y in kept)
    assert (labels != -100).sum() - count == (1 if side == "left" else 2)
    torch.testing.assert_close(model(**new).loss, sum(losses) / count, rtol=1e-4, atol=1e-4)


def test_gradients_reach_the_projector_through_the_kept_tokens(tiny):
    """Selecting is no obstacle to training."""
    model = tiny.fresh("llava")
    inputs = tiny.batch(model, (1,))
    with torch.enable_grad():
        new = prune_inputs(model, inputs, DivPrune(), keep=4)
        model(**new).logits.sum().backward()
    assert model.model.multi_modal_projector.linear_1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pruner", [DivPrune(), ClsAttention(), AveragePool()], ids=lambda p: p.title)
def test_half_precision_models_are_served(tiny, dtype, pruner):
    """Features keep the model's dtype and the logits are finite."""
    model = tiny.fresh("llava").to(dtype)
    inputs = tiny.batch(model, (1, 2))
    inputs["pixel_values"] = inputs["pixel_values"].to(dtype)
    new = prune_inputs(model, inputs, pruner, keep=5)
    assert new["mm_encoder_outputs"]["image"].pooler_output[0].dtype == dtype
    assert model(**new).logits.isfinite().all()


@pytest.mark.parametrize("scope", ["image", "sample"])
@pytest.mark.parametrize(
    "pruner", [DivPrune(), UniformGrid(), RandomPruner(), AveragePool(), ClsAttention()], ids=lambda p: p.title
)
def test_the_budget_holds_per_image_or_per_sample(tiny, pruner, scope):
    """Every method spends exactly its budget in each unit of the scope."""
    model = tiny.model("llava")
    found = particulars(model, tiny.batch(model, (1, 2)), pruner, 6, budget_scope=scope)
    kept = [count for _, count in found.tokens]
    assert kept == [6, 6, 6] if scope == "image" else [kept[0], sum(kept[1:])] == [6, 6]


def test_an_image_may_lose_all_its_tokens_to_another_of_its_sample(tiny):
    """With one budget per sample an image can end up empty, and beams still work."""
    model = tiny.model("llava")

    class FirstTokens:
        def select(self, tokens, k):
            return [torch.arange(m) for m in k]

    inputs = tiny.batch(model, (2, 2))
    found = particulars(model, inputs, FirstTokens(), 5, budget_scope="sample")
    assert found.tokens == [(16, 5), (16, 0), (16, 5), (16, 0)]
    logits = model(**found.inputs).logits
    for row, mask, alone in zip(
        logits, found.inputs["attention_mask"].bool(), by_hand(model, inputs, found.indices), strict=True
    ):
        torch.testing.assert_close(row[mask], alone, rtol=1e-3, atol=1e-3)
    assert model.generate(**found.inputs, num_beams=2, max_new_tokens=2, do_sample=False).shape[0] == 2


def test_merged_tokens_take_the_place_of_their_cells(tiny):
    """Average pooling hands the model the mean of each 2 x 2 cell of a 4 x 4 raster."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    features = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output[0]
    expected = features.view(2, 2, 2, 2, -1).mean((1, 3)).flatten(0, 1)
    new = prune_inputs(model, inputs, AveragePool(), keep=4)
    torch.testing.assert_close(new["mm_encoder_outputs"]["image"].pooler_output[0], expected)


def test_t1_positions_without_a_mask_are_not_taken_for_packed_sequences(tiny):
    """Kept positions have gaps; the explicit mask keeps transformers from cutting the prompt there."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    del inputs["attention_mask"]
    new = prune_inputs(model, inputs, DivPrune(position_policy="keep"), keep=4)
    without = {name: value for name, value in new.items() if name != "attention_mask"}
    assert new["attention_mask"].all()
    assert not torch.allclose(model(**without, use_cache=False).logits, model(**new, use_cache=False).logits, atol=1e-2)


def test_whatever_is_as_long_as_the_prompt_is_shortened_with_it(tiny):
    """Token types and the like lose the same places; padding gets 0; strangers of another shape pass."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    extra = {"token_type_ids": inputs["input_ids"] + 1, "temperature": 0.5, "weights": torch.zeros(3)}
    new = prune_inputs(model, inputs | extra, DivPrune(), keep=3)
    real = new["attention_mask"].bool()
    assert torch.equal(new["token_type_ids"][real], new["input_ids"][real] + 1)
    assert not new["token_type_ids"][~real].any()
    assert new["temperature"] == 0.5
    assert new["weights"] is extra["weights"]


def test_a_pruner_gets_what_it_requires_and_nothing_else(tiny):
    """Declarations decide: the text of a unit is that of its row, attention comes when asked for."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    seen = []

    class Reader:
        requires = frozenset({"text"})

        def select(self, tokens, k):
            seen.append(tokens)
            return [torch.arange(m) for m in k]

    prune_inputs(model, inputs, Reader(), keep=3, text=["one", "two", "none"])
    Reader.requires = frozenset({"vision_attention"})
    prune_inputs(model, inputs, Reader(), keep=3)
    assert (seen[0].text, seen[0].vision_attention) == (["one", "two", "two"], None)
    assert seen[0].grid == [(4, 4)] * 3
    assert (seen[1].text, [len(row) for row in seen[1].vision_attention]) == (None, [16] * 3)
    Reader.requires = frozenset({"keys"})
    with pytest.raises(ValueError, match=r"Reader requires \['keys'\]; there are"):
        prune_inputs(model, inputs, Reader(), keep=3)


BAD = {
    "keep = 0": ({}, {"keep": 0}, "keep must be >= 1 token, got 0"),
    "too many": ({}, {"keep": 17}, "at most the 16 visual tokens of sample 0, got 17"),
    "ratio": ({}, {"keep": 1.5}, r"in \(0, 1\], got 1.5"),
    "no image": ({"pixel_values": None}, {}, "no image"),
    "no prompt": ({"input_ids": None}, {}, "input_ids of shape"),
    "encoded": ({"mm_encoder_outputs": {}}, {}, "pruned or encoded already"),
    "video": ({"pixel_values_videos": 1}, {}, "only images of LlavaForConditionalGeneration can be pruned"),
    "embeddings": ({"inputs_embeds": 1}, {}, "inputs_embeds"),
    "positions": ({"position_ids": torch.zeros(1, 1)}, {}, "position_policy='repack' would discard"),
    "mask": ({"attention_mask": torch.ones(1, 3)}, {}, "attention_mask must have the shape"),
    "scope": ({}, {"budget_scope": "tile"}, "budget_scope must be one of crop, image, sample, got 'tile'"),
    "two images": ({"pixel_values": torch.zeros(2, 3, 56, 56)}, {}, "16 image placeholders, but its images have 32"),
    "no relevance": ({}, {"pruner": CDPruner()}, "CDPruner needs a relevance tower"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_refused_in_one_sentence(tiny, case):
    """Everything that cannot be served is a ValueError that says why."""
    changes, options, message = BAD[case]
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,)) | changes
    options = {"pruner": DivPrune(), "keep": 4} | options
    with pytest.raises(ValueError, match=message):
        prune_inputs(model, inputs, **options)


def test_a_cache_in_front_is_refused(tiny):
    """Images behind a cached prefix would need its shortened mask."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    cache = model(**inputs, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="continue a cache of"):
        prune_inputs(model, inputs | {"past_key_values": cache}, DivPrune(), keep=4)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda k: torch.arange(k - 1), "must give 4 of 16 tokens, got 3"),
        (lambda k: torch.zeros(k, dtype=torch.int64), "distinct"),
        (lambda k: torch.arange(k) + 14, "between 0 and 15"),
        (lambda k: torch.arange(k).float(), "int64"),
    ],
)
def test_a_pruner_that_breaks_its_contract_is_refused(tiny, answer, message):
    """Wrong counts, repeats, strangers and floats are told, with the pruner's name."""

    class Broken:
        def select(self, tokens, k):
            return [answer(m) for m in k]

    model = tiny.model("llava")
    with pytest.raises(ValueError, match=rf"Broken\.select .*{message}"):
        prune_inputs(model, tiny.batch(model, (1,)), Broken(), keep=4)

"""LLaVA-OneVision, Qwen2.5-VL and Qwen3-VL: tiny random models of the real classes, images of several sizes, ragged batches."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import IWP, DivPrune, FastV, prune, prune_inputs  # noqa: E402
from lmm_integration.adapters import LlavaOnevision, Qwen2_5VL, adapter_for  # noqa: E402

IMAGE = 95
FAMILIES = ("onevision", "qwen", "qwen3")


@pytest.mark.parametrize("name", FAMILIES)
def test_keeping_everything_is_the_unpruned_model_bit_for_bit(families, name):
    model = families[name]
    inputs, _ = families.batch(name, model, (1, 2, 0))
    with torch.no_grad():
        plain = model(**inputs).logits
        kept = model(**prune_inputs(model, inputs, DivPrune(), keep=1.0)).logits
    assert torch.equal(plain, kept)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_of_a_ragged_batch_is_the_row_alone(families, name):
    model = families[name]
    inputs, alone = families.batch(name, model, (1, 2, 0))
    short = prune_inputs(model, inputs, DivPrune(), keep=5)
    assert (short["input_ids"] == IMAGE).sum(1).tolist() == [5, 10, 0]
    with torch.no_grad():
        together = model(**short).logits
        for i in (0, 1):
            single = model(**prune_inputs(model, alone[i], DivPrune(), keep=5)).logits
            real = short["attention_mask"][i].bool()
            torch.testing.assert_close(together[i, real], single[0], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_logits_are_those_of_a_run_on_embeddings(families, name):
    """An independent road: embed, replace, cut by hand, and give positions explicitly."""
    model = families[name]
    inputs, _ = families.batch(name, model)
    with prune(model, DivPrune(), keep=6) as pruning, torch.no_grad():
        model(**inputs)
    (kept,) = pruning.last_indices
    pixels = {k: v for k, v in inputs.items() if k not in ("input_ids", "attention_mask", "mm_token_type_ids")}
    with torch.no_grad():
        encoded = model.model.get_image_features(**pixels, return_dict=True)
        (features,) = encoded.pooler_output
        places = (inputs["input_ids"][0] == IMAGE).nonzero().flatten()
        stays = torch.ones(inputs["input_ids"].shape[1], dtype=torch.bool)
        stays[places] = False
        stays[places[kept]] = True
        embedded = model.get_input_embeddings()(inputs["input_ids"]).clone()
        embedded[0, places] = features
        deeper = {}
        if name == "qwen3":
            deeper = {
                "visual_pos_masks": (inputs["input_ids"] == IMAGE)[:, stays],
                "deepstack_visual_embeds": [part[kept] for (part,) in encoded.deepstack_features],
            }
        if name != "onevision":
            positions, _ = model.model.get_rope_index(
                inputs["input_ids"], inputs["mm_token_type_ids"], image_grid_thw=inputs["image_grid_thw"]
            )
            positions = positions[:, :, stays]
        else:
            positions = torch.arange(int(stays.sum()))[None]
        mask = torch.ones(1, int(stays.sum()), dtype=torch.long)
        out = model.model.language_model(
            inputs_embeds=embedded[:, stays], attention_mask=mask, position_ids=positions, **deeper
        ).last_hidden_state
        expected = model.lm_head(out)
        found = model(**prune_inputs(model, inputs, DivPrune(), keep=6)).logits
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True, "num_return_sequences": 2}], ids=str)
@pytest.mark.parametrize("name", FAMILIES)
def test_cached_generation_is_uncached_generation(families, name, options):
    model = families[name]
    inputs, _ = families.batch(name, model, (1, 2))
    with prune(model, DivPrune(), keep=4):
        outputs = []
        for cached in (True, False):
            torch.manual_seed(3)
            outputs.append(
                model.generate(**inputs, max_new_tokens=5, use_cache=cached, **({"do_sample": False} | options))
            )
    assert torch.equal(*outputs)
    width = inputs["input_ids"].shape[1]
    assert torch.equal(outputs[0][:: len(outputs[0]) // 2, :width], inputs["input_ids"])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_cache_is_shorter_in_every_layer(families, name):
    model = families[name]
    inputs, _ = families.batch(name, model)
    with prune(model, DivPrune(), keep=4), torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
    text = int((inputs["input_ids"] != IMAGE).sum())
    assert [cache.get_seq_length(layer) for layer in range(3)] == [text + 4] * 3


def test_t6_dropping_ids_alone_would_move_the_picture(families):
    """Qwen2.5-VL recomputes positions from the ids it sees; ours are those of the whole picture."""
    model = families["qwen"]
    inputs, _ = families.batch("qwen", model)
    short = prune_inputs(model, inputs, DivPrune(), keep=4)
    with torch.no_grad():
        right = model(**short).logits
        short["position_ids"] = None
        wrong = model(**short).logits
    assert (right - wrong).abs().max() > 0.1


def test_qwen_positions_are_given_once(families):
    """A caller's own positions are taken, of the wrong shape refused; without token types they are the same."""
    model = families["qwen"]
    inputs, _ = families.batch("qwen", model)
    assert isinstance(adapter_for(model), Qwen2_5VL)
    with pytest.raises(ValueError, match="position_ids must have shape"):
        prune_inputs(model, inputs | {"position_ids": torch.zeros(1, 3)}, DivPrune(), keep=4)
    ours = adapter_for(model).positions(model, inputs)
    again = adapter_for(model).positions(model, inputs | {"position_ids": ours})
    untyped = {k: v for k, v in inputs.items() if k != "mm_token_type_ids"}
    assert torch.equal(ours, again)
    assert torch.equal(ours, adapter_for(model).positions(model, untyped))


def test_qwen_layouts_are_the_merged_rasters(families):
    model = families["qwen"]
    inputs, _ = families.batch("qwen", model, (2,))
    features = list(model.model.get_image_features(
        inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True
    ).pooler_output)  # fmt: skip
    layouts = adapter_for(model).layout(model, inputs, features)
    assert [layout.grid for layout in layouts] == [((2, 3),), ((4, 2),)]
    assert [len(layout.patch) for layout in layouts] == [6, 8]


@pytest.mark.parametrize("size", [(90, 100), (40, 100), (224, 224), (100, 45), (56, 56)])
def test_onevision_tokens_are_traced_to_their_patches(families, size):
    """Where nothing was interpolated, projecting the named patches gives the tokens back; newlines are found."""
    model = families["onevision"]
    inputs = {
        "pixel_values": torch.randn(1, 17, 3, 56, 56, generator=torch.Generator().manual_seed(1)),
        "image_sizes": torch.tensor([size]),
    }
    adapter = adapter_for(model)
    assert isinstance(adapter, LlavaOnevision)
    with torch.no_grad():
        output = adapter.encode(model, inputs | {"output_hidden_states": True})
        (features,) = output.pooler_output
        (layout,) = adapter.layout(model, inputs, [features])
        states = adapter.patches(model, inputs, output)
        assert adapter.crops(model, inputs, [features]) == [len(states)]
        projected = model.model.multi_modal_projector(states).flatten(0, 1)
    newline = layout.newline
    assert torch.equal(newline, (features == model.model.image_newline).all(-1))
    if size != (224, 224):
        torch.testing.assert_close(features[~newline], projected[layout.patch[~newline]])
    else:  # 17 crops: the joined 16 x 16 patches were shrunk to 12 x 12
        first = torch.arange(16)
        torch.testing.assert_close(features[first], projected[layout.patch[first]])
        assert len(features) == 16 + 12 * 13
        assert int(layout.patch.max()) < 17 * 16
        assert len(layout.patch[16:][~newline[16:]].unique()) > 100
    assert layout.grid[0] == (4, 4)


def test_onevision_several_images_are_one_tile_each(families):
    model = families["onevision"]
    inputs, _ = families.batch("onevision", model, (2,))
    features = list(adapter_for(model).encode(model, inputs).pooler_output)
    layouts = adapter_for(model).layout(model, inputs, features)
    assert adapter_for(model).crops(model, inputs, features) == [1, 1]
    assert [len(layout.patch) for layout in layouts] == [17, 17]
    assert [int(layout.newline.sum()) for layout in layouts] == [1, 1]


@pytest.mark.parametrize("newline", ["none", "row", "all", "candidate"])
def test_onevision_newline_policies(families, newline):
    model = families["onevision"]
    inputs, _ = families.batch("onevision", model)
    short = prune_inputs(model, inputs, DivPrune(), keep=7, adapter=LlavaOnevision(newline=newline))
    left = int((short["input_ids"] == IMAGE).sum())
    assert left == 7 if newline in ("none", "candidate") else left > 7
    with torch.no_grad():
        assert torch.isfinite(model(**short).logits).all()


@pytest.mark.parametrize("pruner", [FastV(layer=1, budget="final"), IWP(layer=2)], ids=lambda pruner: pruner.title)
@pytest.mark.parametrize("name", FAMILIES)
def test_decoder_layers_of_all_families_are_pruned(families, name, pruner):
    """All kept is the unpruned model; a row of a ragged batch decodes as it does alone, with and without a cache."""
    model = families[name]
    inputs, alone = families.batch(name, model, (1, 2, 0))
    options = {"max_new_tokens": 4, "do_sample": False}
    with torch.no_grad():
        plain = model.generate(**inputs, **options)
        with prune(model, pruner, keep=1.0):
            assert torch.equal(model.generate(**inputs, **options), plain)
        with prune(model, pruner, keep=4) as pruning:
            cached, uncached = (model.generate(**inputs, **options, use_cache=use) for use in (True, False))
            kept = [kept for _, kept in pruning.stats.tokens]
            rows = [model.generate(**row, **options)[0, -4:] for row in alone[:2]]
    assert torch.equal(cached, uncached)
    assert kept == [4, 4, 4]
    assert torch.equal(cached[:2, -4:], torch.stack(rows))


@pytest.mark.parametrize("pruner", [DivPrune(), DivPrune(layer=2)], ids=["input", "layer 2"])
@pytest.mark.parametrize("name", FAMILIES)
@torch.no_grad()
def test_other_decoding_modes_write_what_greedy_decoding_writes(families, name, pruner):
    """A static cache, prompt lookup, and, where tokens go in front of the model, prefill in chunks."""
    model = families[name]
    inputs, _ = families.batch(name, model)
    inputs["input_ids"][0, -3:] = inputs["input_ids"][0, 1:4]  # so that the lookup finds something
    modes = [{"cache_implementation": "static"}, {"prompt_lookup_num_tokens": 2}]
    modes += [{"prefill_chunk_size": 7}] if pruner.layer == 0 else []
    with prune(model, pruner, keep=4):
        greedy = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        for mode in modes:
            assert torch.equal(model.generate(**inputs, max_new_tokens=6, do_sample=False, **mode), greedy), mode

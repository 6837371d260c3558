"""LLaVA-OneVision, Qwen2.5-VL and Qwen3-VL: tiny random models of the real classes, images of several sizes, ragged batches."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import IWP, ClsAttention, DivPrune, FastV, prune, prune_inputs  # noqa: E402
from lmm_integration.adapters import LlavaOnevision, Qwen2_5VL, adapter_for  # noqa: E402

IMAGE, VIDEO, PAD, VOCABULARY = 95, 96, 0, 100
LANGUAGE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": PAD,
    "initializer_range": 0.3,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.3,
}


def onevision():
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION),
        text_config=hf.Qwen2Config(**LANGUAGE),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=[[56, 56], [56, 112], [112, 56], [112, 112], [112, 168], [224, 224]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    return hf.LlavaOnevisionForConditionalGeneration(config)


ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
QWEN_IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": 97,
    "vision_end_token_id": 98,
}
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 4,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}


def qwen():
    vision = {**QWEN_VISION, "window_size": 112, "fullatt_block_indexes": [1], "tokens_per_second": 2}
    text = {**LANGUAGE, "rope_parameters": ROPE}
    return hf.Qwen2_5_VLForConditionalGeneration(
        hf.Qwen2_5_VLConfig(**QWEN_IDS, text_config=text, vision_config=vision)
    )


def qwen3():
    vision = {**QWEN_VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    text = {**LANGUAGE, "head_dim": 8, "rope_parameters": ROPE}
    return hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(**QWEN_IDS, text_config=text, vision_config=vision))


@pytest.fixture(scope="module")
def models():
    found = {}
    for name, build in (("onevision", onevision), ("qwen", qwen), ("qwen3", qwen3)):
        torch.manual_seed(0)
        model = build().eval()
        model.generation_config.pad_token_id = PAD
        model.generation_config.eos_token_id = None
        model.generation_config.suppress_tokens = [IMAGE, VIDEO]
        found[name] = model
    return found


SIZES = [(90, 100), (40, 100), (224, 224), (100, 45), (56, 56)]
GRIDS = [(4, 6), (8, 4), (6, 6), (4, 4), (10, 4)]


def pictures(name, model, count, which):
    generator = torch.Generator().manual_seed(100 * which + count)
    if name == "onevision":
        inputs = {
            "pixel_values": torch.randn(count, 17, 3, 56, 56, generator=generator),
            "image_sizes": torch.tensor([SIZES[(which + i) % 5] for i in range(count)]),
            "batch_num_images": torch.tensor([count]),
        }
    else:
        grids = [GRIDS[(which + i) % 5] for i in range(count)]
        patches = sum(h * w for h, w in grids)
        inputs = {
            "pixel_values": torch.randn(patches, 3 * 2 * 14 * 14, generator=generator),
            "image_grid_thw": torch.tensor([[1, h, w] for h, w in grids]),
        }
    with torch.no_grad():
        lengths = [len(x) for x in model.model.get_image_features(**inputs, return_dict=True).pooler_output]
    return inputs, lengths


def batch(name, model, images=(1,)):
    """(inputs, rows): the padded batch, and every row as a batch of its own."""
    generator = torch.Generator().manual_seed(5)

    def words(n):
        return torch.randint(3, 90, (n,), generator=generator).tolist()

    rows, alone = [], []
    for which, count in enumerate(images):
        given, lengths = pictures(name, model, count, which) if count else ({}, [])
        ids = [1, *words(3)]
        for length in lengths:
            ids += [97] + [IMAGE] * length + [98] + words(2)
        ids += words(4 + which)
        rows.append((ids, given))
        alone.append(tensors(name, [ids], given))
    joined = {
        key: torch.cat([given[key] for _, given in rows if key in given]) for key in next(g for _, g in rows if g)
    }
    return tensors(name, [ids for ids, _ in rows], joined), alone


def tensors(name, rows, given):
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    kinds = {"mm_token_type_ids": (ids == IMAGE).int()} if name.startswith("qwen") else {}
    return {"input_ids": ids, "attention_mask": mask, **kinds, **given}


FAMILIES = ("onevision", "qwen", "qwen3")


@pytest.mark.parametrize("name", FAMILIES)
def test_keeping_everything_is_the_unpruned_model_bit_for_bit(models, name):
    model = models[name]
    inputs, _ = batch(name, model, (1, 2, 0))
    with torch.no_grad():
        plain = model(**inputs).logits
        kept = model(**prune_inputs(model, inputs, DivPrune(), keep=1.0)).logits
    assert torch.equal(plain, kept)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_of_a_ragged_batch_is_the_row_alone(models, name):
    model = models[name]
    inputs, alone = batch(name, model, (1, 2, 0))
    short = prune_inputs(model, inputs, DivPrune(), keep=5)
    assert (short["input_ids"] == IMAGE).sum(1).tolist() == [5, 10, 0]
    with torch.no_grad():
        together = model(**short).logits
        for i in (0, 1):
            single = model(**prune_inputs(model, alone[i], DivPrune(), keep=5)).logits
            real = short["attention_mask"][i].bool()
            torch.testing.assert_close(together[i, real], single[0], atol=2e-4, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_pruned_logits_are_those_of_a_run_on_embeddings(models, name):
    """An independent road: embed, replace, cut by hand, and give positions explicitly."""
    model = models[name]
    inputs, _ = batch(name, model)
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
def test_cached_generation_is_uncached_generation(models, name, options):
    model = models[name]
    inputs, _ = batch(name, model, (1, 2))
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
def test_the_cache_is_shorter_in_every_layer(models, name):
    model = models[name]
    inputs, _ = batch(name, model)
    with prune(model, DivPrune(), keep=4), torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
    text = int((inputs["input_ids"] != IMAGE).sum())
    assert [cache.get_seq_length(layer) for layer in range(3)] == [text + 4] * 3


def test_t6_dropping_ids_alone_would_move_the_picture(models):
    """Qwen2.5-VL recomputes positions from the ids it sees; ours are those of the whole picture."""
    model = models["qwen"]
    inputs, _ = batch("qwen", model)
    short = prune_inputs(model, inputs, DivPrune(), keep=4)
    with torch.no_grad():
        right = model(**short).logits
        short["position_ids"] = None
        wrong = model(**short).logits
    assert (right - wrong).abs().max() > 0.1


def test_qwen_refuses_what_it_would_place_wrongly(models):
    model = models["qwen"]
    inputs, _ = batch("qwen", model)
    assert isinstance(adapter_for(model), Qwen2_5VL)
    with prune(model, DivPrune(), keep=4), torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
        with pytest.raises(ValueError, match="start without a cache"):
            model(input_ids=torch.tensor([[5]]), past_key_values=cache)
    with pytest.raises(ValueError, match="position_ids must have shape"):
        prune_inputs(model, inputs | {"position_ids": torch.zeros(1, 3)}, DivPrune(), keep=4)
    ours = adapter_for(model).positions(model, inputs)
    again = adapter_for(model).positions(model, inputs | {"position_ids": ours})
    untyped = {k: v for k, v in inputs.items() if k != "mm_token_type_ids"}
    assert torch.equal(ours, again)
    assert torch.equal(ours, adapter_for(model).positions(model, untyped))


def test_qwen_layouts_are_the_merged_rasters(models):
    model = models["qwen"]
    inputs, _ = batch("qwen", model, (2,))
    features = list(model.model.get_image_features(
        inputs["pixel_values"], inputs["image_grid_thw"], return_dict=True
    ).pooler_output)  # fmt: skip
    layouts = adapter_for(model).layout(model, inputs, features)
    assert [layout.grid for layout in layouts] == [((2, 3),), ((4, 2),)]
    assert [len(layout.patch) for layout in layouts] == [6, 8]


@pytest.mark.parametrize("size", SIZES)
def test_onevision_tokens_are_traced_to_their_patches(models, size):
    """Where nothing was interpolated, projecting the named patches gives the tokens back; newlines are found."""
    model = models["onevision"]
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


def test_onevision_several_images_are_one_tile_each(models):
    model = models["onevision"]
    inputs, _ = batch("onevision", model, (2,))
    features = list(adapter_for(model).encode(model, inputs).pooler_output)
    layouts = adapter_for(model).layout(model, inputs, features)
    assert adapter_for(model).crops(model, inputs, features) == [1, 1]
    assert [len(layout.patch) for layout in layouts] == [17, 17]
    assert [int(layout.newline.sum()) for layout in layouts] == [1, 1]


@pytest.mark.parametrize("newline", ["none", "row", "all", "candidate"])
def test_onevision_newline_policies(models, newline):
    model = models["onevision"]
    inputs, _ = batch("onevision", model)
    short = prune_inputs(model, inputs, DivPrune(), keep=7, adapter=LlavaOnevision(newline=newline))
    left = int((short["input_ids"] == IMAGE).sum())
    assert left == 7 if newline in ("none", "candidate") else left > 7
    with torch.no_grad():
        assert torch.isfinite(model(**short).logits).all()


@pytest.mark.parametrize("pruner", [FastV(layer=1, budget="final"), IWP(layer=2)], ids=lambda pruner: pruner.title)
@pytest.mark.parametrize("name", ["onevision", "qwen"])
def test_decoder_layers_of_both_families_are_pruned(models, name, pruner):
    """All kept is the unpruned model; a row of a ragged batch decodes as it does alone, with and without a cache."""
    model = models[name]
    inputs, alone = batch(name, model, (1, 2, 0))
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


def test_layers_that_are_given_more_pictures_are_left_alone(models):
    """Qwen3-VL adds features of the tower behind its first layers, place by place."""
    with pytest.raises(TypeError, match="adds pictures to its states between layers"):
        prune(models["qwen3"], FastV(), keep=4)


def next_video():
    config = hf.LlavaNextVideoConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**LANGUAGE),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]],
        spatial_pool_mode="average",
        spatial_pool_stride=2,
        vision_feature_layer=-1,
    )
    return hf.LlavaNextVideoForConditionalGeneration(config)


@pytest.fixture(scope="module")
def video_models(models):
    torch.manual_seed(0)
    model = next_video().eval()
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = None
    model.generation_config.suppress_tokens = [IMAGE, VIDEO]
    return {"onevision": models["onevision"], "next_video": model}


FRAMES = 3
VIDEO_TOKENS = {"onevision": 4 * FRAMES + 1, "next_video": 4 * FRAMES}


def video_batch(name, images=0):
    """Two rows of one video each, the first one with an image in front of it where asked."""
    generator = torch.Generator().manual_seed(2)
    inputs = {"pixel_values_videos": torch.randn(2, FRAMES, 3, 56, 56, generator=generator)}
    picture = []
    if images:
        inputs["pixel_values"] = torch.randn(1, 5, 3, 56, 56, generator=generator)
        inputs["image_sizes"] = torch.tensor([[90, 100]])
        picture = [IMAGE] * 88  # the view of the whole, and four tiles with a newline after each of eight lines
    clip = [VIDEO] * VIDEO_TOKENS[name]
    return tensors(name, [[1, 5, *picture, 6, *clip, 7, 8], [1, *clip, 9, 10, 11]], inputs)


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_videos_whole_are_the_unpruned_model(video_models, name):
    model, inputs = video_models[name], video_batch(name)
    with torch.no_grad():
        plain = model(**inputs).logits
        assert torch.equal(plain, model(**prune_inputs(model, inputs, DivPrune(), keep=1.0)).logits)


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_videos_are_pruned_as_on_embeddings(video_models, name):
    model = video_models[name]
    inputs = video_batch(name)
    with prune(model, DivPrune(), keep=5) as pruning, torch.no_grad():
        found = model(**inputs).logits
    assert pruning.stats.tokens == ((VIDEO_TOKENS[name], 5),) * 2
    with torch.no_grad():
        features = model.model.get_video_features(inputs["pixel_values_videos"], return_dict=True).pooler_output
        for row in range(2):
            ids = inputs["input_ids"][row][inputs["attention_mask"][row].bool()]
            places = (ids == VIDEO).nonzero().flatten()
            stays = ids != VIDEO
            stays[places[pruning.last_indices[row]]] = True
            embedded = model.get_input_embeddings()(ids).clone()
            embedded[places] = features[row]
            states = model.model.language_model(inputs_embeds=embedded[None, stays]).last_hidden_state
            last = model.lm_head(states)[0, -1]
            torch.testing.assert_close(found[row, -1], last, atol=2e-4, rtol=0)


@pytest.mark.parametrize("scope", ["image", "crop"])
@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_images_and_videos_together(video_models, name, scope):
    """Each keeps its own placeholders; a crop of a video is a frame; cached decoding is uncached decoding."""
    model, inputs = video_models[name], video_batch(name, images=1)
    with torch.no_grad():
        (image,) = model.model.get_image_features(
            inputs["pixel_values"], inputs["image_sizes"], return_dict=True
        ).pooler_output
    assert len(image) == int((inputs["input_ids"] == IMAGE).sum())
    keep = {"image": 6, "crop": 2}[scope]
    short = prune_inputs(model, inputs, DivPrune(), keep=keep, budget_scope=scope)
    videos = (short["input_ids"] == VIDEO).sum(1).tolist()
    assert videos == ([6, 6] if scope == "image" else [2 * FRAMES] * 2)
    with prune(model, DivPrune(), keep=keep, budget_scope=scope):
        cached, uncached = (
            model.generate(**inputs, max_new_tokens=4, do_sample=False, use_cache=use) for use in (True, False)
        )
    assert torch.equal(cached, uncached)


class Places:
    """The tokens that a function of n and m names."""

    def __init__(self, places):
        self.places = places

    def select(self, tokens, k):
        return [self.places(n, m) for n, m in zip(tokens.sizes, k, strict=True)]


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_one_budget_for_an_image_and_a_video(video_models, name):
    """Tensors of videos cannot be ragged; a picture of which nothing is kept goes."""
    model, inputs = video_models[name], video_batch(name, images=1)
    with pytest.raises(ValueError, match=r"equally many tokens for every picture only, got"):
        prune_inputs(
            model, inputs, Places(lambda n, m: torch.linspace(0, n - 1, m).long()), keep=8, budget_scope="sample"
        )
    short = prune_inputs(model, inputs, Places(lambda n, m: torch.arange(n - m, n)), keep=6, budget_scope="sample")
    assert list(short["mm_encoder_outputs"]) == ["video"]
    assert (short["input_ids"] == IMAGE).sum() == 0
    with torch.no_grad():
        assert torch.isfinite(model(**short).logits).all()


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_video_tokens_are_those_of_their_frames(video_models, name):
    """Another first frame changes its tokens alone: the layout says which these are."""
    model, inputs = video_models[name], video_batch(name)
    adapter = adapter_for(model)
    other = inputs["pixel_values_videos"].clone()
    other[:, 0] += 1.0
    with torch.no_grad():
        a, b = (
            adapter.encode(model, {"pixel_values_videos": pixels}, "video").pooler_output
            for pixels in (inputs["pixel_values_videos"], other)
        )
    (layout, _) = adapter.video_layout(model, inputs, list(a))
    changed = (a[0] != b[0]).any(-1)
    assert torch.equal(changed, layout.crop == 0)
    assert layout.grid == ((2, 2),) * FRAMES
    assert int(layout.newline.sum()) == (name == "onevision")


def test_methods_that_read_the_tower_take_images_only(video_models):
    inputs = video_batch("next_video")
    with pytest.raises(ValueError, match="take images, and these are videos"):
        prune_inputs(video_models["next_video"], inputs, ClsAttention(), keep=4)


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_decoder_layers_are_pruned_of_videos(video_models, name):
    model, inputs = video_models[name], video_batch(name)
    with prune(model, FastV(layer=1, budget="final"), keep=4), torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
    full = inputs["input_ids"].shape[1]
    assert [cache.get_seq_length(layer) for layer in range(3)] == [full, *[full - VIDEO_TOKENS[name] + 4] * 2]

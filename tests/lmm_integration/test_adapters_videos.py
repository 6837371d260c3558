"""Videos of LLaVA-OneVision and LLaVA-NeXT-Video, alone and beside images."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import ClsAttention, DivPrune, FastV, prune, prune_inputs  # noqa: E402
from lmm_integration.adapters import adapter_for  # noqa: E402

IMAGE, VIDEO, PAD = 95, 96, 0
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
    rows = [[1, 5, *picture, 6, *clip, 7, 8], [1, *clip, 9, 10, 11]]
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return {"input_ids": ids, "attention_mask": mask, **inputs}


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_videos_whole_are_the_unpruned_model(families, name):
    model, inputs = families[name], video_batch(name)
    with torch.no_grad():
        plain = model(**inputs).logits
        assert torch.equal(plain, model(**prune_inputs(model, inputs, DivPrune(), keep=1.0)).logits)


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_videos_are_pruned_as_on_embeddings(families, name):
    model = families[name]
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
def test_images_and_videos_together(families, name, scope):
    """Each keeps its own placeholders; a crop of a video is a frame; cached decoding is uncached decoding."""
    model, inputs = families[name], video_batch(name, images=1)
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
def test_one_budget_for_an_image_and_a_video(families, name):
    """Tensors of videos cannot be ragged; a picture of which nothing is kept goes."""
    model, inputs = families[name], video_batch(name, images=1)
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
def test_video_tokens_are_those_of_their_frames(families, name):
    """Another first frame changes its tokens alone: the layout says which these are."""
    model, inputs = families[name], video_batch(name)
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


def test_methods_that_read_the_tower_take_images_only(families):
    inputs = video_batch("next_video")
    with pytest.raises(ValueError, match="take images, and these are videos"):
        prune_inputs(families["next_video"], inputs, ClsAttention(), keep=4)


@pytest.mark.parametrize("name", ["onevision", "next_video"])
def test_decoder_layers_are_pruned_of_videos(families, name):
    model, inputs = families[name], video_batch(name)
    with prune(model, FastV(layer=1, budget="final"), keep=4), torch.no_grad():
        cache = model(**inputs, use_cache=True).past_key_values
    full = inputs["input_ids"].shape[1]
    assert [cache.get_seq_length(layer) for layer in range(3)] == [full, *[full - VIDEO_TOKENS[name] + 4] * 2]

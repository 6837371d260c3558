"""Pruning inside the Qwen models: places in the picture stay with what is kept, and so do the features added later on."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import IWP, DivPrune, FastV, prune  # noqa: E402

IMAGE = 95
GREEDY = {"do_sample": False, "max_new_tokens": 5}
PRUNERS = [FastV(layer=1, budget="final"), DivPrune(layer=2), IWP(layer=1)]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def loud(families):
    """Qwen2.5-VL, and a Qwen3-VL whose additions between layers are as large as its states."""
    qwen3 = families.build("qwen3")
    for merger in qwen3.model.visual.deepstack_merger_list:
        merger.linear_fc2.weight.data *= 40
    return {"qwen": families["qwen"], "qwen3": qwen3}


def masked(model, inputs, layer, kept):
    """Logits of an unshortened run in which from `layer` on only the kept tokens of every image are keys."""
    real = inputs["attention_mask"].bool()
    stays = real & (inputs["input_ids"] != IMAGE)
    columns = (inputs["input_ids"] == IMAGE).nonzero()
    sizes = [int(grid.prod()) // 4 for grid in inputs["image_grid_thw"]]
    for where, indices in zip(columns.split(sizes), kept, strict=True):
        stays[where[indices, 0], where[indices, 1]] = True
    causal = torch.ones(real.shape[1], real.shape[1], dtype=torch.bool).tril()

    def enter(module, args, kwargs):
        kwargs["attention_mask"] = torch.where(causal & stays[:, None, None], 0.0, torch.finfo(torch.float32).min)
        return args, kwargs

    hooks = [one.register_forward_pre_hook(enter, with_kwargs=True) for one in model.get_decoder().layers[layer:]]
    try:
        return model(**inputs).logits, stays
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("images", [(1,), (2, 1, 0)], ids=str)
@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: f"{pruner.title} at {pruner.layer}")
@pytest.mark.parametrize("name", ["qwen", "qwen3"])
def test_pruned_logits_equal_a_masked_run_of_full_length(families, loud, name, pruner, images):
    """Between two additions of features, and behind both: every state is given the features of its own place."""
    model = loud[name]
    inputs, _ = families.batch(name, model, images)
    with prune(model, pruner, keep=3) as pruning:
        found = model(**inputs).logits
    expected, alive = masked(model, inputs, pruner.layer, pruning.last_indices)
    assert all(kept == 3 for _, kept in pruning.stats.tokens)
    torch.testing.assert_close(found[alive], expected[alive], rtol=1e-3, atol=1e-3)


def test_features_that_are_added_between_layers_matter(families, loud):
    """Without its additions Qwen3-VL answers otherwise, pruned too: the test above would notice their loss."""
    model = loud["qwen3"]
    inputs, _ = families.batch("qwen3", model, (1,))
    decoder = model.get_decoder()
    with prune(model, FastV(layer=1, budget="final"), keep=3) as pruning:
        whole = model(**inputs).logits
        decoder.__dict__["_deepstack_process"] = lambda states, *_: states
        bare = model(**inputs).logits
    assert pruning.calls == 2
    assert (whole[:, -1] - bare[:, -1]).abs().max() > 0.1
    assert "_deepstack_process" not in decoder.__dict__


@pytest.mark.parametrize("images", [(1,), (1, 2, 0)], ids=str)
@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: f"{pruner.title} at {pruner.layer}")
@pytest.mark.parametrize("name", ["qwen", "qwen3"])
def test_t6_they_decode_alike_with_and_without_a_cache(families, name, pruner, images):
    """All kept is the unpruned model bit for bit; rows of a ragged batch answer as they do alone; beams run."""
    model = families[name]
    inputs, alone = families.batch(name, model, images)
    plain = model.generate(**inputs, **GREEDY)
    with prune(model, pruner, keep=1.0):
        assert torch.equal(model.generate(**inputs, **GREEDY), plain)
    with prune(model, pruner, keep=3) as pruning:
        cached, uncached = (model.generate(**inputs, **GREEDY, use_cache=use) for use in (True, False))
        seen = [kept for _, kept in pruning.stats.tokens]
        rows = [model.generate(**row, **GREEDY)[0, -5:] for row, n in zip(alone, images, strict=True) if n]
        beams = model.generate(**inputs, max_new_tokens=3, do_sample=False, num_beams=2)
    assert seen == [3] * sum(images)
    assert torch.equal(cached, uncached)
    assert torch.equal(cached[: len(rows), -5:], torch.stack(rows))
    assert beams.shape == (len(images), inputs["input_ids"].shape[1] + 3)


def test_the_cache_of_qwen3_is_short_behind_the_stage(families):
    """And the decoder is left as it was found."""
    model = families["qwen3"]
    inputs, _ = families.batch("qwen3", model, (1,))
    before = sorted(model.get_decoder().__dict__)
    with prune(model, FastV(layer=1, budget="final"), keep=3) as pruning:
        cache = model(**inputs, use_cache=True).past_key_values
    full = inputs["input_ids"].shape[1]
    visual = int((inputs["input_ids"] == IMAGE).sum())
    assert [cache.get_seq_length(layer) for layer in range(3)] == [full, *[full - visual + 3] * 2]
    assert pruning.stats.layer_tokens == (full, *[full - visual + 3] * 2)
    assert sorted(model.get_decoder().__dict__) == before

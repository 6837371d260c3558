"""Counting anew what is left inside the model: `position_policy="repack"` behind a decoder layer."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import IWP, DivPrune, FastV, prune  # noqa: E402

IMAGES = (1, 2, 0)
GREEDY = {"do_sample": False, "max_new_tokens": 5}
REPACK = {"position_policy": "repack"}
PRUNERS = [FastV(layer=1, budget="final", **REPACK), IWP(layer=1, **REPACK), DivPrune(layer=2, **REPACK)]


class Stages:
    """Tokens of largest norm at two layers, counted anew behind each."""

    position_policy = "repack"

    def layers(self, depth):
        return (1, 2)

    def kept(self, n, budget, depth):
        return (min(n, budget + 3), min(n, budget))

    def select(self, tokens, k):
        return [x.norm(dim=-1).topk(m).indices.sort().values for x, m in zip(tokens.features, k, strict=True)]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def masked(model, inputs, layer, kept):
    """An unshortened run in which from `layer` on only what was kept are keys, at the place that counting it gives."""
    stays = inputs["attention_mask"].bool() & (inputs["input_ids"] != 95)
    for where, indices in zip((inputs["input_ids"] == 95).nonzero().split(16), kept, strict=True):
        stays[where[indices, 0], where[indices, 1]] = True
    causal = torch.ones(stays.shape[1], stays.shape[1], dtype=torch.bool).tril()
    decoder = model.get_decoder()

    def enter(module, args, kwargs):
        kwargs["attention_mask"] = torch.where(causal & stays[:, None, None], 0.0, torch.finfo(torch.float32).min)
        kwargs["position_embeddings"] = decoder.rotary_emb(args[0], (stays.long().cumsum(1) - 1).clamp(min=0))
        return args, kwargs

    hooks = [one.register_forward_pre_hook(enter, with_kwargs=True) for one in decoder.layers[layer:]]
    try:
        return model(**inputs).logits, stays
    finally:
        for hook in hooks:
            hook.remove()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("pruner", PRUNERS, ids=lambda pruner: pruner.title)
def test_logits_equal_a_masked_run_at_the_new_places(tiny, pruner, side):
    """And differ from those of a run that keeps the places."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES, side)
    with prune(model, pruner, keep=5) as pruning:
        found = model(**inputs).logits
    expected, alive = masked(model, inputs, pruner.layer, pruning.last_indices)
    torch.testing.assert_close(found[alive], expected[alive], rtol=1e-3, atol=1e-3)
    with prune(model, type(pruner)(**{**vars(pruner), "position_policy": "keep"}), keep=5):
        assert (model(**inputs).logits[alive] - expected[alive]).abs().max() > 0.05


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"cache_implementation": "static"}], ids=str)
@pytest.mark.parametrize("pruner", [*PRUNERS, Stages()], ids=lambda pruner: type(pruner).__name__)
def test_decoding_counts_on_in_every_layer(tiny, pruner, options):
    """With a cache, whose layers count differently, as without one, which counts the whole prompt at every step."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, pruner, keep=5):
        uncached = model.generate(
            **inputs, **{k: v for k, v in options.items() if k == "num_beams"}, **GREEDY, use_cache=False
        )
        cached = model.generate(**inputs, **options, **GREEDY)
    assert torch.equal(cached, uncached)


def test_assisted_decoding_and_a_second_turn(tiny):
    """Cropped caches and later turns count on from what is left."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    with prune(model, DivPrune(layer=2, **REPACK), keep=5):
        out = model.generate(**inputs, **GREEDY, return_dict_in_generate=True)
        assert torch.equal(model.generate(**inputs, **GREEDY, prompt_lookup_num_tokens=2), out.sequences)
        ids = torch.cat([out.sequences, torch.tensor([[5, 6, 7]])], 1)
        turn = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        second = model.generate(**turn, past_key_values=out.past_key_values, **GREEDY)
        assert torch.equal(second, model.generate(**(inputs | turn), **GREEDY))


def test_all_kept_is_the_unpruned_model_and_places_in_a_picture_stay(tiny, families):
    """Bit for bit; and where a token has a place in the picture it is not counted anew."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    plain = model(**inputs).logits
    with prune(model, DivPrune(layer=1, **REPACK), keep=1.0):
        assert torch.equal(model(**inputs).logits, plain)
    with pytest.raises(ValueError, match=r"position_policy='repack' inside Qwen2_5_VL.* use 'keep'"):
        prune(families["qwen"], DivPrune(layer=1, **REPACK))

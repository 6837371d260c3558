"""Both doors into a model, and the floor: these tests also run on the oldest supported version of transformers."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import ClsAttention, DivPrune, FastV, prune, prune_inputs, versions  # noqa: E402
from lmm_integration.pruners import AveragePool  # noqa: E402

IMAGES = (1, 2, 0)
FAMILIES = ("llava", "llava_next", "vipllava")
MODES = {
    "greedy": {"do_sample": False},
    "sampling": {"do_sample": True},
    "several sequences": {"do_sample": True, "num_return_sequences": 3},
    "beams": {"do_sample": False, "num_beams": 3, "num_return_sequences": 2},
    "static cache": {"do_sample": False, "cache_implementation": "static"},
}


@pytest.fixture(params=["encoded", "embeddings"], autouse=True)
def door(request, monkeypatch, tiny):
    """Which way the pictures go in; earlier versions have only one."""
    if request.param == "encoded" and not versions.takes_encoded(tiny.model("llava")):
        pytest.skip(f"before transformers {versions.SINCE} models take no encoded pictures")
    if request.param == "embeddings":
        monkeypatch.setattr(versions, "takes_encoded", lambda model: False)
    return request.param


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("family", FAMILIES)
def test_keeping_everything_is_the_unpruned_model_bit_for_bit(tiny, family, side, door):
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES, side)
    with torch.no_grad():
        new = prune_inputs(model, inputs, DivPrune(), keep=1.0)
        assert ("inputs_embeds" in new) == (door == "embeddings")
        assert torch.equal(model(**new).logits, model(**inputs).logits)


@pytest.mark.parametrize("pruner", [DivPrune(), AveragePool(), ClsAttention()], ids=lambda pruner: pruner.title)
@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_a_row_of_a_ragged_batch_is_the_row_alone(tiny, family, pruner):
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES)
    with torch.no_grad():
        short = prune_inputs(model, inputs, pruner, keep=5)
        together = model(**short).logits
        for i in (0, 1):
            alone = model(**prune_inputs(model, tiny.row(inputs, IMAGES, i), pruner, keep=5)).logits
            real = short["attention_mask"][i].bool()
            torch.testing.assert_close(together[i, real], alone[0], atol=2e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_generation_begins_with_the_callers_prompt_and_needs_no_cache(tiny, family, mode):
    model = tiny.model(family)
    inputs = tiny.batch(model, IMAGES)
    written = []
    with prune(model, DivPrune(), keep=5) as pruning:
        for cached in (True, False) if "cache_implementation" not in MODES[mode] else (True, True):
            torch.manual_seed(1)
            written.append(model.generate(**inputs, max_new_tokens=4, use_cache=cached, **MODES[mode]))
    width = inputs["input_ids"].shape[1]
    assert torch.equal(*written)
    assert written[0].shape[1] == width + 4
    assert torch.equal(written[0][:: len(written[0]) // 3, :width], inputs["input_ids"])
    assert pruning.stats.prompt[1] < pruning.stats.prompt[0]


@pytest.mark.parametrize("policy", ["repack", "keep"])
def test_both_doors_write_the_same_words(tiny, policy, monkeypatch):
    model = tiny.model("llava")
    inputs = tiny.batch(model, IMAGES)
    with prune(model, DivPrune(position_policy=policy), keep=5):
        here = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        monkeypatch.setattr(versions, "takes_encoded", lambda model: False)
        assert torch.equal(here, model.generate(**inputs, max_new_tokens=6, do_sample=False))


def test_lengths_count_the_callers_prompt(tiny):
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    width = inputs["input_ids"].shape[1]
    with prune(model, DivPrune(), keep=5):
        assert model.generate(**inputs, max_length=width + 3, do_sample=False).shape[1] == width + 3


def test_the_cache_is_shorter_in_every_layer_and_logits_are_of_full_length(tiny):
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    width = inputs["input_ids"].shape[1]
    with prune(model, DivPrune(), keep=5), torch.no_grad():
        out = model(**inputs, use_cache=True)
    assert [out.past_key_values.get_seq_length(layer) for layer in range(3)] == [width - tiny.tokens + 5] * 3
    assert out.logits.shape[1] == width


def test_what_needs_the_newer_door_says_so(tiny, door):
    if door == "encoded":
        pytest.skip("this one has it")
    model = tiny.model("llava")
    with pytest.raises(TypeError, match=r"needs transformers 5\.18 or later"):
        prune(model, FastV(layer=1), keep=4)
    inputs = tiny.batch(model, (1,))
    with prune(model, DivPrune(), keep=4, strict=False), pytest.raises(ValueError, match="prefill in chunks"):
        model.generate(**inputs, max_new_tokens=2, prefill_chunk_size=8)

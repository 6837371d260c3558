"""What goes wrong when visual tokens are pruned in transformers, and that each of it has a test with its number."""

import inspect
import re
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import DivPrune, prune  # noqa: E402

TRAPS = {
    1: "gapped positions without a mask are taken for packed sequences",
    2: "a patched model loses the signature that generate() looks at",
    3: "generate() encodes the pictures itself, before beams are expanded",
    4: "the mask that reaches a decoder is None, 2-D or 4-D",
    5: "states, rotary angles and masks must be gathered together, for all later layers",
    6: "multimodal rotary positions are recomputed from the ids that are left",
    7: "logits are of the short prompt, the caller counts the long one",
    8: "an attention kernel without a mask function gets no mask",
    9: "hidden states differ in length from layer to layer",
    10: "a second turn on the short cache slices the wrong tokens",
    11: "scores of the last token choose anew at every step without a cache",
    12: "placeholder ids are generated as text",
    13: "accelerate keeps its own forward on the instance",
    14: "transformers installs hooks of its own at the first call",
    15: "harnesses swallow exceptions and score an empty answer",
    16: "published code sorts the kept tokens, published numbers did not",
    17: "budgets per tile and per image, with and without newlines, are mixed in tables",
}
PRUNERS = [DivPrune(), DivPrune(layer=1)]


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def test_every_trap_has_a_test_with_its_number():
    names = " ".join(
        name
        for file in Path(__file__).parent.glob("test_*.py")
        for name in re.findall(r"^def (test_t\d\w*)", file.read_text(encoding="utf-8"), re.MULTILINE)
    )
    found = {int(number) for number in re.findall(r"_t(\d+)(?=_)", names)}
    assert found == set(TRAPS)


@pytest.mark.parametrize("pruner", PRUNERS, ids=["input", "layer 1"])
def test_t2_signatures_stay_what_they_were(tiny, pruner):
    """Of `generate`, of the forward call and of the function that encodes pictures, which is not patched at all."""
    model = tiny.model("llava")

    def seen():
        functions = (model.generate, model.forward, model.model.get_image_features)
        return [inspect.signature(function) for function in functions]

    before, encode = seen(), model.model.get_image_features
    with prune(model, pruner, keep=4, strict=False):
        assert seen() == before
        assert model.model.get_image_features == encode
        assert model.generate.__name__ == "generate"


@pytest.mark.parametrize(
    "options", [{}, {"num_beams": 3}, {"use_cache": False}, {"prompt_lookup_num_tokens": 2}], ids=str
)
@pytest.mark.parametrize("pruner", PRUNERS, ids=["input", "layer 1"])
def test_t3_pictures_are_encoded_once_for_a_whole_generation(tiny, pruner, options):
    """Beams, assisted decoding and decoding without a cache read what was encoded for the prompt."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    calls = []
    hook = model.model.vision_tower.register_forward_hook(lambda *_: calls.append(1))
    try:
        with prune(model, pruner, keep=4) as pruning:
            model.generate(**inputs, max_new_tokens=4, do_sample=False, **options)
    finally:
        hook.remove()
    assert (len(calls), pruning.calls) == (1, 1)


@pytest.mark.parametrize("pruner", PRUNERS, ids=["input", "layer 1"])
def test_t12_generated_placeholders_are_text(tiny, pruner):
    """A model that writes nothing but placeholders decodes alike with and without a cache, as pruned as before."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    written = {"max_new_tokens": 4, "do_sample": False, "suppress_tokens": [i for i in range(100) if i != tiny.image]}
    with prune(model, pruner, keep=4) as pruning:
        out = model.generate(**inputs, **written, return_dict_in_generate=True)
        cache = out.past_key_values
    assert (out.sequences[0, -4:] == tiny.image).all()
    assert pruning.stats.tokens == ((16, 4),)
    assert cache.get_seq_length(2) == inputs["input_ids"].shape[1] - 12 + 3


def test_t13_accelerate_s_hooks_run_and_survive(tiny):
    """They move tensors in a `forward` of their own on every module: the logits stay, and so do they."""
    accelerate = pytest.importorskip("accelerate")
    plain, hooked = tiny.model("llava"), tiny.fresh("llava")
    inputs = tiny.batch(plain, (1, 2, 0))
    accelerate.hooks.attach_align_device_hook(hooked, execution_device=torch.device("cpu"))
    forwards = {name: module.__dict__.get("forward") for name, module in hooked.named_modules()}
    assert sum(forward is not None for forward in forwards.values()) > 20
    for pruner in PRUNERS:
        answers = []
        for model in (plain, hooked):
            with prune(model, pruner, keep=4):
                answers.append((model(**inputs).logits, model.generate(**inputs, max_new_tokens=3, do_sample=False)))
        assert torch.equal(answers[0][0], answers[1][0])
        assert torch.equal(answers[0][1], answers[1][1])
    assert {name: module.__dict__.get("forward") for name, module in hooked.named_modules()} == forwards


def test_t15_a_harness_that_swallows_errors_is_told_at_the_end(tiny):
    """Errors leave `generate`; where they are caught and forgotten, the block says that nothing was pruned."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))

    class Broken:
        def select(self, tokens, k):
            raise OverflowError("in the selection")

    def answer():
        try:
            return model.generate(**inputs, max_new_tokens=2)
        except Exception:
            return ""

    with pytest.raises(RuntimeError, match="nothing was pruned"), prune(model, Broken(), keep=4):
        assert answer() == ""


def test_t16_tokens_come_sorted_or_in_the_order_of_picking(tiny):
    """The same set either way, and the model reads it in the order that was asked for."""
    from lmm_integration import prune_inputs

    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    sorted_, picked = (
        prune_inputs(model, inputs, DivPrune(order=order), keep=6)["mm_encoder_outputs"]["image"].pooler_output[0]
        for order in ("raster", "selection")
    )
    assert not torch.equal(sorted_, picked)
    assert sorted(map(tuple, sorted_.tolist())) == sorted(map(tuple, picked.tolist()))

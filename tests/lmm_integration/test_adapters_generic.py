"""Any class of transformers with `get_image_features` and a placeholder id; and what is refused."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")

from lmm_integration import AveragePool, CDPruner, ClsAttention, DivPrune, RandomPruner, UniformGrid, prune  # noqa: E402
from lmm_integration.adapters import FAMILIES, Adapter, Llava, LlavaNext, adapter_for  # noqa: E402


@pytest.mark.parametrize(("family", "expected"), [("llava", Llava), ("llava_next", LlavaNext), ("vipllava", Adapter)])
def test_the_adapter_goes_by_the_models_type(tiny, family, expected):
    """Named families have their own, every other class the generic one."""
    assert type(adapter_for(tiny.model(family))) is expected


@pytest.mark.parametrize("pruner", [DivPrune(), UniformGrid(), RandomPruner(), AveragePool()], ids=lambda p: p.title)
def test_a_family_that_no_adapter_names_is_pruned(tiny, pruner):
    """VipLLaVA: shorter prompt, every decoding step, the caller's own prompt."""
    model = tiny.model("vipllava")
    assert model.config.model_type not in FAMILIES
    inputs = tiny.batch(model, (1, 2, 0))
    with prune(model, pruner, keep=0.25) as pruning:
        out = model.generate(**inputs, max_new_tokens=3, num_beams=2, do_sample=False)
    assert torch.equal(out[:, :-3], inputs["input_ids"])
    assert pruning.stats.tokens == ((16, 4),) * 3


class Zero:
    """A provider without an opinion."""

    sign = 1

    def __call__(self, patches, text):
        return torch.zeros(patches.shape[:2])


@pytest.mark.parametrize("pruner", [ClsAttention(), CDPruner(relevance=Zero())], ids=lambda p: p.title)
def test_methods_that_read_the_tower_are_refused_on_an_unknown_family(tiny, pruner):
    """Where no adapter knows the tower, the class is named."""
    model = tiny.model("vipllava")
    inputs = tiny.batch(model, (1,))
    refused = pytest.raises(TypeError, match="VipLlavaForConditionalGeneration: no adapter knows")
    with refused, prune(model, pruner, keep=4, text="what?"):
        model(**inputs)


def test_models_that_cannot_be_served_are_refused():
    """No vision tower, or placed by multimodal rotary positions: one sentence each."""
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text_only = hf.LlamaForCausalLM(hf.LlamaConfig(vocab_size=20, **small))
    with pytest.raises(TypeError, match="a model with a vision tower, and LlamaForCausalLM has none"):
        prune(text_only, DivPrune())

    config = hf.Qwen2VLConfig(
        text_config={"vocab_size": 20, "num_key_value_heads": 2, "pad_token_id": 0}
        | small
        | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}},
        vision_config={"depth": 1, "hidden_size": 16, "embed_dim": 16, "num_heads": 2},
    )
    with pytest.raises(TypeError, match="multimodal rotary positions"):
        prune(hf.Qwen2VLForConditionalGeneration(config), DivPrune())


def test_compiled_models_are_refused(tiny):
    """In any of the three ways to compile one, none of which has compiled anything yet; parts, inside the model alone."""
    model = tiny.fresh("llava")
    with pytest.raises(TypeError, match="a compiled model cannot be pruned"):
        prune(torch.compile(model, backend="eager"), DivPrune())
    in_place, by_forward, part = (tiny.fresh("llava") for _ in range(3))
    in_place.compile(backend="eager")
    by_forward.forward = torch.compile(by_forward.forward, backend="eager")
    for compiled in (in_place, by_forward):
        with pytest.raises(TypeError, match="a compiled model cannot be pruned"):
            prune(compiled, DivPrune())
    part.get_decoder().layers[2].compile(backend="eager")
    with pytest.raises(TypeError, match="the decoder of LlavaForConditionalGeneration is compiled"):
        prune(part, DivPrune(layer=1))
    prune(part, DivPrune())


def test_ragged_budgets_are_refused_where_features_are_one_tensor(tiny):
    """A family that hands its images over as one tensor needs equal counts, and gets them back as one tensor."""
    from lmm_integration import prune_inputs

    model = tiny.model("llava")

    class OneTensor(Llava):
        def encode(self, model, inputs, modality="image"):
            output = super().encode(model, inputs, modality)
            output.pooler_output = torch.stack(list(output.pooler_output))
            return output

    inputs = tiny.batch(model, (2,))
    new = prune_inputs(model, inputs, DivPrune(), keep=4, adapter=OneTensor())
    assert new["mm_encoder_outputs"]["image"].pooler_output.shape == (2, 4, 32)
    with pytest.raises(ValueError, match="equally many tokens for every picture"):
        prune_inputs(model, inputs, DivPrune(), keep=5, adapter=OneTensor(), budget_scope="sample")

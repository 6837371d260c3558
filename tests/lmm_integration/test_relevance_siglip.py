"""Relevance from the text tower of SigLIP."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from torch.nn.functional import cosine_similarity  # noqa: E402

from lmm_integration import CDPruner, SiglipRelevance, VisualTokens, prune, prune_inputs  # noqa: E402
from lmm_integration.relevance import relevance_named  # noqa: E402

END, LONGEST = 99, 16


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def tokenizer():
    """Words w0 .. w98, and an end that pads too, as SigLIP's."""
    plain = Tokenizer(models.WordLevel({f"w{i}": i for i in range(END)} | {"</s>": END}, unk_token="w0"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return hf.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="</s>", pad_token="</s>")


def model(**options):
    """A random SigLIP whose vision half has the width of the tiny LLaVA-OneVision's tower."""
    half = {"hidden_size": 24, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {"vocab_size": 100, "max_position_embeddings": LONGEST, "projection_size": 24}
    vision = {"image_size": 56, "patch_size": 14} | options
    torch.manual_seed(0)
    found = hf.SiglipModel(hf.SiglipConfig(text_config=half | text, vision_config=half | vision)).eval()
    for parameter in found.parameters():
        parameter.copy_(torch.randn_like(parameter) * 0.2)
    return found


@pytest.fixture(scope="module")
def siglip():
    with torch.no_grad():
        return model()


def said(siglip, pieces):
    """The text vectors of transformers, each piece padded to the full length with the end token."""
    ids = torch.tensor([piece + [END] * (LONGEST - len(piece)) for piece in pieces])
    return siglip.get_text_features(input_ids=ids).pooler_output


@pytest.mark.parametrize("length", [0, 5, 15, 16, 40])
@pytest.mark.parametrize("head", [True, False])
def test_relevance_is_the_cosine_with_the_pooled_text(siglip, tokenizer, length, head):
    """Pieces of at most 15 words with an end each; a patch is itself, or what the pooling head makes of it alone."""
    words = [i % 90 for i in range(length)]
    patches = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    found = SiglipRelevance(siglip=siglip, tokenizer=tokenizer, head=head)(patches, " ".join(f"w{i}" for i in words))
    texts = said(siglip, [words[i : i + 15] for i in range(0, max(1, length), 15)])
    states = siglip.vision_model.post_layernorm(patches)
    if head:
        states = torch.stack([siglip.vision_model.head(states[:, i : i + 1]) for i in range(7)], 1)
    expected = torch.stack([cosine_similarity(states, t, dim=-1) for t in texts]).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_an_image_of_one_patch_is_its_own_image_vector(tokenizer):
    """With a single patch the pooling head of SigLIP is what is read here: the score is that of the whole model."""
    single = model(image_size=14)
    pixels = torch.randn(1, 3, 14, 14, generator=torch.Generator().manual_seed(2))
    states = single.vision_model(pixels, output_hidden_states=True).hidden_states[-1]
    found = SiglipRelevance(siglip=single, tokenizer=tokenizer)(states, "w3 w4")
    image = single.get_image_features(pixel_values=pixels).pooler_output
    torch.testing.assert_close(found[0], cosine_similarity(image, said(single, [[3, 4]])), rtol=1e-4, atol=1e-5)


def test_cdpruner_reads_the_siglip_tower_of_llava_onevision(families, siglip, tokenizer):
    """The kept tokens are those of CDPruner on relevance by hand, the higher the better, newlines left out."""
    onevision = families["onevision"]
    inputs, _ = families.batch("onevision", onevision, (2,))
    pruner = CDPruner(relevance=SiglipRelevance(siglip=siglip, tokenizer=tokenizer))
    with prune(onevision, pruner, keep=5, text="w1 w2") as pruning:
        onevision(**inputs)
    pixels = inputs["pixel_values"][:, 0]
    states = onevision.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1]
    features = list(onevision.model.multi_modal_projector(states))
    raw = [pruner.relevance(states[i : i + 1], "w1 w2")[0] for i in range(2)]
    expected = pruner.select(VisualTokens(features, sample=(0, 0), relevance=raw), [5, 5])
    assert pruner.scaled(VisualTokens(features[:1], relevance=raw[:1]))[0].argmax() == raw[0].argmax()
    assert all(torch.equal(a, b) for a, b in zip(pruning.last_indices, expected, strict=True))


def test_what_does_not_fit_is_refused(families, siglip, tokenizer):
    """Towers, widths and signs: one sentence each."""
    make = SiglipRelevance
    with pytest.raises(TypeError, match="siglip must be a SiglipModel with both towers, got object"):
        make(siglip=object(), tokenizer=tokenizer)
    with pytest.raises(ValueError, match="sign must be 1 or -1, got 0"):
        make(siglip=siglip, tokenizer=tokenizer, sign=0)
    with pytest.raises(ValueError, match="takes patches of width 24, got 7"):
        make(siglip=siglip, tokenizer=tokenizer)(torch.zeros(1, 2, 7), "w1")
    headless = model(vision_use_head=False)
    with pytest.raises(ValueError, match="no pooling head; head=False"):
        make(siglip=headless, tokenizer=tokenizer)
    assert make(siglip=headless, tokenizer=tokenizer, head=False)(torch.ones(1, 2, 24), "w1").shape == (1, 2)
    qwen = families["qwen"]
    inputs, _ = families.batch("qwen", qwen, (1,))
    with pytest.raises(TypeError, match="no adapter knows which patches of its vision tower became tokens"):
        prune_inputs(qwen, inputs, CDPruner(relevance=make(siglip=siglip, tokenizer=tokenizer)), keep=4, text="w1")


def test_the_kind_of_a_checkpoint_is_read_off_its_config(siglip, tokenizer, tmp_path):
    """A folder with SigLIP's config makes a SiglipRelevance; other models and missing folders are refused."""
    siglip.save_pretrained(tmp_path / "siglip")
    tokenizer.save_pretrained(tmp_path / "siglip")
    found = relevance_named(str(tmp_path / "siglip"))
    assert isinstance(found, SiglipRelevance)
    assert found.sign == 1
    patches = torch.randn(1, 3, 24, generator=torch.Generator().manual_seed(3))
    expected = SiglipRelevance(siglip=siglip, tokenizer=tokenizer)(patches, "w1 w2")
    torch.testing.assert_close(found(patches, "w1 w2"), expected)
    hf.BertConfig().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"must be a clip or siglip checkpoint or 'llm', .* is bert"):
        relevance_named(str(tmp_path / "bert"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="cannot read the relevance tower"):
        relevance_named(str(tmp_path / "empty"))

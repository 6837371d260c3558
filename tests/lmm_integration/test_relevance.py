"""Relevance from a CLIP text tower, and where the question comes from."""

import pytest

torch = pytest.importorskip("torch")
hf = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")

from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: E402
from torch.nn.functional import cosine_similarity  # noqa: E402

from lmm_integration import CDPruner, ClipRelevance, prune, prune_inputs  # noqa: E402

BEGIN, END = 98, 99


@pytest.fixture(scope="module")
def tokenizer():
    """Words w0 .. w97, a begin and an end."""
    words = {f"w{i}": i for i in range(BEGIN)} | {"<begin>": BEGIN, "<end>": END}
    plain = Tokenizer(models.WordLevel(words, unk_token="w0"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return hf.PreTrainedTokenizerFast(tokenizer_object=plain, bos_token="<begin>", eos_token="<end>")


@pytest.fixture(scope="module")
def clip():
    """A random CLIP whose vision half has the width of the tiny LLaVA's tower."""
    torch.manual_seed(0)
    half = {"num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3, "projection_dim": 16}
    text = hf.CLIPTextConfig(
        vocab_size=100, hidden_size=32, intermediate_size=64, bos_token_id=BEGIN, eos_token_id=END, **half
    )
    vision = hf.CLIPVisionConfig(hidden_size=24, intermediate_size=48, image_size=56, patch_size=14, **half)
    config = hf.CLIPConfig(text_config=text.to_dict(), vision_config=vision.to_dict(), projection_dim=16)
    return hf.CLIPModel(config).eval()


def by_hand(clip, patches, pieces):
    """Mean over pieces of the cosine, from the projection models of transformers."""
    text = hf.CLIPTextModelWithProjection(clip.config.text_config).eval()
    text.load_state_dict({k: v for k, v in clip.state_dict().items() if k.startswith("text_")}, strict=True)
    seen = clip.visual_projection(clip.vision_model.post_layernorm(patches))
    said = [text(input_ids=torch.tensor([piece])).text_embeds[0] for piece in pieces]
    return torch.stack([cosine_similarity(seen, t, dim=-1) for t in said]).mean(0)


@pytest.mark.parametrize("length", [0, 5, 75, 76, 180])
@torch.no_grad()
def test_relevance_is_the_cosine_in_the_joint_space(clip, tokenizer, length):
    """Each piece of at most 75 tokens is read on its own, between its own begin and end; the cosines are averaged."""
    words = [i % 90 for i in range(length)]
    patches = torch.randn(2, 7, 24, generator=torch.Generator().manual_seed(1))
    found = ClipRelevance(clip=clip, tokenizer=tokenizer)(patches, " ".join(f"w{i}" for i in words))
    pieces = [[BEGIN, *words[i : i + 75], END] for i in range(0, max(1, length), 75)]
    torch.testing.assert_close(found, by_hand(clip, patches, pieces), rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_the_published_cut_reads_the_first_piece_of_a_long_question_at_its_begin(clip, tokenizer):
    """With reference=True the first 76 words change nothing but through the last piece; ours hears all of them."""
    tail = [f"w{i % 90}" for i in range(30)]
    questions = [" ".join([f"w{first + i % 5}" for i in range(76)] + tail) for first in (1, 50)]
    published = [ClipRelevance(clip=clip, tokenizer=tokenizer, reference=True).text_embeddings(q) for q in questions]
    ours = [ClipRelevance(clip=clip, tokenizer=tokenizer).text_embeddings(q) for q in questions]
    torch.testing.assert_close(published[0], published[1])
    assert not torch.allclose(ours[0][0], ours[1][0], atol=1e-2)


def test_short_questions_are_read_alike_by_both_cuts(clip, tokenizer):
    """Up to 75 words the published cut is right."""
    ours, published = (
        ClipRelevance(clip=clip, tokenizer=tokenizer, reference=reference).text_embeddings("w1 w2 w3")
        for reference in (False, True)
    )
    torch.testing.assert_close(ours, published, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_cdpruner_reads_the_patches_and_the_question_of_each_row(tiny, clip, tokenizer):
    """Inside a model the kept tokens are those of CDPruner on relevance by hand, each row with its own question."""
    from lmm_integration import VisualTokens

    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2, 0))
    relevance = ClipRelevance(clip=clip, tokenizer=tokenizer)
    pruner = CDPruner(relevance=relevance)
    texts = ["w1 w2", "w30 w31 w32", "nothing"]
    new = prune_inputs(model, inputs, pruner, keep=5, text=texts)
    tower = model.model.vision_tower(inputs["pixel_values"], output_hidden_states=True).hidden_states[-2][:, 1:]
    features = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    samples = (0, 1, 1)
    raw = [relevance(tower[i : i + 1], texts[s])[0] for i, s in enumerate(samples)]
    expected = pruner.select(VisualTokens(features, sample=samples, relevance=raw), [5] * 3)
    kept = new["mm_encoder_outputs"]["image"].pooler_output
    for image, picks, found in zip(features, expected, kept, strict=True):
        torch.testing.assert_close(found, image[picks])


@torch.no_grad()
def test_without_text_the_processor_reads_the_question_off_the_prompt(tiny, clip, tokenizer):
    """The question is what stands behind the last image of a row, padding left out."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2), "right")
    pruner = CDPruner(relevance=ClipRelevance(clip=clip, tokenizer=tokenizer))
    texts = []
    for ids, mask in zip(inputs["input_ids"].tolist(), inputs["attention_mask"].tolist(), strict=True):
        real = [token for token, is_real in zip(ids, mask, strict=True) if is_real]
        last = len(real) - 1 - real[::-1].index(tiny.image)
        texts.append(tokenizer.decode(real[last + 1 :]))
    with prune(model, pruner, keep=5, processor=tokenizer) as read:
        model(**inputs)
    with prune(model, pruner, keep=5, text=texts) as told:
        model(**inputs)
    assert [a.tolist() for a in read.last_indices] == [b.tolist() for b in told.last_indices]


def test_a_missing_question_or_tower_is_refused(tiny, clip, tokenizer):
    """Text for a text-conditioned method, a text per row, a tower that fits: one sentence each."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 1))
    pruner = CDPruner(relevance=ClipRelevance(clip=clip, tokenizer=tokenizer))
    with pytest.raises(ValueError, match="CDPruner needs the question"):
        prune_inputs(model, inputs, pruner, keep=4)
    with pytest.raises(ValueError, match="one for each of the 2 rows, got 3"):
        prune_inputs(model, inputs, pruner, keep=4, text=["a", "b", "c"])
    with pytest.raises(ValueError, match="needs a relevance tower"):
        prune(model, CDPruner(), keep=4, text="w1")
    with pytest.raises(ValueError, match="takes patches of width 24, got 7"):
        pruner.relevance(torch.zeros(1, 2, 7), "w1")
    with pytest.raises(TypeError, match="clip must be a CLIPModel with both towers"):
        ClipRelevance(clip=object(), tokenizer=tokenizer)
    with pytest.raises(ValueError, match="sign must be 1 or -1, got 0"):
        ClipRelevance(clip=clip, tokenizer=tokenizer, sign=0)

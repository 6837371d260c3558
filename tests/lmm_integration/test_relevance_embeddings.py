"""Relevance from the language model's own embeddings of the question, on every model family."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch.nn.functional import cosine_similarity  # noqa: E402

from lmm_integration import CDPruner, EmbeddingRelevance, VisualTokens, prune, prune_inputs  # noqa: E402
from lmm_integration.pruners.named import method_named  # noqa: E402

MEANS = ("embeddings", "cosines")


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def by_hand(tokens, words, mean):
    """The two readings of the formula, literally."""
    if mean == "embeddings":
        return cosine_similarity(tokens, words.mean(0), dim=-1)
    return torch.stack([cosine_similarity(tokens, word, dim=-1) for word in words]).mean(0)


@pytest.mark.parametrize("mean", MEANS)
def test_relevance_is_the_cosine_with_the_words(mean):
    generator = torch.Generator().manual_seed(0)
    tokens, words = torch.randn(9, 8, generator=generator), torch.randn(4, 8, generator=generator)
    found = EmbeddingRelevance(mean=mean)(tokens.half(), words.half())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, by_hand(tokens.half().float(), words.half().float(), mean))


def test_no_words_and_zero_tokens_are_no_trouble():
    """Constant relevance, which counts as all ones; a zero token has cosine 0."""
    assert EmbeddingRelevance()(torch.ones(3, 2), torch.empty(0, 2)).tolist() == [0.0] * 3
    assert EmbeddingRelevance()(torch.zeros(1, 2), torch.ones(1, 2)).tolist() == [0.0]


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("name", ["onevision", "qwen", "qwen3"])
def test_cdpruner_reads_the_question_of_each_row_on_every_family(families, name, mean):
    """Without a text tower or a text: the words behind the last image of the row, each row by its own."""
    model = families[name]
    inputs, alone = families.batch(name, model, (1, 2, 0))
    pruner = CDPruner(relevance=EmbeddingRelevance(mean=mean))
    with prune(model, pruner, keep=4) as pruning:
        model(**inputs)
    kept = pruning.last_indices
    for row, own in ((0, kept[:1]), (1, kept[1:])):
        ids = alone[row]["input_ids"][0]
        last = int((ids == 95).nonzero().max())
        words = model.get_input_embeddings()(ids[last + 1 :])
        pixels = {k: v for k, v in alone[row].items() if k in ("pixel_values", "image_sizes", "image_grid_thw")}
        pixels |= {"batch_num_images": alone[row]["batch_num_images"]} if name == "onevision" else {}
        features = list(model.model.get_image_features(**pixels, return_dict=True).pooler_output)
        if name == "onevision":
            newline = [(tokens == model.model.image_newline).all(-1) for tokens in features]
            places = [(~line).nonzero().flatten() for line in newline]
        else:
            places = [torch.arange(len(tokens)) for tokens in features]
        features = [tokens[where] for tokens, where in zip(features, places, strict=True)]
        raw = [by_hand(tokens, words, mean) for tokens in features]
        tokens = VisualTokens(features, sample=(0,) * len(features), relevance=raw)
        picks = pruner.select(tokens, [4] * len(features))
        for found, where, expected in zip(own, places, picks, strict=True):
            assert torch.equal(found, where[expected])
        assert pruner.scaled(tokens)[0].max() == 1 or len(features) > 1


def test_a_given_text_is_read_by_the_processor(tiny):
    """The text's own tokens stand in for those of the prompt."""

    class Words:
        def __call__(self, text, add_special_tokens):
            return {"input_ids": [int(word) for word in text.split()]}

    model = tiny.model("llava")
    inputs = tiny.batch(model, (1,))
    pruner = CDPruner(relevance=EmbeddingRelevance())
    with prune(model, pruner, keep=6, text="7 8 9", processor=Words()) as pruning:
        model(**inputs)
    (features,) = model.model.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output
    raw = by_hand(features, model.get_input_embeddings()(torch.tensor([7, 8, 9])), "embeddings")
    assert torch.equal(pruning.last_indices[0], pruner.select(VisualTokens([features], relevance=[raw]), [6])[0])


def test_any_family_is_served(tiny):
    """No adapter names this class, and no tower is read."""
    model = tiny.model("vipllava")
    short = prune_inputs(model, tiny.batch(model, (1, 1)), CDPruner(relevance=EmbeddingRelevance()), keep=4)
    assert (short["input_ids"] == tiny.image).sum(1).tolist() == [4, 4]


def test_the_command_line_names_it_llm():
    """`--relevance llm`; without a name the method says what to give."""
    assert method_named("cdpruner", "llm").relevance == EmbeddingRelevance()
    with pytest.raises(ValueError, match="name a CLIP or SigLIP checkpoint, or llm, with --relevance"):
        method_named("cdpruner")


def test_options_and_widths_are_checked():
    """One sentence with the value."""
    with pytest.raises(ValueError, match="mean must be one of 'embeddings', 'cosines', got 'words'"):
        EmbeddingRelevance(mean="words")
    with pytest.raises(ValueError, match="sign must be 1 or -1, got 2"):
        EmbeddingRelevance(sign=2)
    with pytest.raises(ValueError, match="must have one width, got 4 and 3"):
        EmbeddingRelevance()(torch.ones(2, 4), torch.ones(2, 3))

"""Tiny random models of the real classes, and batches for them. Nothing is downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

IMAGE, PAD, EOS, VOCABULARY = 95, 0, 2, 100
LANGUAGE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "pad_token_id": PAD,
    "bos_token_id": 1,
    "eos_token_id": EOS,
    "initializer_range": 0.3,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.3,
}
TOKENS = 16  # per picture of 56 x 56


def _model(family: str, attention: str = "sdpa"):
    import torch
    import transformers as hf

    text = {"llava_qwen2": hf.Qwen2Config, "llava_qwen3": hf.Qwen3Config}.get(family, hf.LlamaConfig)
    parts = {
        "vision_config": hf.CLIPVisionConfig(**VISION),
        "text_config": text(**LANGUAGE, head_dim=8),
        "image_token_id": IMAGE,
    }
    torch.manual_seed(0)
    if family in ("llava", "llava_qwen2", "llava_qwen3"):
        config = hf.LlavaConfig(**parts, image_seq_length=TOKENS, vision_feature_layer=-2)
        model = hf.LlavaForConditionalGeneration(config)
    elif family == "llava_next":
        grids = [[56, 112], [112, 56], [112, 112]]
        config = hf.LlavaNextConfig(**parts, image_grid_pinpoints=grids, vision_feature_layer=-2)
        model = hf.LlavaNextForConditionalGeneration(config)
    else:
        config = hf.VipLlavaConfig(**parts, image_seq_length=TOKENS, vision_feature_layers=[-2, -1])
        model = hf.VipLlavaForConditionalGeneration(config)
    model.set_attn_implementation(attention)
    model.generation_config.pad_token_id = PAD
    model.generation_config.eos_token_id = None
    model.generation_config.suppress_tokens = [IMAGE]  # a random model would generate placeholders
    return model.eval()


def _padded(rows: list[list[int]], side: str):
    import torch

    width = max(map(len, rows))
    gaps = [[PAD] * (width - len(row)) for row in rows]
    pairs = list(zip(rows, gaps, strict=True))
    ids = [gap + row if side == "left" else row + gap for row, gap in pairs]
    mask = [[0] * len(g) + [1] * len(r) if side == "left" else [1] * len(r) + [0] * len(g) for r, g in pairs]
    return torch.tensor(ids), torch.tensor(mask)


def _batch(model, images=(1,), side="left", seed=0):
    """`images[i]` pictures in row i, text of different length around them."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    count = sum(images)
    inputs = {}
    if model.config.model_type == "llava_next":
        sizes = [[(90, 100), (40, 100), (100, 45)][i % 3] for i in range(count)]
        inputs["image_sizes"] = torch.tensor(sizes)
        inputs["pixel_values"] = torch.randn(count, 5, 3, 56, 56, generator=generator)
        with torch.no_grad():
            lengths = [len(x) for x in model.model.get_image_features(**inputs, return_dict=True).pooler_output]
    else:
        inputs["pixel_values"] = torch.randn(count, 3, 56, 56, generator=generator)
        lengths = [TOKENS] * count

    def words(n: int) -> list[int]:
        return torch.randint(3, 90, (n,), generator=generator).tolist()

    rows, left = [], iter(lengths)
    for i, pictures in enumerate(images):
        row = [1, *words(3)]
        for _ in range(pictures):
            row += [IMAGE] * next(left) + words(2)
        rows.append(row + words(4 + i))
    inputs["input_ids"], inputs["attention_mask"] = _padded(rows, side)
    return inputs


def _row(inputs, images, i):
    """Row i of a batch as a batch of its own, padding removed."""
    first = sum(images[:i])
    real = inputs["attention_mask"][i].bool()
    alone = {name: inputs[name][i : i + 1, real] for name in ("input_ids", "attention_mask")}
    for name in ("pixel_values", "image_sizes"):
        if name in inputs and images[i]:
            alone[name] = inputs[name][first : first + images[i]]
    return alone


def _rows_answer_as_alone(model, images, pruner, keep):
    """Same tokens kept, same logits step by step, beside rows with more pictures and none: batch-mates change nothing."""
    import torch

    from lmm_integration import prune

    inputs = _batch(model, images)
    options = {"do_sample": False, "max_new_tokens": 5, "output_logits": True, "return_dict_in_generate": True}
    with prune(model, pruner, keep=keep) as pruning:
        together = torch.stack(model.generate(**inputs, **options).logits)
        kept, image = pruning.last_indices, 0
        for i in (i for i, pictures in enumerate(images) if pictures):
            alone = torch.stack(model.generate(**_row(inputs, images, i), **options).logits)
            torch.testing.assert_close(alone[:, 0], together[:, i], rtol=1e-3, atol=1e-3)
            for indices in pruning.last_indices:
                assert torch.equal(indices, kept[image])
                image += 1
    assert image == sum(images)


@pytest.fixture(scope="session")
def tiny():
    """Builders: `model(family, attention)`, cached, `batch(model, images, side)`, `row(inputs, images, i)`; and a check,
    `rows_answer_as_alone(model, images, pruner, keep)`.
    """
    pytest.importorskip("transformers")
    cache = {}

    def model(family, attention="sdpa"):
        if (family, attention) not in cache:
            cache[family, attention] = _model(family, attention)
        return cache[family, attention]

    builders = {"model": model, "fresh": _model, "batch": _batch, "row": _row}
    return SimpleNamespace(**builders, rows_answer_as_alone=_rows_answer_as_alone, image=IMAGE, tokens=TOKENS)


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory):
    """A folder with the config and the processor of a LLaVA of 6 x 6 patches, without weights."""
    hf = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    path = tmp_path_factory.mktemp("llava")
    words = [
        "<pad>",
        "<s>",
        "</s>",
        "<unk>",
        "<image>",
        *["USER:", "ASSISTANT:", "what", "is", "it", "?", "a", "red", "blue", "cat"],
    ]
    words += [f"w{i}" for i in range(40)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<image>"],
    )
    side = 6
    size = 14 * side
    pictures = hf.CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    hf.LlavaProcessor(
        image_processor=pictures,
        tokenizer=fast,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
    ).save_pretrained(path)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "initializer_range": 0.3}
    hf.LlavaConfig(
        vision_config=hf.CLIPVisionConfig(**small, num_hidden_layers=2, image_size=size, patch_size=14),
        text_config=hf.LlamaConfig(
            **small, vocab_size=len(words), num_hidden_layers=2, pad_token_id=0, bos_token_id=1, eos_token_id=2
        ),
        image_token_id=4,
        image_seq_length=side * side,
    ).save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def families():
    """The families of `families.py`: `[name]`, cached; `build(name)`, a new one; `batch(name, model, images)`."""
    pytest.importorskip("transformers")
    where = Path(__file__).with_name("families.py")
    spec = importlib.util.spec_from_file_location("tiny_families", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Families()


@pytest.fixture(scope="session")
def planted():
    """Pruners with an error on purpose, which an evaluation must find."""
    import torch

    from lmm_integration.tokens import Merged

    class Shuffled:
        """Indices mixed up on their way: the right number of tokens, at places drawn by lot and in a wrong order."""

        def select(self, tokens, k):
            generator = torch.Generator().manual_seed(1)
            return [torch.randperm(n, generator=generator)[:m] for n, m in zip(tokens.sizes, k, strict=True)]

    class Lost:
        """Visual tokens that never arrive."""

        def select(self, tokens, k):
            return [
                Merged(torch.zeros_like(unit[:m]), torch.arange(m), torch.full((n,), -1))
                for unit, n, m in zip(tokens.features, tokens.sizes, k, strict=True)
            ]

    return SimpleNamespace(shuffled=Shuffled(), lost=Lost())

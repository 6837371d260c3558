"""The vocabulary of the tiny model, word by word, and its processor."""

from __future__ import annotations

from typing import Any

from lmm_integration.tiny.pictures import COLOURS, PATCH, SHAPES, SIDE
from lmm_integration.tiny.queries import PLURAL

SPECIAL = ("<pad>", "<s>", "<unk>", "</s>", "<image>")
PLAIN = (
    "USER ASSISTANT : ? . , is there a an the how many what which color shape digit digits written read object objects "
    "left right of above below yes no photo picture image images with something and in row column number can you see "
    "do any visible shown find first second"
)
WORDS = tuple(sorted({*COLOURS, *SHAPES, *PLURAL.values(), *map(str, range(10)), *PLAIN.split()}))
MEAN, DEVIATION = 0.5, 0.25
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}USER: {% else %} ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}<image>{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %} {{ part['text'] }}{% endfor %}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)


def tokenizer() -> Any:
    """A word-level tokenizer of `PreTrainedTokenizerFast`; unknown words become <unk>."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    ids = {word: i for i, word in enumerate(SPECIAL + WORDS)}
    words = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", ids["<s>"])])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=8192,
        padding_side="left",
    )


def processor() -> Any:
    """The `LlavaProcessor`: pictures of 128 x 128 to pixels, one <image> to 256 places."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    images = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        image_mean=[MEAN] * 3,
        image_std=[DEVIATION] * 3,
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )

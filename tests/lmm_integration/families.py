"""Tiny random models of the real classes of other families than LLaVA, and batches of images of several sizes for them."""

import torch
import transformers as hf

IMAGE, VIDEO, PAD = 95, 96, 0
LANGUAGE = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
    "pad_token_id": PAD,
    "initializer_range": 0.3,
}
VISION = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
    "initializer_range": 0.3,
}


def onevision():
    config = hf.LlavaOnevisionConfig(
        vision_config=hf.SiglipVisionConfig(**VISION),
        text_config=hf.Qwen2Config(**LANGUAGE),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=[[56, 56], [56, 112], [112, 56], [112, 112], [112, 168], [224, 224]],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_9",
    )
    return hf.LlavaOnevisionForConditionalGeneration(config)


ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
QWEN_IDS = {
    "image_token_id": IMAGE,
    "video_token_id": VIDEO,
    "vision_start_token_id": 97,
    "vision_end_token_id": 98,
}
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 4,
    "patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "out_hidden_size": 32,
}


def qwen():
    vision = {**QWEN_VISION, "window_size": 112, "fullatt_block_indexes": [1], "tokens_per_second": 2}
    text = {**LANGUAGE, "rope_parameters": ROPE}
    return hf.Qwen2_5_VLForConditionalGeneration(
        hf.Qwen2_5_VLConfig(**QWEN_IDS, text_config=text, vision_config=vision)
    )


def qwen3():
    vision = {**QWEN_VISION, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    text = {**LANGUAGE, "head_dim": 8, "rope_parameters": ROPE}
    return hf.Qwen3VLForConditionalGeneration(hf.Qwen3VLConfig(**QWEN_IDS, text_config=text, vision_config=vision))


def next_video():
    config = hf.LlavaNextVideoConfig(
        vision_config=hf.CLIPVisionConfig(**VISION),
        text_config=hf.LlamaConfig(**LANGUAGE),
        image_token_id=IMAGE,
        video_token_id=VIDEO,
        image_grid_pinpoints=[[56, 112], [112, 56], [112, 112]],
        spatial_pool_mode="average",
        spatial_pool_stride=2,
        vision_feature_layer=-1,
    )
    return hf.LlavaNextVideoForConditionalGeneration(config)


BUILDERS = {"onevision": onevision, "next_video": next_video, "qwen": qwen, "qwen3": qwen3}
SIZES = [(90, 100), (40, 100), (224, 224), (100, 45), (56, 56)]
GRIDS = [(4, 6), (8, 4), (6, 6), (4, 4), (10, 4)]


def pictures(name, model, count, which):
    generator = torch.Generator().manual_seed(100 * which + count)
    if name == "onevision":
        inputs = {
            "pixel_values": torch.randn(count, 17, 3, 56, 56, generator=generator),
            "image_sizes": torch.tensor([SIZES[(which + i) % 5] for i in range(count)]),
            "batch_num_images": torch.tensor([count]),
        }
    elif name == "next_video":
        inputs = {
            "pixel_values": torch.randn(count, 5, 3, 56, 56, generator=generator),
            "image_sizes": torch.tensor([[(90, 100), (40, 100), (100, 45)][(which + i) % 3] for i in range(count)]),
        }
    else:
        grids = [GRIDS[(which + i) % 5] for i in range(count)]
        patches = sum(h * w for h, w in grids)
        inputs = {
            "pixel_values": torch.randn(patches, 3 * 2 * 14 * 14, generator=generator),
            "image_grid_thw": torch.tensor([[1, h, w] for h, w in grids]),
        }
    with torch.no_grad():
        lengths = [len(x) for x in model.model.get_image_features(**inputs, return_dict=True).pooler_output]
    return inputs, lengths


def batch(name, model, images=(1,)):
    """(inputs, rows): the padded batch, and every row as a batch of its own."""
    generator = torch.Generator().manual_seed(5)

    def words(n):
        return torch.randint(3, 90, (n,), generator=generator).tolist()

    rows, alone = [], []
    for which, count in enumerate(images):
        given, lengths = pictures(name, model, count, which) if count else ({}, [])
        ids = [1, *words(3)]
        for length in lengths:
            ids += [97] + [IMAGE] * length + [98] + words(2)
        ids += words(4 + which)
        rows.append((ids, given))
        alone.append(tensors(name, [ids], given))
    joined = {
        key: torch.cat([given[key] for _, given in rows if key in given]) for key in next(g for _, g in rows if g)
    }
    return tensors(name, [ids for ids, _ in rows], joined), alone


def tensors(name, rows, given):
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    kinds = {"mm_token_type_ids": (ids == IMAGE).int()} if name.startswith("qwen") else {}
    return {"input_ids": ids, "attention_mask": mask, **kinds, **given}


class Families(dict):
    """Models by name, built once; `build` makes a new one."""

    batch = staticmethod(batch)

    def __missing__(self, name):
        self[name] = self.build(name)
        return self[name]

    @staticmethod
    def build(name):
        torch.manual_seed(0)
        model = BUILDERS[name]().eval()
        model.generation_config.pad_token_id = PAD
        model.generation_config.eos_token_id = None
        model.generation_config.suppress_tokens = [IMAGE, VIDEO]
        return model

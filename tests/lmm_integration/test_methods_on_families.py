"""Every method on every model family, as their declarations say: it prunes, or it is refused for the reason given."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import EmbeddingRelevance, TrimTokenatorLC, prune  # noqa: E402
from lmm_integration.adapters import FAMILIES, Adapter, adapter_for  # noqa: E402
from lmm_integration.pruners import METHODS  # noqa: E402
from lmm_integration.pruners.families import families_table, unserved  # noqa: E402

NAMES = {
    "llava": "llava",
    "llava_next": "llava_next",
    "llava_next_video": "next_video",
    "llava_onevision": "onevision",
    "qwen2_5_vl": "qwen",
    "qwen3_vl": "qwen3",
    "vipllava": "vipllava",  # which no adapter names
}
REFUSED = {
    "vision_attention": "attention needs a tower with a class token|the attention of its vision tower",
    "reencode": "needs the whole raster of one picture",  # tiles and newlines
    "reencode, qwen": "at another size",
}


class Brightness:
    """Reads the patches of the tower."""

    sign = 1

    def __call__(self, patches, text):
        return patches.float().mean(-1)


def model_and_batch(kind, tiny, families, images):
    name = NAMES[kind]
    if name in ("llava", "llava_next", "vipllava"):
        return tiny.model(name), tiny.batch(tiny.model(name), images)
    return families[name], families.batch(name, families[name], images)[0]


def made(method, family):
    """With options under which four tokens are in reach of three layers, and relevance as the family offers it."""
    options = {}
    if "relevance" in method.requires:
        options["relevance"] = Brightness() if "patches" in family.offers else EmbeddingRelevance()
    if method.budget_kind == "layer_mean":
        options["budget"] = "final"
    return method(**options)


def test_every_family_is_tried():
    assert list(NAMES)[:-1] == list(FAMILIES)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
@pytest.mark.parametrize("kind", NAMES)
@torch.no_grad()
def test_every_method_on_every_family(kind, method, tiny, families):
    """A ragged batch with a row of text: budgets hold, logits have full length, decoding needs no cache."""
    over_images = method is TrimTokenatorLC  # divides one budget over the images of a row
    images = (1, 1, 0) if over_images and kind == "vipllava" else (1, 2, 0)  # whose images must keep equally many
    model, inputs = model_and_batch(kind, tiny, families, images)
    family = type(adapter_for(model))
    assert (family is Adapter) == (kind == "vipllava")
    pruner = made(method, family)
    block = prune(model, pruner, keep=4, text="what?", strict=False)
    if why := unserved(method, family):
        (need,) = method.requires & REFUSED.keys()
        said = REFUSED.get(f"{need}, {kind[:4]}", REFUSED[need])
        with pytest.raises((TypeError, ValueError), match=said), block:
            model(**inputs)
        pytest.skip(f"{method.title} on {kind}: {why}")
    with block as pruning:
        logits = model(**inputs).logits
        tokens = pruning.stats.tokens
        words = [model.generate(**inputs, max_new_tokens=2, do_sample=False, use_cache=use) for use in (True, False)]
    kept = [left for _, left in tokens]
    assert [kept[0], sum(kept[1:])] == ([4, 4] if over_images else [4, 8])
    assert logits.shape[:2] == inputs["input_ids"].shape
    assert logits[inputs["attention_mask"].bool()].isfinite().all()
    assert torch.equal(*words)


def test_the_table_is_what_is_declared():
    rows = families_table()
    assert [row["method"] for row in rows] == [method.title for method in METHODS]
    for row, method in zip(rows, METHODS, strict=True):
        for kind, family in FAMILIES.items():
            assert row[kind].startswith("no: ") == bool(unserved(method, family))
    relevance = next(row for row in rows if row["method"] == "CDPruner")
    assert (relevance["llava_onevision"], relevance["qwen3_vl"]) == (
        "relevance by a text tower or by words",
        "relevance by words",
    )

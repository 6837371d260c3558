"""LLaVA-NeXT: real anyres, newlines, budgets per crop, image or sample."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import AveragePool, CDPruner, ClsAttention, DivPrune, UniformGrid, prune_inputs  # noqa: E402
from lmm_integration.adapters import LlavaNext, adapter_for  # noqa: E402
from lmm_integration.pre_llm import run  # noqa: E402


@pytest.fixture(autouse=True)
def _no_gradients():
    with torch.no_grad():
        yield


def particulars(model, inputs, pruner, keep, **options):
    """Everything about a pruned call."""
    defaults = {"text": None, "processor": None, "budget_scope": "image", "adapter": None}
    return run(model, inputs, pruner, keep, **(defaults | options))


def layouts_of(model, inputs):
    """Features and layouts of all images."""
    adapter = adapter_for(model)
    features = adapter.encode(model, inputs).pooler_output
    return features, adapter.layout(model, inputs, features)


def test_the_layout_names_the_patch_of_every_token(tiny):
    """Token t is the projected patch the layout says, found by its value; newlines are the newline vector."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (3,))
    features, layouts = layouts_of(model, inputs)
    for image, (tokens, layout) in enumerate(zip(features, layouts, strict=True)):
        count = adapter_for(model).crops(model, inputs, features)[image]
        pictures = inputs["pixel_values"][image, :count]
        states = model.model.vision_tower(pictures, output_hidden_states=True).hidden_states[-2][:, 1:]
        projected = model.model.multi_modal_projector(states).flatten(0, 1)
        real = ~layout.newline
        torch.testing.assert_close(tokens[real], projected[layout.patch[real]])
        assert torch.equal(layout.crop[real], layout.patch[real] // 16)
        assert (tokens[layout.newline] == model.model.image_newline).all()


def test_crops_are_rectangles_and_lines_end_in_newlines(tiny):
    """Unpadding leaves rectangles; line r of the tiles ends in newline r; the small view has no lines."""
    model = tiny.model("llava_next")
    _, layouts = layouts_of(model, tiny.batch(model, (3,)))
    for layout in layouts:
        for crop, grid in enumerate(layout.grid):
            assert grid is None or grid[0] * grid[1] == int((layout.crop == crop).sum())
        assert layout.grid[0] == (4, 4)
        assert (layout.row[layout.crop == 0] == -1).all()
        assert layout.row[layout.newline].tolist() == list(range(int(layout.newline.sum())))
        assert (layout.row[16:].diff() >= 0).all()


def test_t17_the_newline_policies(tiny):
    """none: k tokens, none a newline; row: one for each line with a kept token; all: every one; candidate: k of all."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1,))
    _, (layout,) = layouts_of(model, inputs)
    kept = {
        policy: particulars(model, inputs, DivPrune(), 6, adapter=LlavaNext(newline=policy)).indices[0]
        for policy in ("none", "row", "all", "candidate")
    }
    assert len(kept["none"]) == 6
    assert not layout.newline[kept["none"]].any()
    for policy in ("row", "all"):
        assert torch.equal(kept[policy][~layout.newline[kept[policy]]], kept["none"])
        assert (kept[policy].diff() > 0).all()
    lines = set(layout.row[kept["none"]].tolist()) - {-1}
    assert set(layout.row[kept["row"]][layout.newline[kept["row"]]].tolist()) == lines
    assert layout.newline[kept["all"]].sum() == layout.newline.sum()
    assert len(kept["candidate"]) == 6


@pytest.mark.parametrize("policy", ["none", "row", "all", "candidate"])
def test_a_full_budget_is_the_unpruned_model_under_every_policy(tiny, policy):
    """Keeping every patch keeps the newlines, and every bit."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1, 2))
    new = prune_inputs(model, inputs, DivPrune(), keep=1.0, adapter=LlavaNext(newline=policy))
    assert torch.equal(model(**new).logits, model(**inputs).logits)


def test_pick_order_puts_newlines_last(tiny):
    """In selection order the lines are broken up; the newlines that stay follow the patches."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1,))
    _, (layout,) = layouts_of(model, inputs)
    found = particulars(model, inputs, DivPrune(order="selection"), 6, adapter=LlavaNext(newline="all"))
    assert layout.newline[found.indices[0]].tolist() == [False] * 6 + [True] * int(layout.newline.sum())


@pytest.mark.parametrize("pruner", [DivPrune(), UniformGrid(), AveragePool(), ClsAttention()], ids=lambda p: p.title)
def test_t17_a_budget_per_crop_is_spent_in_every_crop(tiny, pruner):
    """Each crop keeps its k, or all it has."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1, 1))
    found = particulars(model, inputs, pruner, 3, budget_scope="crop")
    _, layouts = layouts_of(model, inputs)
    for indices, layout in zip(found.indices, layouts, strict=True):
        for crop in range(len(layout.grid)):
            size = int((layout.crop == crop).sum())
            assert int((layout.crop[indices] == crop).sum()) == min(3, size)
    assert model(**found.inputs).logits.isfinite().all()


def test_a_crop_is_chosen_from_on_its_own(tiny):
    """The picks in the small view are DivPrune's picks on its 16 tokens alone."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1,))
    features, _ = layouts_of(model, inputs)
    from lmm_integration import VisualTokens

    (alone,) = DivPrune().select(VisualTokens([features[0][:16]]), [3])
    found = particulars(model, inputs, DivPrune(), 3, budget_scope="crop")
    assert found.indices[0][:3].tolist() == alone.tolist()


def test_class_token_attention_is_unpacked_like_the_tokens(tiny):
    """The top k of an image are the top k of the eager attention row, patch by patch, over all its crops."""
    model = tiny.model("llava_next", "eager")
    inputs = tiny.batch(model, (2,))
    found = particulars(model, inputs, ClsAttention(), 7)
    features, layouts = layouts_of(model, inputs)
    counts = adapter_for(model).crops(model, inputs, features)
    for i, layout in enumerate(layouts):
        seen = model.model.vision_tower(inputs["pixel_values"][i, : counts[i]], output_attentions=True).attentions[-2]
        row = seen.mean(1)[:, 0, 1:].flatten()
        score = torch.where(layout.newline, -1.0, row[layout.patch])
        assert found.indices[i].tolist() == sorted(score.argsort(descending=True)[:7].tolist())


def test_newlines_as_candidates_are_refused_where_they_have_no_score(tiny):
    """A newline has no attention, and belongs to no crop."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1,))
    adapter = LlavaNext(newline="candidate")
    with pytest.raises(ValueError, match="not for methods that read vision attention"):
        prune_inputs(model, inputs, ClsAttention(), keep=5, adapter=adapter)
    with pytest.raises(ValueError, match="a newline belongs to no crop"):
        prune_inputs(model, inputs, DivPrune(), keep=5, adapter=adapter, budget_scope="crop")
    with pytest.raises(ValueError, match="newline must be one of none, row, all, candidate, got 'some'"):
        LlavaNext(newline="some")


def test_relevance_is_scaled_over_all_crops_of_a_sample(tiny):
    """With a budget per crop the weights of a sample still share one minimum and one maximum."""
    model = tiny.model("llava_next")
    inputs = tiny.batch(model, (1, 1))
    seen = []

    class Spy(CDPruner):
        def select(self, tokens, k):
            seen.append((list(tokens.sample), self.scaled(tokens)))
            return super().select(tokens, k)

    class Lightness:
        sign = 1

        def __call__(self, patches, text):
            return patches.float().mean(-1)

    prune_inputs(model, inputs, Spy(relevance=Lightness()), keep=2, text="what?", budget_scope="crop")
    ((samples, weights),) = seen
    for sample in (0, 1):
        together = torch.cat([w for s, w in zip(samples, weights, strict=True) if s == sample])
        assert together.max() == 1
        assert together.min() == pytest.approx(1e-6)
        assert (together == 1).sum() == 1

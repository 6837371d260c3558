"""Downsampling: of the raster of tokens, and of the picture itself."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import FeatureResize, InputResize, VisualTokens, prune, prune_inputs  # noqa: E402
from lmm_integration.pruners.input_resize import small_grid  # noqa: E402


@pytest.mark.parametrize(("grid", "k", "small"), [((24, 24), 64, (8, 8)), ((12, 8), 24, (6, 4)), ((9, 9), 9, (3, 3))])
def test_feature_resize_is_antialiased_bilinear_interpolation(grid, k, small):
    """Where the cells are a regular grid, torch's own."""
    x = torch.randn(grid[0] * grid[1], 5, generator=torch.Generator().manual_seed(0))
    (resized,) = FeatureResize().select(VisualTokens([x], grid=[grid]), [k])
    picture = x.T.reshape(1, 5, *grid)
    expected = torch.nn.functional.interpolate(picture, size=small, mode="bilinear", antialias=True)
    torch.testing.assert_close(resized.features, expected.reshape(5, k).T)


@pytest.mark.parametrize("k", [0, 1, 7, 40, 48])
def test_feature_resize_at_any_budget(k):
    """Means stay means, all tokens stay themselves bit for bit, each of k distinct places has one."""
    x = torch.randn(48, 3, generator=torch.Generator().manual_seed(1))
    for grid in ((6, 8), None):
        (resized,) = FeatureResize().select(VisualTokens([x], grid=[grid]), [k])
        assert len(resized.indices.unique()) == len(resized.features) == k
        (ones,) = FeatureResize().select(VisualTokens([torch.ones(48, 3)], grid=[grid]), [k])
        torch.testing.assert_close(ones.features, torch.ones(k, 3))
        if k == 48:
            assert torch.equal(resized.features, x)


@pytest.mark.parametrize("grid", [(24, 24), (4, 4), (7, 20)])
def test_the_small_grid_is_the_smallest_of_the_shape(grid):
    """At least k tokens, inside the old grid, hardly stretched; nothing smaller would do."""
    for k in range(1, grid[0] * grid[1] + 1, 5):
        rows, columns = small_grid(*grid, k)
        assert k <= rows * columns
        assert (rows <= grid[0], columns <= grid[1]) == (True, True)
        for r in range(1, grid[0] + 1):
            for c in range(1, grid[1] + 1):
                if k <= r * c < rows * columns:
                    ratio = r * grid[1] / (c * grid[0])
                    assert max(ratio, 1 / ratio) >= 1.5


def test_input_resize_encodes_the_smaller_picture(tiny):
    """Four tokens are those of the picture at half its size, with the tower's positions interpolated."""
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 2))
    with torch.no_grad():
        found = prune_inputs(model, inputs, InputResize(), keep=4)
        half = torch.nn.functional.interpolate(
            inputs["pixel_values"], size=(28, 28), mode="bicubic", antialias=True, align_corners=False
        )
        expected = model.model.get_image_features(half, interpolate_pos_encoding=True, return_dict=True).pooler_output
        for image, tokens in zip(found["mm_encoder_outputs"]["image"].pooler_output, expected, strict=True):
            torch.testing.assert_close(image, tokens, rtol=1e-4, atol=1e-4)
        odd = prune_inputs(model, inputs, InputResize(), keep=7)
        whole = prune_inputs(model, inputs, InputResize(), keep=16)
        assert torch.equal(model(**whole).logits, model(**inputs).logits)
    assert [len(x) for x in odd["mm_encoder_outputs"]["image"].pooler_output] == [7, 7, 7]
    assert (odd["input_ids"] == tiny.image).sum(1).tolist() == [7, 14]


def test_input_resize_says_whom_it_cannot_serve(tiny):
    """Tiles, families without an adapter, and budgets over several pictures."""
    for family, options, error, message in (
        ("llava_next", {"budget_scope": "crop"}, TypeError, "cuts pictures into tiles"),
        ("vipllava", {}, ValueError, "needs the whole raster of one picture"),
        ("llava", {"budget_scope": "sample"}, ValueError, "needs the whole raster of one picture"),
    ):
        model = tiny.model(family)
        with pytest.raises(error, match=message), prune(model, InputResize(), keep=4, **options):
            model(**tiny.batch(model, (1, 2)))

"""Models of published shapes with random weights, and a refusal where memory will not hold them."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration.latency import memory  # noqa: E402
from lmm_integration.latency.architectures import ARCHITECTURES, config_of  # noqa: E402
from lmm_integration.latency.random_weights import count_weights, empty_model, filled, random_model  # noqa: E402
from lmm_integration.latency.report import random_subject  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return random_model("tiny", dtype=torch.bfloat16, device="cpu")


def test_the_published_size():
    """Counted by hand: 24 layers of CLIP of which the tower keeps all, a projector of two matrices, 32 layers of LLaMA."""
    d, m, v = 1024, 4096, 32064
    clip = 24 * (4 * d * (d + 1) + 2 * d * m + m + d + 4 * d) + d * 3 * 14 * 14 + (577 + 1) * d + 4 * d
    projector = d * 4096 + 4096 + 4096 * 4096 + 4096
    llama = 32 * (4 * 4096**2 + 3 * 4096 * 11008 + 2 * 4096) + 2 * v * 4096 + 4096
    assert count_weights("llava-1.5-7b") == clip + projector + llama


def test_shapes_of_the_others():
    assert set(ARCHITECTURES) == {"llava-1.5-7b", "llava-1.5-13b", "llava-next-7b", "tiny"}
    large = config_of("llava-1.5-13b").text_config
    assert (large.hidden_size, large.intermediate_size, large.num_hidden_layers) == (5120, 13824, 40)
    tiled = config_of("llava-next-7b")
    assert tiled.model_type == "llava_next"
    assert [672, 672] in [list(size) for size in tiled.image_grid_pinpoints]
    with pytest.raises(ValueError, match="got 'llava-7b'"):
        config_of("llava-7b")


def test_weights_are_normal_and_never_zero(model):
    for name, weight in model.named_parameters():
        values = weight.float()
        assert weight.dtype == torch.bfloat16
        assert values.isfinite().all()
        assert values.std() > 0, name
        assert (values == 0).float().mean() < 0.01, name
    mlp = model.base_model.language_model.layers[0].mlp.up_proj.weight.float()
    assert mlp.std().item() == pytest.approx(128**-0.5, rel=0.05)
    assert model.base_model.language_model.norm.weight.float().mean().item() == pytest.approx(1, abs=0.02)
    again = random_model("tiny", dtype=torch.bfloat16, device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("family", ["llava", "llava_next", "llava_qwen2"])
def test_buffers_are_those_of_the_constructor(tiny, family):
    constructed = tiny.model(family)
    model = filled(empty_model(constructed.config), dtype=torch.float16, device="cpu", seed=0)
    made = dict(constructed.named_buffers())
    assert made
    assert made.keys() == dict(model.named_buffers()).keys()
    for name, buffer in model.named_buffers():
        assert buffer.dtype == made[name].dtype
        assert torch.equal(buffer, made[name]), name
    shapes = {name: weight.shape for name, weight in constructed.named_parameters()}
    assert shapes == {name: weight.shape for name, weight in model.named_parameters()}
    assert not any(weight.is_meta for weight in model.parameters())


def test_what_a_request_needs():
    needed = memory.need(config_of("llava-1.5-7b"), 7_063_427_072, rows=8, columns=640, new_tokens=128, number=2)
    assert needed.weights == 2 * 7_063_427_072
    assert needed.cache == 8 * 768 * 32 * 2 * 4096 * 2
    assert needed.total > needed.weights + needed.cache
    assert memory.eager_scores(config_of("llava-1.5-7b"), rows=2, columns=100) == 2 * 32 * 100 * 100 * 8


def test_what_does_not_fit_is_refused_in_one_sentence(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 4 * memory.GIB)
    asked = {"dtype": "float16", "device": "cpu", "words": 64, "batch": 8, "new_tokens": 128}
    with pytest.raises(ValueError, match=r"^llava-1.5-7b in float16 at batch 8 needs about 1\d\.\d GiB .* has 4.0 GiB"):
        random_subject("llava-1.5-7b", **asked)
    assert random_subject("tiny", **asked).model.dtype == torch.float16
    with pytest.raises(ValueError, match="dtype must be"):
        random_subject("tiny", **asked | {"dtype": "int8"})


def test_free_memory_is_the_least_that_anybody_tells(tmp_path):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal: 100 kB\nMemAvailable: 40 kB\n")
    assert memory._available(info) == 40 * 1024
    (tmp_path / "memory.max").write_text("9000\n")
    (tmp_path / "memory.current").write_text("1000\n")
    assert memory._control_group(tmp_path) == 8000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._control_group(tmp_path) is None
    assert memory._available(tmp_path / "nowhere") is None

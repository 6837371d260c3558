"""Token files: what is saved comes back, and every wrong file says what is wrong."""

import json
import struct

import numpy as np
import pytest

from mmdp.instances import Instance, gaussian, gkd, load_tokens, save_tokens

pytest.importorskip("safetensors", reason="token files need safetensors")


def write_raw(path, tensors: dict[str, tuple[str, list[int], bytes]], header: dict[str, str] | None = None) -> None:
    """A safetensors file by hand, from dtype code, shape and bytes."""
    table, body = {}, b""
    if header is not None:
        table["__metadata__"] = header
    for name, (dtype, shape, data) in tensors.items():
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def full(dtype) -> Instance:
    rng = np.random.default_rng(0)
    return Instance(
        name="llava/layer 2",
        features=rng.normal(size=(12, 5)).astype(dtype),
        relevance=rng.random(12).astype(dtype),
        keys=rng.normal(size=(2, 12, 4)).astype(dtype),
        values=rng.normal(size=(2, 12, 3)).astype(dtype),
        query=rng.normal(size=(2, 1, 4)).astype(dtype),
        grid=(3, 4),
        image=rng.integers(0, 256, size=(6, 8, 3)).astype(np.uint8),
        k=4,
        source={"model": "llava-1.5-7b", "layer": "2", "note": "ünï ✓"},
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_everything_comes_back(tmp_path, dtype):
    """Arrays bit by bit and in their dtype; name, grid, budget and source as they were."""
    saved = full(dtype)
    save_tokens(saved, tmp_path / "tokens.safetensors")
    loaded = load_tokens(str(tmp_path / "tokens.safetensors"))
    for part in ("features", "relevance", "keys", "values", "query", "image"):
        before, after = getattr(saved, part), getattr(loaded, part)
        assert after.dtype == before.dtype
        assert after.shape == before.shape
        assert after.tobytes() == before.tobytes()
    assert (loaded.name, loaded.grid, loaded.k) == (saved.name, (3, 4), 4)
    assert loaded.source == saved.source


def test_absent_parts_stay_absent(tmp_path):
    """Features alone are enough, and a strided or transposed array is saved by its values."""
    X = np.arange(24.0).reshape(4, 6).T[::2]
    save_tokens(Instance(name="bare", features=X), tmp_path / "bare.safetensors")
    loaded = load_tokens(tmp_path / "bare.safetensors")
    np.testing.assert_array_equal(loaded.features, X)
    assert loaded.relevance is loaded.keys is loaded.query is loaded.image is loaded.grid is loaded.k is None
    assert loaded.objectives == ("max-min", "conditional-dpp")


def test_loaded_arrays_can_be_written(tmp_path):
    """The arrays belong to the caller."""
    save_tokens(gaussian(5, 3), tmp_path / "tokens.safetensors")
    loaded = load_tokens(tmp_path / "tokens.safetensors")
    loaded.features[0] = 0
    assert not loaded.features[0].any()


def test_bfloat16_becomes_float32(tmp_path):
    """bfloat16 is the upper half of a float32, so its values come back exactly."""
    exact = np.array([[1.0, -2.5, 0.15625], [3.0e38, -0.0, 1e-30]], dtype=np.float32)
    halves = (exact.view(np.uint32) >> 16).astype("<u2")
    write_raw(tmp_path / "b.safetensors", {"features": ("BF16", [2, 3], halves.tobytes())})
    loaded = load_tokens(tmp_path / "b.safetensors").features
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, (halves.astype(np.uint32) << 16).view(np.float32))
    np.testing.assert_allclose(loaded, exact, rtol=2**-7)


def test_files_written_by_torch(tmp_path):
    """A bfloat16 file from torch, with or without a header, loads; other tensors in it are ignored."""
    torch = pytest.importorskip("torch", reason="writes the file")
    from safetensors.torch import save_file

    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).bfloat16()
    save_file({"features": X, "attention_map": torch.zeros(3)}, tmp_path / "plain.safetensors")
    loaded = load_tokens(tmp_path / "plain.safetensors")
    assert loaded.name == "plain"
    np.testing.assert_array_equal(loaded.features, X.float().numpy())
    save_file(
        {"features": X}, tmp_path / "named.safetensors", metadata={"mmdp_tokens": "1", "name": "x", "grid": "2x3"}
    )
    assert load_tokens(tmp_path / "named.safetensors").grid == (2, 3)


def test_missing_files_and_folders(tmp_path):
    """The path is named."""
    with pytest.raises(FileNotFoundError, match=r"no token file at .*none\.safetensors"):
        load_tokens(tmp_path / "none.safetensors")
    with pytest.raises(FileNotFoundError, match=r"no token file at"):
        load_tokens(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*deep to write x\.safetensors to"):
        save_tokens(gaussian(3, 2), tmp_path / "deep" / "x.safetensors")


@pytest.mark.parametrize("keep", [0, 4, 8, 40, -1])
def test_corrupt_files(tmp_path, keep):
    """A file cut anywhere is refused in one line that names it."""
    path = tmp_path / "cut.safetensors"
    save_tokens(gaussian(5, 3), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut\.safetensors is not a readable safetensors file") as error:
        load_tokens(path)
    assert "\n" not in str(error.value)


ROWS = ("F32", [2, 2], np.eye(2, dtype="<f4").tobytes())


@pytest.mark.parametrize(
    ("tensors", "header", "message"),
    [
        ({"features": ROWS}, {"mmdp_tokens": "2"}, "has version '2' of the token format; this mmdp reads version '1'"),
        ({"weight": ROWS, "bias": ROWS}, None, "holds no tensor 'features'; it has bias, weight"),
        ({}, None, "holds no tensor 'features'; it has none"),
        ({"features": ("F8_E4M3", [2, 1], b"00")}, None, "tensor 'features' has dtype F8_E4M3; allowed are F64"),
        ({"features": ROWS, "keys": ROWS}, None, "must have both keys and values, or neither"),
        ({"features": ("F32", [4], ROWS[2])}, None, "features must be 2-D, got shape (4,)"),
        ({"features": ROWS}, {"grid": "2x2"}, "grid must have 2 cells, got 2 x 2"),
        ({"features": ROWS}, {"grid": "two"}, "grid must look like '24x24', got 'two'"),
        ({"features": ROWS}, {"k": "-1"}, "k must be a whole number, got '-1'"),
        ({"features": ROWS}, {"k": "3"}, "k must be between 0 and n = 2, got 3"),
        ({"features": ROWS}, {"source": "[1]"}, "source must be a JSON object, got '[1]'"),
        ({"features": ROWS}, {"source": "{"}, "source must be a JSON object, got '{'"),
        ({"features": ROWS, "image": ROWS}, None, "image must be (height, width, 3) uint8, got float32"),
        ({"features": ("F32", [1, 1], b"\x00\x00\xc0\x7f")}, None, "features must be finite, got nan"),
    ],
)
def test_wrong_contents(tmp_path, tensors, header, message):
    """Everything that does not fit is one ValueError with the path and the reason."""
    path = tmp_path / "wrong.safetensors"
    write_raw(path, tensors, header)
    with pytest.raises(ValueError) as error:
        load_tokens(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_distances_alone_cannot_be_saved(tmp_path):
    """A token file is about tokens."""
    with pytest.raises(ValueError, match="'mdplib/gkd/5/0' has only distances; a token file needs features"):
        save_tokens(gkd(5), tmp_path / "x.safetensors")

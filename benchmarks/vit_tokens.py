"""Photo-patch tokens of an untrained vision transformer: `vit/<photo>`. In benchmarks, because they need torch."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from mmdp.checks import Float
from mmdp.instances import Instance, load, photo
from mmdp.instances.pictures import PHOTOS
from mmdp.instances.recipes import keys_values, relevance_to_query, unit_rows

GRID, PATCH, WIDTH, LAYERS = 24, 14, 192, 4
MEAN, SPREAD = 0.45, 0.27  # of the pixels


def load_any(name: str) -> Instance:
    """`mmdp.instances.load`, and the names "vit/<photo>" beside."""
    family, _, rest = name.partition("/")
    return vit_tokens(rest) if family == "vit" else load(name)


def vit_tokens(name: str) -> Instance:
    """The 576 patches of a photo after four layers of a transformer with random weights (torch, seed 0), as they come.

    Linear(588, 192), a position table 0.02 N(0, 1), 4 pre-norm encoder layers (3 heads, MLP of 768, GELU). A random
    tower mixes the patches as a trained one does, but it has learnt nothing. The numbers depend on torch's random
    initialisation.
    """
    if name not in PHOTOS:
        raise ValueError(f"photo must be one of {', '.join(PHOTOS)}, got {name!r}")
    X = unit_rows(_features(name))
    K, V = keys_values(X, 0)
    return Instance(
        name=f"vit/{name}",
        features=X,
        relevance=relevance_to_query(X, 0),
        keys=K,
        values=V,
        grid=(GRID, GRID),
        source={"photo": name, "kind": "untrained vision transformer, torch seed 0", "seed": "0"},
    )


@lru_cache(maxsize=32)
def _features(name: str) -> Float:
    picture = photo(name).astype(np.float32) / 255
    patches = picture.reshape(GRID, PATCH, GRID, PATCH, 3).transpose(0, 2, 1, 3, 4).reshape(GRID * GRID, -1)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        embed = torch.nn.Linear(patches.shape[1], WIDTH)
        positions = 0.02 * torch.randn(GRID * GRID, WIDTH)
        layers = torch.nn.ModuleList(
            torch.nn.TransformerEncoderLayer(WIDTH, 3, 4 * WIDTH, 0.0, "gelu", batch_first=True, norm_first=True)
            for _ in range(LAYERS)
        ).eval()
        tokens = (embed(torch.from_numpy((patches - MEAN) / SPREAD)) + positions)[None]
        for layer in layers:
            tokens = layer(tokens)
    return np.asarray(tokens[0].double().numpy())

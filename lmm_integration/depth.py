"""One rule for the layers of published methods in models of other depth."""

from __future__ import annotations


def layer_of(published: int, of: int, layers: int) -> int:
    """The decoder layer that stands for layer `published` of a model with `of` layers, in a model with `layers`.

    min(published, round(published layers / of)), halves to even, inside [1, layers - 1]. Shallower models take the layer
    at the same relative depth, and at least one layer reads all tokens. Deeper models keep the published number, as the
    papers themselves do: FastV prunes in front of layer 2 of 32 and of 40 layers, IWP in front of layer 4 of 28 and of
    64 :cite:p:`chen2024fastv,iwp2026`.

    Raises
    ------
    ValueError : a published layer outside [1, of), or a model with fewer than two layers, which has nothing to prune in
        front of but its input.

    >>> layer_of(2, 32, 32), layer_of(2, 32, 40), layer_of(4, 28, 64), layer_of(4, 28, 14), layer_of(4, 28, 4)
    (2, 2, 4, 2, 1)
    """
    if not 1 <= published < of:
        raise ValueError(f"a published layer must be in [1, {of - 1}], got {published}")
    if layers < 2:
        raise ValueError(f"pruning inside a language model needs at least 2 layers, got {layers}")
    return min(published, max(1, min(layers - 1, round(published * layers / of))))

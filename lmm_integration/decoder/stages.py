"""The selection at every stage of one call: from hidden states to the columns that stay."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter
from lmm_integration.budget import budgets
from lmm_integration.decoder.places import Places
from lmm_integration.decoder.reader import LayerReader
from lmm_integration.layer_tokens import LayerPruner, LayerTokens
from lmm_integration.scene import Scene
from lmm_integration.tokens import Merged, check_choice
from lmm_integration.units import BudgetScope, Unit, gather, per_image, units


class Stages:
    """Chooses among the pictures of a call, stage after stage, once: a forward call that comes again reads it off.

    Generation without a cache runs the whole prompt for every new token; scores of the last token would choose anew
    each time. The first choice holds for the whole call, as it does with a cache.

    Attributes
    ----------
    kept : stage -> per image, the tokens that stay, int64 in raster order.
    columns : stage -> columns of the prompt from there on, padding included.
    seconds : what selecting took so far.
    """

    def __init__(
        self,
        pruner: LayerPruner,
        keep: int | float,
        scope: BudgetScope,
        adapter: Adapter,
        scene: Scene,
        decoder: Any,
    ) -> None:
        self.pruner, self.scene, self.decoder = pruner, scene, decoder
        self.newline = adapter.newline
        self.units = units(scene.layouts, scene.samples, scope, adapter.newline)
        sizes = [len(unit.token) for unit in self.units]
        spend = budgets(keep, sizes, [unit.sample for unit in self.units])
        self.plan = plan(pruner, len(decoder.layers), sizes, spend)
        self.requires = frozenset(getattr(pruner, "requires", frozenset()))
        self.kept: dict[int, list[Tensor]] = {}
        self.columns: dict[int, int] = {}
        self.seconds = 0.0
        self._alive = [torch.arange(n) for n in sizes]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """What happens inside belongs to the selection."""
        started = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - started

    def selected(self, layer: int) -> bool:
        """Whether the choice at this stage is made."""
        return layer in self.kept

    def repeats(self, states: Tensor) -> int:
        """How many rows of a forward call stand for one row of the prompt: beams, or several sequences."""
        return len(states) // len(self.scene.ids)

    def prompt(self, places: Places) -> Tensor:
        """(B, n) bool: the places that hold a token of the prompt; candidates of assisted decoding may follow it."""
        return places.valid & (places.column < self.scene.ids.shape[1])

    def written(self, real: Tensor) -> int:
        """Columns of a (B, L) forward call that stand behind the prompt: candidates, or what was generated so far."""
        return real.shape[1] - self.scene.ids.shape[1]

    @torch.no_grad()
    def stays(
        self,
        layer: int,
        places: Places,
        states: Tensor,
        rotary: tuple[Tensor, Tensor],
        attention: Tensor | None,
        real: Tensor,
    ) -> Tensor:
        """(B, L) bool: the columns that go on into `layer`; everything that is no picture does.

        Parameters
        ----------
        places : of the states.
        states, rotary : (B, n, d) in front of the layer, and their (cos, sin).
        attention : (rows of the prompt, n) that the last tokens pay in the layer before, where it is wanted.
        real : (B, L), the columns that are no padding.
        """
        every = self.repeats(states)
        if layer not in self.kept:
            alone = Places(places.column[::every], places.valid[::every])
            cos, sin = (x.expand(len(states), -1, -1)[::every] for x in rotary)
            with self.timed():
                self._choose(layer, alone, states[::every].detach(), (cos, sin), attention)
        rows, length = self.scene.ids.shape
        stays = torch.ones(rows * length, dtype=torch.bool)
        for where, kept in zip(self.scene.places, self.kept[layer], strict=True):
            stays[where] = False
            stays[where[kept]] = True
        prompt = stays.view(rows, length).repeat_interleave(every, 0).to(real.device)
        return torch.cat([prompt, prompt.new_ones(len(prompt), self.written(real))], dim=1) & real

    def _choose(
        self,
        layer: int,
        places: Places,
        states: Tensor,
        rotary: tuple[Tensor, Tensor],
        attention: Tensor | None,
    ) -> None:
        where = [self._where(unit, alive, places) for unit, alive in zip(self.units, self._alive, strict=True)]
        tokens = LayerTokens(
            features=[states[unit.sample, here] for unit, here in zip(self.units, where, strict=True)],
            sample=[unit.sample for unit in self.units],
            layer=layer,
            attention=None
            if attention is None
            else [attention[unit.sample, here] for unit, here in zip(self.units, where, strict=True)],
            **self._keys_values(layer, states, rotary, where, places),
        )
        k = [min(m, n) for m, n in zip(self.plan[layer], tokens.sizes, strict=True)]
        choices = self.pruner.select(tokens, k)
        name = type(self.pruner).__name__
        if any(isinstance(choice, Merged) for choice in choices):
            raise TypeError(f"{name}.select must give indices: inside the model tokens are dropped, not merged")
        if len(choices) != len(self.units):
            raise ValueError(f"{name}.select must give {len(self.units)} choices, got {len(choices)}")
        chosen = [check_choice(c, n, m, self.pruner) for c, n, m in zip(choices, tokens.sizes, k, strict=True)]
        self._alive = [alive[picks.sort().values] for alive, picks in zip(self._alive, chosen, strict=True)]
        nothing = [torch.empty(len(image), 0) for image in self.scene.features]
        pairs = [(alive, alive) for alive in self._alive]
        kept = per_image(self.units, pairs, self.scene.layouts, nothing, self.newline)
        self.kept[layer] = [image.indices for image in kept]

    def _where(self, unit: Unit, alive: Tensor, places: Places) -> Tensor:
        """The places of a unit's tokens, in the order of the unit."""
        columns = gather(self.scene.places, unit)[alive] % self.scene.ids.shape[1]
        return places.of_columns(unit.sample, columns)

    def _keys_values(
        self,
        layer: int,
        states: Tensor,
        rotary: tuple[Tensor, Tensor],
        where: Sequence[Tensor],
        places: Places,
    ) -> dict[str, Any]:
        if "keys_values" not in self.requires:
            return {}
        reader = LayerReader(self.decoder.layers[layer])
        found: dict[str, list[Tensor]] = {
            name: [] for name in ("keys", "keys_unrotated", "values", "query", "query_rotated")
        }
        for unit, here in zip(self.units, where, strict=True):
            row, (cos, sin) = states[unit.sample], (x[unit.sample] for x in rotary)
            keys = reader.keys(row[here][None])
            found["keys_unrotated"].append(keys[0])
            found["keys"].append(reader.rotated(keys, cos[here][None], sin[here][None])[0])
            found["values"].append(reader.values(row[here][None])[0])
            asking = self._asking(unit, here, places)
            queries = reader.queries(row[asking][None])
            turned = reader.rotated(queries, cos[asking][None], sin[asking][None])
            found["query"].append(queries[0].float().mean(1))
            found["query_rotated"].append(turned[0].float().mean(1))
        return found

    def _asking(self, unit: Unit, here: Tensor, places: Places) -> Tensor:
        """The places whose mean query the pruner wants."""
        kind = getattr(self.pruner, "query", "text")
        if kind == "image":
            return here
        prompt = self.prompt(places)[unit.sample].nonzero().flatten()
        if kind == "last":
            return prompt[-1:]
        of_row = [where for where, row in zip(self.scene.places, self.scene.samples, strict=True) if row == unit.sample]
        pictures = (torch.cat(of_row) % self.scene.ids.shape[1]).to(prompt.device)
        columns = places.column[unit.sample, prompt]
        behind = prompt[columns > pictures.max()]
        return behind if len(behind) else prompt[~torch.isin(columns, pictures)]


def plan(pruner: LayerPruner, depth: int, sizes: Sequence[int], budgets: Sequence[int]) -> dict[int, list[int]]:
    """Stage -> per unit, how many tokens stay; ValueError when a pruner breaks its contract."""
    layers = pruner.layers(depth)
    stays: dict[int, list[int]] = {layer: [] for layer in layers}
    for n, budget in zip(sizes, budgets, strict=True):
        kept = pruner.kept(n, budget, depth)
        if len(kept) != len(layers) or min(kept) < 0:
            name = type(pruner).__name__
            raise ValueError(f"{name}.kept must give {len(layers)} numbers >= 0, one per stage, got {kept}")
        for layer, k in zip(layers, kept, strict=True):
            stays[layer].append(k)
    return stays

"""Skip the attention and the MLPs of deeper layers for visual tokens, and really save their work."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter
from lmm_integration.budget import spent
from lmm_integration.decoder.operation_rows import KERNELS, ask_from, run_mlp_on
from lmm_integration.decoder.places import Places
from lmm_integration.decoder.support import decoder_of, refuse_checkpointing
from lmm_integration.flops import DecoderShape, kv_bytes
from lmm_integration.in_llm import LayerPruning
from lmm_integration.layer_tokens import inner_layers
from lmm_integration.operation_flops import OperationStats, depth_work, layer_flops
from lmm_integration.operation_pruner import OperationPruner, checked_depths, prunes_operations
from lmm_integration.pre_llm import Pruned
from lmm_integration.prune_stats import PruneStats
from lmm_integration.scene import Scene
from lmm_integration.sequence import Shortened


class Departure:
    """Which columns of a call are visual; stands where `LayerPruning` expects its stages.

    Parameters
    ----------
    visual : (B, L) bool of the prompt as it enters.
    """

    def __init__(self, visual: Tensor) -> None:
        self.prompt_visual = visual
        self.columns: dict[int, int] = {}

    def text(self, real: Tensor) -> Tensor:
        """(B, n) bool: the columns of a forward call that hold text; beams and what was written so far included."""
        visual = self.prompt_visual.to(real.device).repeat_interleave(len(real) // len(self.prompt_visual), 0)
        written = visual.new_zeros(len(visual), self.written(real))
        return real & ~torch.cat([visual, written], dim=1)

    def stays(self, layer: int, places: Places, states: Any, rotary: Any, attention: Any, real: Tensor) -> Tensor:
        """The same, for the layer in front of which the others leave."""
        return self.text(real)

    def written(self, real: Tensor) -> int:
        """Columns of a forward call behind the prompt."""
        return real.shape[1] - self.prompt_visual.shape[1]


class OperationPruning(LayerPruning):
    """The hooks that let visual tokens skip operations, on a decoder whose prompt an input pruner shortened before.

    Under "qkv" the MLPs of layers D_P .. D_A - 1 run on the text alone, and in front of layer D_A the visual tokens leave
    the sequence, as in `LayerPruning` with nothing kept: masks, positions, caches and continued calls are handled there.
    Under "q" nobody leaves: from layer D_A on the text alone asks, and MLPs from layer D_P on run on it alone. With D_A =
    0 under "qkv" no visual token enters at all.

    Parameters
    ----------
    model, adapter : as for `prune`.
    pruner : see `OperationPruner`.

    Raises
    ------
    TypeError : a decoder that cannot be pruned from the inside, or without an MLP in every layer.
    ValueError : depths outside the model; "q" under an attention kernel that takes no free mask.
    """

    def __init__(self, model: Any, pruner: OperationPruner, adapter: Adapter) -> None:
        asks = pruner.attn_prune == "q"
        self.decoder = decoder_of(model, reads_attention=asks)
        self.model, self.pruner, self.adapter = model, pruner, adapter
        self.depth = len(self.decoder.layers)
        self.depths = checked_depths(pruner, self.depth)
        if prunes_operations(pruner.reducer) or inner_layers(pruner.reducer, self.depth):
            name, found = type(pruner).__name__, type(pruner.reducer).__name__
            raise TypeError(
                f"the reducer of {name} must be a pruner of the input, got {found}, which works inside the model"
            )
        attention, mlp = self.depths
        self.layers = (attention,) if not asks and 0 < attention < self.depth else ()
        self.asking = range(attention, self.depth) if asks else range(0)
        self.skipping = range(mlp, self.depth if asks else attention)
        self.visual = False
        self._stages: Departure | None = None  # type: ignore[assignment]
        self._flow = None
        self._cuts = weakref.WeakKeyDictionary()
        self._row_readers = {}
        kernel = self.decoder.config._attn_implementation
        if self.asking and kernel not in KERNELS:
            raise ValueError(
                f"attn_prune='q' masks single queries, which the attention implementation {kernel!r} cannot: use "
                f"{' or '.join(KERNELS)}, or attn_prune='qkv'"
            )
        if self.skipping and not all(hasattr(layer, "mlp") for layer in self.decoder.layers):
            raise TypeError(f"the decoder layers of {type(model).__name__} have no MLP that can be skipped")

    @property
    def blind(self) -> bool:
        """Whether no layer reads visual tokens."""
        return self.depths[0] == 0 and not self.asking

    @property
    def hooked(self) -> bool:
        """Whether anything is done inside the model."""
        return bool(self.layers or self.skipping or self.asking)

    def install(self, undo: ExitStack) -> None:
        """Put the hooks on; `undo` takes them off."""
        if self.layers:
            super().install(undo)
        elif self.hooked:
            undo.callback(self.decoder.register_forward_pre_hook(self._enter_decoder, with_kwargs=True).remove)
            undo.callback(self.decoder.layers[-1].register_forward_hook(self._leave_layers).remove)
            undo.callback(self.end)
        for index in self.skipping:
            run_mlp_on(self.decoder.layers[index].mlp, self._text, undo)
        for index in self.asking:
            ask_from(self.decoder.layers[index], self._real_and_text, undo)

    def blinded(self, inputs: Mapping[str, Any]) -> Pruned:
        """The prompt of a call without its visual tokens, the text at its own positions."""
        scene = Scene.read(self.model, inputs, self.adapter, None)
        nothing = [torch.empty(0, dtype=torch.int64) for _ in scene.features]
        consumed = self.adapter.vision_inputs(self.model)
        new = {name: value for name, value in inputs.items() if name not in consumed}
        self._check_text(*self._columns(scene.ids, inputs.get("attention_mask")))
        shortened = Shortened(scene.ids, inputs.get("attention_mask"), scene.places, nothing)
        pad = self.model.config.get_text_config().pad_token_id
        axes = self.adapter.positions(self.model, inputs)
        if axes is not None:
            new.pop("position_ids", None)
        new = shortened.inputs(new, 0 if pad is None else pad, "keep" if axes is None else "repack")
        if axes is not None:
            new["position_ids"] = shortened.multimodal_positions(axes)
        sizes = [(len(image), 0) for image in scene.features]
        return Pruned(new, new["input_ids"], sizes, nothing, 0.0, shortened)

    def start(self, pruned: Pruned, stats: PruneStats) -> PruneStats:
        """A call begins with the shortened prompt; its stats, with what the operations will have cost."""
        if self.hooked:
            refuse_checkpointing(self.decoder)
        visual, real = self._columns(pruned.ids, pruned.inputs.get("attention_mask"))
        self._check_text(visual, real)
        self._stages = Departure(visual)
        text = real & ~visual
        shape = DecoderShape.of(self.model)
        work = depth_work(
            self.depths,
            self.depth,
            self.pruner.attn_prune,
            rows=len(real),
            columns=real.shape[1],
            text=int(text.sum(1).max()),
            text_places=int(text.sum()),
        )
        operations = OperationStats(
            depths=self.depths,
            text=int(text.sum()),
            visual=int((visual & real).sum()),
            work=work,
            flops=tuple(layer_flops(shape, layer) for layer in work),
            kv_bytes=len(real) * kv_bytes(shape, [layer.keys for layer in work], self.model.dtype.itemsize),
        )
        leave = ((self.depths[0], 0),) if self.layers else ()
        stages = tuple(((0, kept), *leave) for _, kept in pruned.tokens)
        return replace(
            stats,
            layer_tokens=tuple(layer.keys for layer in work),
            spent=tuple(spent(n, here, self.depth) for (n, _), here in zip(pruned.tokens, stages, strict=True)),
            stages=stages,
            operations=operations,
        )

    def end(self) -> None:  # type: ignore[override]
        """The call is over."""
        self._stages, self._flow, self.visual = None, None, False

    def _columns(self, ids: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        visual = torch.isin(ids, ids.new_tensor(self.adapter.placeholders(self.model)))
        return visual, torch.ones_like(visual) if mask is None else mask.bool()

    def _check_text(self, visual: Tensor, real: Tensor) -> None:
        alone = (~(real & ~visual).any(1)).nonzero().flatten().tolist()
        if alone and self.depths[0] < self.depth:
            raise ValueError(
                f"row {alone[0]} of the prompt is visual tokens alone; pruned operations need text that reads on"
            )

    def _text(self) -> Tensor | None:
        flow = self._flow
        return None if flow is None or flow.stages is None else flow.stages.text(flow.real)

    def _real_and_text(self) -> tuple[Tensor, Tensor] | None:
        flow = self._flow
        return None if flow is None or flow.stages is None else (flow.real, flow.stages.text(flow.real))

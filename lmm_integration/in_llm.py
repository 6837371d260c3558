"""Drop visual tokens in front of decoder layers, with masks, rotary positions and the cache of each layer in step."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lmm_integration.adapters import Adapter
from lmm_integration.decoder.deepstack import add_to_what_is_left
from lmm_integration.decoder.masks import causal_mask, real_columns
from lmm_integration.decoder.places import Places, take
from lmm_integration.decoder.reader import LayerReader
from lmm_integration.decoder.stages import Stages
from lmm_integration.decoder.support import decoder_of, refuse_checkpointing
from lmm_integration.layer_tokens import LayerPruner, inner_layers
from lmm_integration.scene import Scene
from lmm_integration.units import BudgetScope


@dataclass
class Flow:
    """One forward call through the decoder.

    Attributes
    ----------
    real : (B, L) bool, the columns of this call that hold a token.
    cache : of the call, or None.
    cuts : layer -> (B, cached + new) bool, the keys behind every layer in front of which tokens go or went.
    stages : the selection, in a call that carries pictures; None in one that continues.
    places : what is left of the columns, in a call that carries pictures.
    attention : the row that the next stage reads.
    changed : the arguments of all layers behind the last cut.
    """

    real: Tensor
    cache: Any
    cuts: dict[int, Tensor]
    stages: Stages | None
    places: Places
    attention: Tensor | None = None
    changed: dict[str, Any] = field(default_factory=dict)


class LayerPruning:
    """The hooks that make a decoder lose tokens on its way, and what they remember of every cache.

    The layers in front of the first stage see the whole prompt. From a stage on, hidden states, rotary angles and masks
    are gathered once, and the cache of these layers holds what is left, padded in front where rows of a batch keep
    different numbers. Every token keeps its position, or, where the pruner's `position_policy` is "repack", the layers
    behind a stage count what is left anew, in this call and in all that continue it. Calls that continue such a cache
    find its keys by what is remembered for the cache object; cropping it, as assisted decoding does, is allowed. At its
    end the decoder's output has its full length again.

    Parameters
    ----------
    model, keep, budget_scope, adapter : as for `prune`.
    pruner : its stages must lie inside the decoder, see `LayerPruner`.

    Raises
    ------
    TypeError : a decoder that cannot be pruned from the inside.
    ValueError : "repack" where tokens have places in a picture, or where the decoder makes no rotary angles itself.
    """

    repacks = False

    def __init__(
        self, model: Any, pruner: LayerPruner, keep: int | float, budget_scope: BudgetScope, adapter: Adapter
    ) -> None:
        requires = frozenset(getattr(pruner, "requires", frozenset()))
        self.decoder = decoder_of(model, reads_attention=bool(requires))
        self.depth = len(self.decoder.layers)
        self.model, self.pruner, self.keep = model, pruner, keep
        self.budget_scope, self.adapter = budget_scope, adapter
        self.layers = inner_layers(pruner, self.depth)
        self.repacks = getattr(pruner, "position_policy", "keep") == "repack"
        if self.repacks and (adapter.rotary_axes > 1 or not hasattr(self.decoder, "rotary_emb")):
            raise ValueError(
                f"position_policy='repack' inside {type(model).__name__} would take tokens from their places in the picture "
                "or needs rotary angles that the decoder does not make; use 'keep'"
            )
        self.visual = False  # whether the forward call under way carries pictures
        self._stages: Stages | None = None
        self._flow: Flow | None = None
        self._cuts: weakref.WeakKeyDictionary[Any, dict[int, Tensor]] = weakref.WeakKeyDictionary()
        self._row_readers = {
            layer - 1: LayerReader(self.decoder.layers[layer - 1]) for layer in self.layers if "attention" in requires
        }

    def install(self, undo: ExitStack) -> None:
        """Put the hooks on; `undo` takes them off."""
        undo.callback(self.decoder.register_forward_pre_hook(self._enter_decoder, with_kwargs=True).remove)
        for index, layer in enumerate(self.decoder.layers[self.layers[0] - 1 :], self.layers[0] - 1):
            hook = self._layer_hook(index)
            undo.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
        undo.callback(self.decoder.layers[-1].register_forward_hook(self._leave_layers).remove)
        add_to_what_is_left(self.decoder, self._left, undo)
        undo.callback(self.end)

    def begin(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Encode the pictures of a call; returns the inputs with the encoded pictures in place of the pixels."""
        refuse_checkpointing(self.decoder)
        scene = Scene.read(self.model, inputs, self.adapter, None)
        self._stages = Stages(self.pruner, self.keep, self.budget_scope, self.adapter, scene, self.decoder)
        consumed = self.adapter.vision_inputs(self.model)
        new = {name: value for name, value in inputs.items() if name not in consumed}
        new["mm_encoder_outputs"] = dict(scene.outputs)
        if (positions := self.adapter.positions(self.model, inputs)) is not None:
            new["position_ids"] = positions  # the pictures' sizes, from which the model would take them, are consumed
        return new

    def end(self) -> Stages | None:
        """The call is over; what was selected in it, or None when no forward call with its pictures came."""
        stages, self._stages, self._flow, self.visual = self._stages, None, None, False
        return stages if stages is not None and stages.kept else None

    def _left(self) -> Places | None:
        """What is left of a call that carries pictures, once something went."""
        return (
            self._flow.places if self._flow is not None and self._flow.stages is not None and self._flow.cuts else None
        )

    def _enter_decoder(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(inspect.signature(module.forward).parameters, args, strict=False)), **kwargs}
        states, cache = given["inputs_embeds"], given.get("past_key_values")
        if states is None:
            states = given["input_ids"][..., None]
        past = 0 if cache is None else int(cache.get_seq_length())
        real = real_columns(given.get("attention_mask"), states, past)
        if cache is not None and not past:
            self._cuts.pop(cache, None)  # new, or emptied to be used again
        cuts = {} if cache is None else self._cuts.get(cache, {})
        if cache is not None and past and not cuts and int(cache.get_seq_length(self.depth - 1)) != past:
            raise ValueError("this cache was shortened in another block, which alone knows how to continue it")
        if any(len(keys) != len(real) for keys in cuts.values()):
            raise ValueError(f"a pruned cache must be continued with its own batch, got {len(real)} rows")
        stages = self._stages if self.visual else None
        self._flow = Flow(real, cache, cuts, stages, Places.whole(real))

    def _layer_hook(self, index: int) -> Any:
        def enter(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            flow = self._flow
            if flow is None or not (flow.stages or flow.cuts):
                return None
            states = args[0] if args else kwargs.pop("hidden_states")
            kwargs |= flow.changed
            flow.cache = kwargs.get("past_key_values")  # the decoder itself makes one where the call brings none
            if flow.stages is not None:
                states = self._prefill(flow, flow.stages, index, states, kwargs)
            elif index in flow.cuts:
                past = int(flow.cache.get_seq_length(index))
                before = flow.cuts[index][:, :past].to(states.device)
                flow.cuts[index] = torch.cat([before, flow.real.to(states.device)], dim=1)
                self._behind_cut(flow, index, states, kwargs)
            return (states, *args[1:]), kwargs

        return enter

    def _prefill(self, flow: Flow, stages: Stages, index: int, states: Tensor, kwargs: dict[str, Any]) -> Tensor:
        if index in self.layers:
            attention, flow.attention = flow.attention, None
            stays = stages.stays(index, flow.places, states, kwargs["position_embeddings"], attention, flow.real)
            if (cut := flow.places.drop(stays)) is not None:
                flow.places, order = cut
                states = take(states, order)
                kwargs["position_embeddings"] = tuple(take(x, order) for x in kwargs["position_embeddings"])
                flow.cuts[index] = flow.places.valid
                if flow.cache is not None:
                    self._cuts[flow.cache] = flow.cuts
                self._behind_cut(flow, index, states, kwargs)
            stages.columns[index] = states.shape[1] - stages.written(flow.real)
        if (reader := self._row_readers.get(index)) is not None and not stages.selected(index + 1):
            with torch.no_grad(), stages.timed():
                every = stages.repeats(states)  # beams of a sample read the same prompt
                cos, sin = (x.expand(len(states), -1, -1)[::every] for x in kwargs["position_embeddings"])
                flow.attention = reader.last_row(states[::every], cos, sin, stages.prompt(flow.places)[::every])
        return states

    def _behind_cut(self, flow: Flow, index: int, states: Tensor, kwargs: dict[str, Any]) -> None:
        flow.changed = {
            "attention_mask": causal_mask(self.decoder.config, states, flow.cuts[index], flow.cache, index),
            "position_embeddings": self._angles(flow.cuts[index], states) or kwargs["position_embeddings"],
            "position_ids": None,  # no layer needs them, and with gaps some kernels take them for packed sequences
        }
        kwargs |= flow.changed

    def _angles(self, valid: Tensor, states: Tensor) -> Any:
        """(cos, sin) of new states behind `valid` (B, cached + new) keys counted anew; None where positions are kept."""
        if not self.repacks:
            return None
        places = (valid.long().cumsum(-1) - 1).clamp(min=0)
        return self.decoder.rotary_emb(states, places[:, -states.shape[1] :])

    def _leave_layers(self, module: Any, args: Any, out: Any) -> Any:
        flow, self._flow = self._flow, None
        if flow is None or flow.stages is None or not flow.cuts:
            return out
        length = flow.real.shape[1]
        if isinstance(out, Tensor):
            return flow.places.restore(out, length)
        return (flow.places.restore(out[0], length), *out[1:])

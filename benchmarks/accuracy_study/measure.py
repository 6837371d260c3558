"""One picture at one budget: choose sets, ask the model with each, write down what came out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy_study import design
from benchmarks.accuracy_study.decoder import PackedDecoder, divergence
from benchmarks.accuracy_study.exam import draw_exam
from benchmarks.accuracy_study.layer import LayerView
from benchmarks.accuracy_study.records import Record, SetRecord, bits
from benchmarks.accuracy_study.sets import (
    Family,
    build_family,
    clustered_sets,
    covering,
    random_sets,
)
from lmm_integration.pruners import IWP
from lmm_integration.tiny.pictures import GRID, TOKENS
from mmdp import ConditionalDPP, MaxMinDiversity
from mmdp.checks import Int


def measure(decoder: PackedDecoder, image: int, k: int, chosen: Sequence[str]) -> Record:
    """Everything about scene `image` when k of its visual tokens are kept, by the chosen families of sets."""
    started = time.process_time()
    exam = draw_exam(image)
    tower, read = decoder.tokens(exam.scene.picture)
    seen, projected = tower.double().numpy(), read.double().numpy()
    prompt = decoder.prompt(read, exam.questions)
    whole = decoder.answer(prompt, np.arange(TOKENS)[None])
    blind = decoder.answer(prompt, np.empty((1, 0), np.int64))
    iwp = IWP()
    views = {depth: LayerView(decoder, prompt, depth) for depth in (0, *iwp.layers(len(decoder.model.layers)))}
    layer = max(views)
    max_min = MaxMinDiversity.from_features(projected, k)
    distances = max_min.distances
    draws = random_sets(TOKENS, k, image)
    bad = {f"clustered/{i}": kept for i, kept in enumerate(clustered_sets(distances, k, image))}
    families: dict[str, tuple[int, Family]] = {}
    for name in chosen:
        if name == design.SPARSE:
            families[name] = (0, _sparse(seen, image))
        elif name == "rank-1":
            inside = views[layer].tokens()
            (energy,) = iwp.problems(inside, [k])
            others = {
                "pc_mmr": iwp.select(inside, [k])[0].numpy(),
                "magnitude": np.argsort(-iwp.magnitudes(inside)[0], kind="stable")[:k],
            }
            families[name] = (layer, build_family(name, energy, draws, image, bad | others))
        else:
            problem = max_min if name == "max-min" else ConditionalDPP.from_features(seen, k)
            families[name] = (0, build_family(name, problem, draws, image, bad))

    radius = covering(distances)
    answered: dict[tuple[int, bytes], tuple[str, float, float, float]] = {}
    for depth, sets in _by_size(families.values()):
        found = decoder.answer(prompt, sets, depth)
        surprise = divergence(whole.logs, found.logs)
        frozen, true = views[depth].errors(sets)
        for row, kept in enumerate(sets):
            answered[depth, kept.tobytes()] = (bits(found.right[row]), surprise[row], frozen[row], true[row])
    closed = _repacked(decoder, prompt, families["max-min"][1])
    rows = []
    for name, (depth, family) in families.items():
        for each in family.sets:
            right, surprise_, frozen_, true_ = answered[depth, each.kept.tobytes()]
            away, mean = radius(each.kept)
            rows.append(
                SetRecord(
                    family=name,
                    name=each.name,
                    value=each.value,
                    radius=away,
                    cover=mean,
                    seen=exam.seen(each.kept),
                    frozen=frozen_,
                    true=true_,
                    divergence=surprise_,
                    right=right,
                    repacked=closed.get(each.name, "") if name == "max-min" else "",
                )
            )
    return Record(
        image=image,
        k=k,
        kinds=exam.kinds,
        whole=bits(whole.right[0]),
        blind=bits(blind.right[0]),
        problems={
            name: {
                "best": family.best,
                "bound": family.bound,
                "proved": family.proved,
                "floor": family.floor,
                "slack": family.slack,
            }
            for name, (_, family) in families.items()
        },
        sets=rows,
        seconds=time.process_time() - started,
    )


def _sparse(seen: Any, image: int) -> Family:
    """Log det on the tokens of every second row and column; sets of tokens of the whole picture."""
    places = np.arange(TOKENS).reshape(GRID, GRID)[::2, ::2].ravel()
    problem = ConditionalDPP.from_features(seen[places], design.SPARSE_BUDGET)
    draws = random_sets(len(places), design.SPARSE_BUDGET, image)
    return build_family(design.SPARSE, problem, draws, image).at(places)


def _by_size(families: Iterable[tuple[int, Family]]) -> Iterable[tuple[int, Int]]:
    """(layer, (S, k) distinct sets) for every layer and k."""
    groups: dict[tuple[int, int], dict[bytes, Int]] = {}
    for depth, family in families:
        for each in family.sets:
            groups.setdefault((depth, len(each.kept)), {})[each.kept.tobytes()] = each.kept
    for (depth, _), sets in groups.items():
        yield depth, np.stack(list(sets.values()))


def _repacked(decoder: PackedDecoder, prompt: Any, family: Family) -> dict[str, str]:
    """What is right by name where positions close up, for the sets of `design.REPACKED`."""
    chosen = [each for each in family.sets if each.name.split("/")[0] in design.REPACKED]
    found = decoder.answer(prompt, np.stack([each.kept for each in chosen]), repack=True)
    return {each.name: bits(right) for each, right in zip(chosen, found.right, strict=True)}


def load_decoder(folder: Any) -> PackedDecoder:
    """Of a folder that `save_pretrained` wrote, in float32."""
    from transformers import AutoTokenizer, LlavaForConditionalGeneration

    llava = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    return PackedDecoder(llava, AutoTokenizer.from_pretrained(folder))

"""Training of the tiny model: packed questions do not see each other, labels are right, an interrupted run goes on the same."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("skimage")
pytest.importorskip("sklearn")

import torch

from lmm_integration.tiny.build import clip_model, llava_model
from lmm_integration.tiny.pictures import COLOURS, SHAPES, TOKENS
from lmm_integration.tiny.pixels import pixels_of
from lmm_integration.tiny.queries import KINDS, STEPS
from lmm_integration.tiny.scenes import COVERED, draw_scene
from lmm_integration.tiny.training import recipes
from lmm_integration.tiny.training.language import (
    Answering,
    LanguageRecipe,
    answer_losses,
    standardise,
)
from lmm_integration.tiny.training.loop import is_accuracy, schedule, train
from lmm_integration.tiny.training.packing import IGNORED, Packer
from lmm_integration.tiny.training.patch_losses import PictureLabels
from lmm_integration.tiny.training.recipes import EASY_THINGS, RUNS, THINGS
from lmm_integration.tiny.training.run import chain_of, export, train_language
from lmm_integration.tiny.training.tower import NOTHING, TowerLosses, TowerRecipe, labels_of, named_things, tower_batch
from lmm_integration.tiny.words import processor, tokenizer

ASKED = [("is there a red ring ?", "yes"), ("read the digits", "3 7"), ("what color is the cross ?", "blue")]


@pytest.fixture(scope="module")
def llava():
    torch.manual_seed(0)
    return llava_model(clip_model()).eval()


def all_of(images=1):
    return np.arange(TOKENS * images)


def scores(llava, batch, features):
    """(L, vocabulary) of a packed sample."""
    model = llava.model
    row = model.language_model.embed_tokens(batch.ids)
    row = torch.cat([row[:, :3], features[batch.kept[0]][None], row[:, 3 + len(batch.kept[0]) :]], dim=1)
    bias = torch.zeros(batch.visible.shape).masked_fill(~batch.visible, torch.finfo(torch.float32).min)
    states = model.language_model(
        inputs_embeds=row, attention_mask=bias, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    return llava.lm_head(states)[0]


@torch.no_grad()
def test_packed_questions_answer_as_if_alone(llava):
    packer = Packer(tokenizer())
    torch.manual_seed(1)
    features, kept = torch.randn(TOKENS, 128), np.sort(np.random.default_rng(0).permutation(TOKENS)[:9])
    together = packer.pack([ASKED], [kept], [np.array([0])], [False])
    found = scores(llava, together, features)[together.targets[0] != IGNORED]
    alone = []
    for pair in ASKED:
        single = packer.pack([[pair]], [kept], [np.array([0])], [False])
        alone.append(scores(llava, single, features)[single.targets[0] != IGNORED])
    torch.testing.assert_close(found, torch.cat(alone), atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_a_packed_question_is_the_prompt_of_the_processor(llava):
    rng = np.random.default_rng(3)
    scene = draw_scene("train", rng)
    question = ASKED[0][0]
    inputs = processor()(images=_pillow(scene), text=f"USER: <image>\n{question} ASSISTANT:", return_tensors="pt")
    batch = Packer(tokenizer()).pack([[ASKED[0]]], [all_of()], [np.array([0])], [False])
    torch.testing.assert_close(inputs["pixel_values"], pixels_of(scene.picture[None]), atol=1e-6, rtol=0)
    n = inputs["input_ids"].shape[1]
    assert inputs["input_ids"][0].tolist() == batch.ids[0, :n].tolist()
    assert batch.positions[0].tolist() == list(range(batch.ids.shape[1]))
    features = llava.model.multi_modal_projector(Answering(llava, False).visual(inputs["pixel_values"]))[0]
    torch.testing.assert_close(
        scores(llava, batch, features)[n - 1], llava(**inputs).logits[0, -1], atol=1e-4, rtol=1e-4
    )


def _pillow(scene):
    from PIL import Image

    return Image.fromarray(scene.picture)


def test_positions_of_several_pictures():
    packer = Packer(tokenizer())
    kept, starts = np.array([0, 5, TOKENS + 2]), np.array([2 * TOKENS, 7 * TOKENS])
    batch = packer.pack([ASKED[:1]] * 2, [kept] * 2, [starts] * 2, [False, True])
    own, close = batch.positions[:, 3:6].tolist()
    assert own == [3 + 512, 3 + 517, 3 + 7 * TOKENS + 2]
    assert close == [3, 4, 5]
    assert batch.positions[:, 6].tolist() == [3 + 8 * TOKENS, 6]


def test_targets_are_the_words_of_the_answer_and_the_end():
    words = tokenizer()
    batch = Packer(words).pack([ASKED], [all_of()[:4]], [np.array([0])], [True])
    targets = [int(t) for t in batch.targets[0] if t != IGNORED]
    assert words.convert_ids_to_tokens(targets) == ["yes", "</s>", "3", "7", "</s>", "blue", "</s>"]
    of = batch.question[0][batch.targets[0] != IGNORED].tolist()
    assert of == [0, 0, 1, 1, 1, 2, 2]
    before = batch.ids[0][(batch.targets[0] != IGNORED).nonzero()[0]]
    assert words.convert_ids_to_tokens(before.tolist()) == [":"]


def test_labels_name_what_a_patch_shows():
    rng = np.random.default_rng(4)
    for _ in range(10):
        scene = draw_scene("train", rng)
        concepts = [("red", None, None), (None, None, "any"), (None, "ring", None)]
        labels = labels_of(scene, concepts)
        for thing in scene.things:
            here = int(thing.y // 8) * 16 + int(thing.x // 8)
            if scene.cover[:, here].max() <= 0.2:
                continue
            if thing.shape:
                assert labels["colour"][here] == list(COLOURS).index(thing.colour)
                assert labels["shape"][here] == SHAPES.index(thing.shape)
                assert labels["patch"][here, 0] == (thing.colour == "red")
            elif thing.digit is not None:
                assert labels["digit"][here] == thing.digit
                assert labels["patch"][here, 1] == 1
        bare = scene.cover.max(0) == 0
        assert (labels["colour"][bare] == len(COLOURS)).all()
        assert (labels["digit"][bare] == NOTHING).all()
        assert labels["image"][0] == any(t.colour == "red" for t in scene.things)


@pytest.mark.parametrize("labels", [True, False])
def test_the_first_stage_has_the_losses_of_its_tower(labels):
    torch.manual_seed(0)
    recipe = TowerRecipe(labels=labels, steps=1, batch=2, texts=8)
    found = TowerLosses(clip_model(), labels)(*tower_batch(recipe, np.random.default_rng(0), tokenizer()))
    minimised = {name for name in found if not is_accuracy(name)}
    own = {"patch", "colour"} if labels else {"pooled"}
    assert minimised == {"image", "place_row", "place_column", "shape", "digit"} | own
    assert all(torch.isfinite(found[name]) for name in minimised)


def test_places_of_patches_are_told_from_the_states_alone():
    """The loss reaches the tower up to the layer that the projector reads, and falls to 0 where they are told right."""
    torch.manual_seed(0)
    module = TowerLosses(clip_model(), labels=False)
    batch = tower_batch(TowerRecipe(labels=False, steps=1, batch=2, texts=8), np.random.default_rng(0), tokenizer())
    found = module(*batch)
    (found["place_row"] + found["place_column"]).backward()
    layers = module.clip.vision_model.encoder.layers
    assert layers[-2].mlp.fc1.weight.grad.any()
    assert layers[-1].mlp.fc1.weight.grad is None
    assert found["place_row"] > 0.3 * 2  # 16 rows, of which nothing is known yet


def test_the_soft_maximum_over_patches_is_image_level():
    """It reaches the tower through the patches, knows no label of a patch, and lies above every patch."""
    torch.manual_seed(0)
    module = TowerLosses(clip_model(), labels=False)
    batch = tower_batch(TowerRecipe(labels=False, steps=1, batch=2, texts=8), np.random.default_rng(0), tokenizer())
    for name in ("patch", "colour", "shape", "digit"):
        del batch[3][name]
    found = module(*batch, named=False)
    assert {name for name in found if not is_accuracy(name)} == {"image", "place_row", "place_column", "pooled"}
    found["pooled"].backward()
    layers = module.clip.vision_model.encoder.layers
    assert layers[-2].mlp.fc1.weight.grad.any()
    assert layers[-1].mlp.fc1.weight.grad is None


def test_things_are_named_where_a_text_finds_them():
    """Of a tower without labels: what is right follows from the picture, and only where one shape has the colour."""
    rng = np.random.default_rng(2)
    scenes = [draw_scene("train", rng) for _ in range(6)]
    truth = named_things(scenes)
    for picture, text, shape in truth["named_shape"].tolist():
        assert {t.shape for t in scenes[picture].things if t.colour == list(COLOURS)[text] and t.shape} == {
            SHAPES[shape]
        }
    for picture, text, digit in truth["named_digit"].tolist():
        assert text == len(COLOURS)
        assert [t.digit for t in scenes[picture].things if t.digit is not None] == [digit]
    assert len(truth["named_shape"])
    assert len(truth["named_digit"])
    module, width = PictureLabels(4), 4
    states, logits = torch.zeros(1, TOKENS, width), torch.full((1, TOKENS, 2), -5.0)
    states[0, 9], logits[0, 9, 1] = torch.tensor([3.0, 0, 0, 0]), 40.0
    with torch.no_grad():
        module.heads["shape"].weight.zero_()
        module.heads["shape"].weight[2, 0] = 5.0
    rows = {
        "image": torch.ones(1, 2),
        "named_shape": torch.tensor([[0, 1, 2]]),
        "named_digit": torch.zeros(0, 3).long(),
    }
    found = module(states, logits, rows, named=True)
    assert found["shape_right"] == 1
    assert found["digit"] == 0


def test_some_pictures_of_the_first_stage_have_more_cards_or_fewer_things():
    """As the recipe says: cards beyond what a task has, and pictures with little in them."""
    shown = {}
    for name, shares in (
        ("plain", {"sparse": 0.0}),
        ("written", {"sparse": 0.0, "written": 1.0}),
        ("few", {"sparse": 1.0}),
    ):
        recipe = TowerRecipe(True, 1, batch=12, texts=2, **shares)
        truth = tower_batch(recipe, np.random.default_rng(0), tokenizer())[3]
        shown[name] = [
            int(((truth[what] >= 0) & (truth[what] < end)).sum()) for what, end in (("digit", 10), ("shape", 5))
        ]
    assert shown["written"][0] > 1.8 * shown["plain"][0]
    assert shown["few"][1] < 0.6 * shown["plain"][1]


def test_the_projector_starts_from_standardised_states():
    torch.manual_seed(0)
    model = llava_model(clip_model())
    layer = model.model.multi_modal_projector.linear_1
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    standardise(model, pictures=4)
    rng = np.random.default_rng(0)
    pixels = pixels_of(np.stack([draw_scene("train", rng).picture for _ in range(4)]))
    with torch.no_grad():
        states = Answering(model, False).visual(pixels).flatten(0, 1)
        expected = (states - states.mean(0)) / states.std(0) @ weight.T + bias
        torch.testing.assert_close(layer(states), expected, atol=1e-4, rtol=1e-4)


def test_the_easy_start_keeps_what_shows_something(monkeypatch):
    from lmm_integration.tiny.training import language

    drawn, packed = [], []

    def draw(split, rng, **options):
        scene = draw_scene(split, rng, **options)
        drawn.append(scene)
        return scene

    monkeypatch.setattr(language, "draw_scene", draw)
    recipe = LanguageRecipe(
        "robust", steps=2, shares=THINGS, batch=3, questions=6, several=0.0, easy=1, easy_shares=EASY_THINGS
    )
    losses = answer_losses(recipe, lambda pixels, of, batch, kinds: packed.append((batch, kinds)), tokenizer())
    losses(np.random.default_rng(0), 0)
    (batch, kinds) = packed[0]
    assert set(kinds) <= set(EASY_THINGS)
    for scene, kept in zip(drawn, batch.kept, strict=True):
        shown = (scene.cover > COVERED).any(0)
        assert set(np.flatnonzero(shown)) <= set(kept.tolist())
        assert len(kept) - shown.sum() < 0.2 * (TOKENS - shown.sum())
    drawn.clear()
    losses(np.random.default_rng(1), 1)
    assert min(len(kept) for kept in packed[1][0].kept) >= 0.3 * TOKENS - 1


def test_pruned_samples_can_lose_background_above_all(monkeypatch):
    """All of them with `things` at 1: half of the background at most is left, and more of the things than of it."""
    from lmm_integration.tiny.training import language

    drawn, packed = [], []

    def draw(split, rng, **options):
        drawn.append(draw_scene(split, rng, **options))
        return drawn[-1]

    monkeypatch.setattr(language, "draw_scene", draw)
    recipe = LanguageRecipe("robust", steps=1, shares=THINGS, batch=3, questions=4, several=0.0, things=1.0)
    losses = answer_losses(recipe, lambda pixels, of, batch, kinds: packed.append(batch), tokenizer())
    for seed in range(6):
        losses(np.random.default_rng(seed), 0)
    of_things, of_others = [], []
    for scene, kept in zip(drawn, [kept for batch in packed for kept in batch.kept], strict=True):
        if len(kept) < TOKENS:
            shown = (scene.cover > COVERED).any(0)
            left = np.isin(np.arange(TOKENS), kept)
            of_things.append(left[shown].mean())
            of_others.append(left[~shown].mean())
    assert 0 < len(of_things) < len(drawn)
    assert max(of_others) < 0.6
    assert np.mean(of_things) > 0.55 > 0.35 > np.mean(of_others)


def test_every_kind_is_asked_in_training_and_no_unknown_one():
    for run in RUNS.values():
        assert set(run.language.shares) - set(STEPS) == set(KINDS)
        assert set(run.language.easy_shares) <= {*KINDS, *STEPS}
        assert bool(run.language.easy) == bool(run.language.easy_shares)
        assert sum(run.language.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("regime", ["plain", "robust"])
def test_the_second_stage_reaches_every_weight_but_the_tower(llava, regime):
    recipe = LanguageRecipe(regime, steps=1, shares=THINGS, batch=2, questions=4)
    module = Answering(llava, tune_tower=False)
    losses = answer_losses(recipe, module, tokenizer())
    found = losses(np.random.default_rng(0), 0)
    found["answer"].backward()
    without = [name for name, weight in llava.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert all("vision_tower" in name for name in without)
    llava.zero_grad()
    assert 0 <= found["right"] <= 1


def test_emphasis_weighs_the_answers_of_a_kind(llava):
    """With all weight on one kind the loss is that of a batch which asks nothing else."""
    rng = np.random.default_rng(0)
    pixels = pixels_of(draw_scene("train", rng).picture[None])
    asked = [("how many rings ?", "2"), ("read the digits", "3 7")]

    def loss(questions, kinds, **emphasis):
        batch = Packer(tokenizer()).pack([questions], [all_of()], [np.zeros(1, int)], [True])
        with torch.no_grad():
            return Answering(llava, False, emphasis)(pixels, [1], batch, kinds)["answer"]

    only, both = loss(asked[1:], ["digits"]), loss(asked, ["count", "digits"])
    torch.testing.assert_close(loss(asked, ["count", "digits"], count=0.0), only)
    heavy = loss(asked, ["count", "digits"], digits=3.0)
    assert min(only, both) < heavy < max(only, both)


def test_some_batches_have_several_pictures(llava):
    recipe = LanguageRecipe("robust", steps=1, shares=THINGS, batch=4, questions=3, several=1.0)
    losses = answer_losses(recipe, Answering(llava, tune_tower=False), tokenizer())
    assert "several_right" in losses(np.random.default_rng(0), 0)


def regression(folder, steps, until=None):
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 1)

    def losses(rng, step):
        if step == until:
            raise KeyboardInterrupt
        x = torch.from_numpy(rng.standard_normal((8, 3)).astype(np.float32))
        return {"square": ((module(x) - x.sum(1, keepdim=True)) ** 2).mean(), "right": torch.tensor(0.5)}

    said = []
    train(module, losses, steps=steps, rate=0.01, decay=0.0, warmup=5, seed=1, folder=folder, say=said.append)
    return module.weight.detach().clone(), said


def test_an_interrupted_training_goes_on_as_if_it_had_not_been(tmp_path):
    whole, said = regression(tmp_path / "whole", 600)
    with pytest.raises(KeyboardInterrupt):
        regression(tmp_path / "cut", 600, until=423)
    resumed, _ = regression(tmp_path / "cut", 600)
    torch.testing.assert_close(resumed, whole, rtol=0, atol=0)
    assert json.loads(said[-1])["step"] == 600
    assert json.loads(said[-1])["square"] < json.loads(said[0])["square"]


def test_a_part_of_a_run_is_its_beginning(tmp_path, monkeypatch):
    """A run that starts from a step of another takes the language model it had there, and trains no further."""
    small = LanguageRecipe("plain", steps=4, shares=THINGS, batch=1, questions=2)
    monkeypatch.setitem(recipes.TOWERS, "small", TowerRecipe(labels=False, steps=1, batch=1, texts=2))
    monkeypatch.setitem(recipes.RUNS, "first", recipes.Run("small", small))
    monkeypatch.setitem(recipes.RUNS, "second", recipes.Run("small", replace(small, steps=1), "first", after_step=2))
    quiet = {"say": lambda line: None}
    part, _ = train_language("first", 0, tmp_path, until=2, **quiet)
    head = part.lm_head.weight.clone()
    train_language("second", 0, tmp_path, **quiet)
    assert torch.load(tmp_path / "first-0-to-2" / "checkpoint.pt", weights_only=True)["step"] == 2
    assert not (tmp_path / "first-0").exists()
    whole, _ = train_language("first", 0, tmp_path, **quiet)
    assert not torch.equal(whole.lm_head.weight, head)
    assert list(chain_of("second")) == [("first", 2), ("second", None)]
    export("second", 0, tmp_path, tmp_path / "folder", **quiet)
    log = [json.loads(line) for line in (tmp_path / "folder" / "language_log.jsonl").read_text().splitlines()]
    assert [(line["run"], line["step"]) for line in log] == [("first", 2), ("second", 1)]
    lines = [
        (tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("first-0-to-2", "second-0", "first-0")
    ]
    assert [json.loads(log[-1])["step"] for log in lines] == [2, 1, 4]


def test_a_tuned_tower_goes_into_the_runs_that_follow(tmp_path, monkeypatch):
    """Through a run that leaves it as it is, and into the CLIP model of the folder; another tower takes none."""
    small = LanguageRecipe("plain", steps=1, shares=THINGS, batch=1, questions=2, warmup=1)
    for name in ("small", "other"):
        monkeypatch.setitem(recipes.TOWERS, name, TowerRecipe(labels=False, steps=1, batch=1, texts=2))
    monkeypatch.setitem(recipes.RUNS, "tuned", recipes.Run("small", replace(small, tower_scale=0.5)))
    monkeypatch.setitem(recipes.RUNS, "next", recipes.Run("small", small, "tuned"))
    monkeypatch.setitem(recipes.RUNS, "last", recipes.Run("small", small, "next"))
    monkeypatch.setitem(recipes.RUNS, "apart", recipes.Run("other", small, "tuned"))
    quiet = {"say": lambda line: None}

    def weights(model):
        return model.model.vision_tower.state_dict()

    tuned, clip = train_language("tuned", 0, tmp_path, **quiet)
    expected = weights(tuned)
    name = next(key for key in expected if key.endswith("q_proj.weight"))
    base = clip.vision_model.state_dict()[name.removeprefix("vision_model.")]
    assert not torch.equal(expected[name], base)
    last, _ = train_language("last", 0, tmp_path, **quiet)
    assert all(torch.equal(expected[key], value) for key, value in weights(last).items())
    apart, _ = train_language("apart", 0, tmp_path, **quiet)
    assert torch.equal(weights(apart)[name], base)
    export("last", 0, tmp_path, tmp_path / "folder", **quiet)
    saved = type(clip).from_pretrained(tmp_path / "folder" / "clip").vision_model.state_dict()
    assert torch.equal(saved[name.removeprefix("vision_model.")].half(), expected[name].half())


def test_the_rate_rises_and_falls():
    rates = [schedule(step, 100, 10) for step in range(100)]
    assert rates[0] < rates[5] < rates[9]
    assert max(rates) <= 1
    assert rates[9] > rates[50] > rates[99] > 0.03


def test_export_makes_a_folder_that_loads(tmp_path, monkeypatch):
    from lmm_integration.model_files import load_model
    from lmm_integration.relevance import ClipRelevance

    tower = TowerRecipe(labels=False, steps=1, batch=1, texts=2)
    run = recipes.Run("small", LanguageRecipe("plain", steps=1, shares=THINGS, batch=1, questions=2))
    monkeypatch.setitem(recipes.TOWERS, "small", tower)
    monkeypatch.setitem(recipes.RUNS, "small", run)
    export("small", 0, tmp_path / "out", tmp_path / "folder", say=lambda line: None)
    loaded = load_model(str(tmp_path / "folder"))
    assert loaded.model.dtype == torch.float16
    assert loaded.model.config.image_seq_length == TOKENS
    relevance = ClipRelevance.from_pretrained(str(tmp_path / "folder" / "clip"), sign=1)
    patches = torch.randn(1, TOKENS, 128)
    assert relevance(patches, "is there a red ring ?").shape == (1, TOKENS)
    assert json.loads((tmp_path / "folder" / "recipe.json").read_text())["run"] == "small"
    sizes = [path.stat().st_size for path in (tmp_path / "folder").rglob("*.safetensors")]
    assert sum(sizes) < 12e6

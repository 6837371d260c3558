"""The scenes and questions of the tiny model: answers follow from what is drawn, splits share nothing, chance is chance."""

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("skimage")
pytest.importorskip("sklearn")
pytest.importorskip("PIL")

from lmm_integration.tiny.pictures import (
    COLOURS,
    DIGITS,
    PHOTOS,
    SHAPES,
    SPLITS,
    TOKENS,
    clutter,
    handwriting,
    handwritten,
    outline,
)
from lmm_integration.tiny.queries import KINDS as OF_ONE
from lmm_integration.tiny.queries import Query, ask, matching
from lmm_integration.tiny.questions import KINDS, calibration_questions, draw_questions, test_questions
from lmm_integration.tiny.scenes import Thing, draw_scene
from lmm_integration.tiny.several import ask_several
from lmm_integration.tiny.texts import HELD_OUT_PAIRS, random_text, shows


def scenes(n, split="train", **options):
    rng = np.random.default_rng(5)
    return [draw_scene(split, rng, **options) for _ in range(n)]


def test_things_keep_clear_of_each_other():
    for scene in scenes(20):
        for i, a in enumerate(scene.things):
            assert all(max(abs(a.x - b.x), abs(a.y - b.y)) >= 12 for b in scene.things[:i])


def test_cover_is_where_the_things_are():
    for scene in scenes(20):
        assert scene.cover.shape == (len(scene.things), TOKENS)
        for thing, share in zip(scene.things, scene.cover, strict=True):
            y, x = np.divmod(np.arange(TOKENS), 16)
            centre = np.array([share @ (8 * x + 4), share @ (8 * y + 4)]) / share.sum()
            assert abs(centre - (thing.x, thing.y)).max() < 4


def test_cover_adds_up_to_the_area():
    for scene in scenes(5, shapes=(0, 0), digits=(2, 2), extras=(0, 0)):
        np.testing.assert_allclose(64 * scene.cover.sum(1), 256)


def test_a_shape_has_its_colour_in_the_picture():
    seen = set()
    for scene in scenes(30):
        for thing in matching(scene.things, (None, "square")):
            pixel = scene.picture[int(thing.y), int(thing.x)].astype(float)
            assert thing.colour == min(COLOURS, key=lambda c: np.linalg.norm(pixel - np.array(COLOURS[c])))
            seen.add(thing.colour)
    assert seen == set(COLOURS)


def test_one_colour_and_one_shape_occur_once():
    for scene in scenes(40):
        colours = Counter(t.colour for t in scene.things if t.shape)
        shapes = Counter(t.shape for t in scene.things if t.shape)
        assert 1 in colours.values()
        assert 1 in shapes.values()


def test_splits_share_neither_photos_nor_handwriting():
    names = [name for split in SPLITS for name in PHOTOS[split]]
    assert len(names) == len(set(names))
    pages = [set(range(1797)[DIGITS[split]]) for split in SPLITS]
    assert len(set.union(*pages)) == sum(map(len, pages)) == 1797
    assert [len(handwriting(split)[1]) for split in SPLITS] == [len(page) for page in pages]


def test_handwriting_is_bent_in_training_alone():
    """As it stands on the page elsewhere; in training another time another shape, of about as much ink."""
    for split in SPLITS:
        ink, written = handwriting(split)
        rng = np.random.default_rng(3)
        drawn = [handwritten(split, rng) for _ in range(40)]
        as_written = [any(np.array_equal(page, other) for other in ink[written == digit]) for page, digit in drawn]
        if split == "train":
            assert not any(as_written)
            assert np.mean([page.mean() for page, _ in drawn]) == pytest.approx(ink.mean(), rel=0.15)
            assert all(page.shape == (16, 16) and page.min() >= 0 and page.max() <= 1 for page, _ in drawn)
        else:
            assert all(as_written)


THINGS = (
    Thing(20, 20, "red", "ring"),
    Thing(60, 24, "red", "square"),
    Thing(20, 90, "blue", "cross"),
    Thing(90, 90, digit=7),
    Thing(40, 64, digit=3),
    Thing(100, 20),
)


@pytest.mark.parametrize(
    ("query", "text", "answer"),
    [
        (Query("exist", ("red", "ring")), "is there a red ring ?", "yes"),
        (Query("exist", ("blue", "ring")), "is there a blue ring ?", "no"),
        (Query("count", ("red", None)), "how many red objects ?", "2"),
        (Query("count", (None, "cross")), "how many crosses ?", "1"),
        (Query("count", (None, "circle")), "how many circles ?", "0"),
        (Query("color", (None, "cross")), "what color is the cross ?", "blue"),
        (Query("shape", ("blue", None)), "what shape is the blue object ?", "cross"),
        (Query("shape", ("red", None)), "what shape is the red object ?", None),
        (Query("relation", ("red", "ring"), ("red", "square"), "x"), "is the red ring left of the red square ?", "yes"),
        (Query("relation", ("blue", "cross"), ("red", "ring"), "y"), "is the blue cross above the red ring ?", "no"),
        (Query("relation", ("red", "ring"), ("red", "square"), "y"), "is the red ring above the red square ?", None),
        (Query("digits"), "read the digits", "3 7"),
    ],
)
def test_answers(query, text, answer):
    assert (query.text, query.answer(THINGS)) == (text, answer)


@pytest.mark.parametrize("kind", OF_ONE)
def test_asked_questions_have_the_answer_they_come_with(kind):
    rng = np.random.default_rng(1)
    found = [(scene, ask(kind, scene.things, rng)) for scene in scenes(30)]
    answered = [(scene, *pair) for scene, pair in found if pair is not None]
    assert len(answered) > 10
    assert all(query.answer(scene.things) == right for scene, query, right in answered)


@pytest.mark.parametrize("kind", ["exist", "color", "shape", "digits"])
def test_several_pictures_have_the_answer_of_the_one_that_matters(kind):
    rng = np.random.default_rng(2)
    for images in (1, 2, 7):
        found = None
        while found is None:
            found = ask_several("test", images, rng, kind)
        pictures, query, right = found
        assert len(pictures) == images
        distinct = {id(scene): scene for scene in pictures}.values()
        assert query.answer([thing for scene in distinct for thing in scene.things]) == right


def test_questions_are_balanced_so_that_a_blind_guess_gains_nothing():
    drawn = test_questions(7 * 60)
    for kind, chance in (("exist", 2), ("relation", 2), ("count", 5), ("color", 6), ("shape", 5)):
        counts = Counter(q.answer for q in drawn if q.kind == kind)
        assert len(counts) == chance
        assert max(counts.values()) == min(counts.values()) == 60 // chance
    digits = Counter(q.answer for q in drawn if q.kind == "digits")
    assert max(digits.values()) <= 9


def test_questions_are_deterministic_and_a_smaller_limit_is_the_beginning():
    many, few = test_questions(40, seed=3), test_questions(15, seed=3)
    assert [(q.id, q.question, q.answer) for q in few] == [(q.id, q.question, q.answer) for q in many[:15]]
    assert all(
        np.array_equal(np.asarray(a.images[0]), np.asarray(b.images[0])) for a, b in zip(few, many, strict=False)
    )
    assert [q.id for q in test_questions(15, seed=4)] != [q.id for q in few]
    assert len({q.id for q in many}) == 40


def test_scenes_with_few_things_show_fewer_and_are_told_apart():
    task, few = test_questions(24, kinds=OF_ONE), test_questions(24, kinds=OF_ONE, scenes="few")
    shown = [np.mean([q.facts["objects"].sum() for q in drawn]) for drawn in (few, task)]
    assert shown[0] < 0.7 * shown[1]
    assert not {q.id for q in task} & {q.id for q in few}
    assert [q.kind for q in task] == [q.kind for q in few]
    with pytest.raises(ValueError, match="scenes must be one of task, few, got 'many'"):
        test_questions(1, scenes="many")


def test_calibration_and_test_differ():
    a, b = calibration_questions(14), test_questions(14)
    assert not {q.group for q in a} & {q.group for q in b}


def test_kinds_take_turns():
    assert [q.kind for q in test_questions(9)] == [*KINDS, *KINDS[:2]]
    assert {q.kind for q in test_questions(6, kinds=("digits", "count"))} == {"digits", "count"}


def test_facts_say_where_the_objects_are():
    for question in draw_questions("validation", 14, 0, None):
        assert question.facts["objects"].shape == (TOKENS * len(question.images),)
        assert question.facts["objects"].any()


def test_the_text_tower_never_meets_held_out_pairs():
    rng = np.random.default_rng(0)
    assert all(colour in COLOURS and shape in SHAPES for colour, shape in HELD_OUT_PAIRS)
    named = {concept[:2] for concept, _ in (random_text(rng) for _ in range(5000))}
    assert not named & set(HELD_OUT_PAIRS)
    assert len(named) == len(COLOURS) * len(SHAPES) - len(HELD_OUT_PAIRS) + len(COLOURS) + len(SHAPES) + 1


def test_what_a_text_names():
    assert shows(THINGS[0], ("red", None, None))
    assert not shows(THINGS[3], ("red", None, None))
    assert shows(THINGS[3], (None, None, "7"))
    assert not shows(THINGS[5], (None, None, "any"))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: test_questions(3, kinds=("colour",)), "kinds must be of exist"),
        (lambda: test_questions(-1), ">= 0, got -1"),
        (lambda: ask("size", THINGS, np.random.default_rng(0)), "kind must be one of exist"),
        (lambda: outline("star", 12, 0), "shape must be one of circle"),
        (lambda: clutter("star", "train", np.random.default_rng(0)), "clutter must be one of scribble"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_shapes_differ():
    drawn = [outline(shape, 16, 0) for shape in SHAPES]
    assert all(abs(a - b).mean() > 0.05 for i, a in enumerate(drawn) for b in drawn[:i])

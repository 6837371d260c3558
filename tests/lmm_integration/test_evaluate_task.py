"""Tasks as files: what is written is read back, and a wrong file names its line."""

import json

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("torch")

from lmm_integration.evaluate.accuracy.task import Question, check_ids, normalised, read_task, write_task  # noqa: E402


def picture(seed):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 255, (8, 10, 3), dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    picture(0).save(tmp_path / "a.png")
    return tmp_path


def line(**change):
    return json.dumps({"images": ["a.png"], "question": "what is it ?", "answer": "cat", **change})


def write(folder, *lines):
    (folder / "task.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "task.jsonl"


def test_what_is_written_is_read_back(tmp_path):
    shared = picture(1)
    questions = [
        Question("q0", (shared,), "what is it ?", "a red cat", kind="shape", group="scene 1"),
        Question("q1", (shared, picture(2)), "how many ?", "two", group="scene 1"),
        Question("q2", (picture(3),), "ä ?", "blue"),
    ]
    back = read_task(write_task(questions, tmp_path))
    for one, other in zip(questions, back, strict=True):
        assert [getattr(one, n) for n in ("id", "question", "answer", "kind", "group")] == [
            getattr(other, n) for n in ("id", "question", "answer", "kind", "group")
        ]
        for before, path in zip(one.images, other.images, strict=True):
            with Image.open(path) as after:
                assert np.array_equal(np.asarray(before), np.asarray(after))
    assert back[0].images[0] == back[1].images[0]  # the shared picture is one file
    again = read_task(write_task(back, tmp_path / "again"))
    assert [len(q.images) for q in again] == [1, 2, 1]
    assert len(list((tmp_path / "again").glob("*.png"))) == 3


def test_what_may_be_missing(folder):
    first, second = read_task(write(folder, line(), "", line(kind="colour", id="x", group="g")))
    assert (first.id, first.kind, first.group) == ("1", "all", "a.png")
    assert (second.id, second.kind, second.group) == ("x", "colour", "g")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "line 2: Expecting"),
        ("[1]", "line 2: an object is needed, got list"),
        (line(picture="a"), "line 2: unknown key 'picture'"),
        (line(images=["b.png"]), "line 2: there is no picture at"),
        (line(images="a.png"), "line 2: images must be a list of paths"),
        (line(images=[]), "line 2: images must name one picture"),
        (line(answer=3), "line 2: answer must be a text, got 3"),
        (line(question=" "), "line 2: question must not be empty"),
        ('{"images": ["a.png"], "question": "what ?"}', "line 2: answer is missing"),
        (line(id="1"), "line 2: the id '1' stands in line 1 already"),
    ],
)
def test_a_wrong_file_names_its_line(folder, wrong, said):
    with pytest.raises(ValueError, match=r"task\.jsonl, line 2") as error:
        read_task(write(folder, line(), wrong))
    assert said in str(error.value)


def test_bytes_that_are_no_text_name_their_line(folder):
    (folder / "task.jsonl").write_bytes(line().encode() + b"\n\xff\xfe{\n")
    with pytest.raises(ValueError, match="line 2"):
        read_task(folder / "task.jsonl")


def test_an_empty_file_is_no_task(folder):
    with pytest.raises(ValueError, match="holds no question"):
        read_task(write(folder, ""))


def test_ids_are_unique():
    question = Question("a", ("a.png",), "what ?", "cat")
    with pytest.raises(ValueError, match="'a' twice"):
        check_ids([question, question])


def test_answers_are_compared_plainly():
    assert normalised(" Yes.\n") == normalised("yes") == "yes"
    assert normalised("3 1") != normalised("31")

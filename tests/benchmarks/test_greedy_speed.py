"""The greedy benchmark judges answers rightly, refuses ratios of different answers, and shows what it measured."""

import json
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

pytest.importorskip("torch", reason="the published loops are torch")
pytest.importorskip("skimage", reason="photo tokens need scikit-image")

from benchmarks import greedy_choice, greedy_page, greedy_speed
from benchmarks.greedy_calls import picks_of
from benchmarks.greedy_cases import Case, cases
from benchmarks.greedy_check import same_answer, shortfall
from benchmarks.greedy_contenders import CONTENDERS, OURS
from benchmarks.greedy_inputs import EQUAL, KINDS, Sample, sample
from benchmarks.greedy_measure import measure
from benchmarks.greedy_targets import TARGETS, met, target_table
from benchmarks.paired import paired
from solvers.farthest_first import naive as farthest_first_naive
from solvers.greedy_map import naive as greedy_map_naive
from solvers.rank1 import mmr_naive

SMALL = sample("clustered", 120, 32)
NAIVE = {
    "max-min": lambda one, k: farthest_first_naive.farthest_first(one.X, k),
    "dpp": lambda one, k: greedy_map_naive.greedy_map(one.X, k, relevance=one.relevance),
    "mmr": lambda one, k: mmr_naive.mmr(one.K, one.V, k),
}


@pytest.mark.parametrize("algorithm", NAIVE)
def test_the_checker_knows_the_best_token_of_each_step(algorithm):
    """The naive solver misses nothing; two picks in the wrong order, a stranger and a repetition do."""
    picks = NAIVE[algorithm](SMALL, 12)
    assert shortfall(algorithm, SMALL, picks) < 1e-9
    swapped = picks[[0, 2, 1, *range(3, 12)]]
    stranger = next(i for i in range(120) if i not in picks)
    for wrong in (swapped, [*picks[:5], stranger, *picks[6:]]):
        assert shortfall(algorithm, SMALL, np.array(wrong)) > 1e-4
    assert shortfall(algorithm, SMALL, np.array([*picks[:5], *picks[:5]])) == np.inf
    assert not same_answer(algorithm, SMALL, picks, swapped)


def test_copies_may_stand_for_each_other():
    """Two sequences that differ by a choice among equal tokens are the same answer."""
    twice = Sample(*(np.concatenate([part, part]) for part in (SMALL.X, SMALL.relevance, SMALL.K, SMALL.V)))
    picks = NAIVE["mmr"](twice, 8)
    assert same_answer("mmr", twice, picks, (picks + 120) % 240)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of submodlib's imports
@pytest.mark.parametrize("contender", [each for each in CONTENDERS if each.name != OURS], ids=lambda each: each.name)
def test_every_peer_answers_the_question(contender):
    """On small tokens every peer gives the answer of the naive solver; submodlib's max-min rule is known to be another."""
    if contender.requires and find_spec(contender.requires) is None:
        pytest.skip(f"{contender.requires} is not installed")
    algorithm = contender.algorithm.partition(",")[0]
    samples, k = [SMALL, sample("iid", 120, 32)], 10
    expected = np.stack([NAIVE[algorithm](each, k) for each in samples])
    answer = picks_of(contender.prepare(samples, k, expected[:, 0].tolist())())
    same = [same_answer(algorithm, *row) for row in zip(samples, expected, answer, strict=True)]
    assert all(same) != ((contender.name, algorithm) == ("submodlib", "max-min"))


@pytest.mark.skipif(find_spec("solvers.farthest_first.cpu") is None, reason="there is no compiled door")
def test_a_ratio_needs_the_same_answer(monkeypatch):
    """A peer with another answer gets words in place of a ratio; ours with a wrong answer stops the case."""
    case = Case("max-min", "iid", 90, 16, 6)
    peers = [each for each in CONTENDERS if each.algorithm == "max-min" and each.name in (OURS, "numpy")]
    ours, numpy_peer = peers
    wrong = replace(numpy_peer, name="wrong", prepare=lambda samples, k, first: lambda: [np.arange(k)])
    monkeypatch.setattr("benchmarks.greedy_measure.CONTENDERS", (ours, numpy_peer, wrong))
    row = measure(case, seconds=0.01)
    assert row["peers"]["numpy"]["ratio"] == row["ratio"] > 0
    assert row["best_peer"] == "numpy"
    assert set(row["peers"]["wrong"]) == {"other_answer"}
    assert greedy_page.cell(row["peers"]["wrong"]).endswith("of 6 in common")
    monkeypatch.setattr("benchmarks.greedy_measure.CONTENDERS", (replace(wrong, name=OURS), numpy_peer))
    with pytest.raises(ValueError, match="off the best token of a step; nothing is timed"):
        measure(case, seconds=0.01)


def test_rounds_alternate_and_ratios_are_paired():
    """Both run once a round, the order changes, and the number of rounds keeps its limits."""
    order = []
    result = paired(lambda: order.append("a"), lambda: order.append("b"), seconds=0.0, least=4)
    assert "".join(order) == "abbaabba"
    assert result.rounds == 4
    assert paired(lambda: None, lambda: None, seconds=10.0, most=5).rounds == 5


def test_inputs_are_what_they_are_called():
    """The same numbers every time; half of the duplicates are copies; other sizes are refused."""
    for kind in KINDS:
        d = 576 if kind == EQUAL else 64
        one = sample(kind, 576, d, 1)
        again = sample.__wrapped__(kind, 576, d, 1)
        assert np.array_equal(one.X, again.X)
        assert one.X.dtype == one.relevance.dtype == np.float32
        assert 0 < one.relevance.min() <= one.relevance.max() <= 1
    assert 300 < len(np.unique(sample("duplicates", 576, 64).X, axis=0)) < 500
    with pytest.raises(ValueError, match="come in 576, 2880 or 6272, got n = 100"):
        sample("photo", 100, 64)
    with pytest.raises(ValueError, match="at most 64 orthogonal tokens of width 64, got n = 576"):
        sample(EQUAL, 576, 64)
    with pytest.raises(ValueError, match="kind must be one of"):
        sample("gaussian", 576, 64)


def test_resumed_results_keep_their_session(monkeypatch, tmp_path):
    """Rows point to the session they were measured in; equal sessions become one, those without rows go."""
    monkeypatch.setattr(greedy_speed, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(greedy_speed, "write_tables", lambda: None)
    empty = greedy_speed.load_results()
    assert empty["rows"] == {}
    greedy_speed.save_results(
        {
            "sessions": ["old", "none", "new", "old"],
            "first_call": {},
            "rows": {"a": {"session": 0}, "b": {"session": 2}, "c": {"session": 3}},
        }
    )
    data = greedy_speed.load_results()
    assert data["sessions"] == ["old", "new"]
    assert [data["sessions"][row["session"]] for row in data["rows"].values()] == ["old", "new", "old"]


def test_the_tables_of_the_documentation_are_those_of_the_results():
    """docs/_tables/greedy_speed_*.md are generated: `python -m benchmarks.greedy_speed --table`."""
    results = sorted(greedy_speed.RESULTS.parent.glob("greedy_speed_*.json"))
    tables = sorted(greedy_speed.TABLES.glob("greedy_speed_*.md"))
    assert [path.stem for path in results] == [path.stem for path in tables] != []
    for data, table in zip(results, tables, strict=True):
        assert table.read_text(encoding="utf-8") == greedy_page.page(greedy_speed.load_results(data))


def test_targets_are_judged_by_what_was_measured():
    """Each is about a case of the grid and one of its contenders; a ratio that was not written is no target met."""
    names = {case.name for case in cases()}
    for case, peer, least in TARGETS:
        assert f"{case}/one core" in names
        assert peer in {each.name for each in CONTENDERS if each.algorithm == case.partition("/")[0]}
        assert least > 1
    rows = {
        "mmr/photo/576x1024/k58/B1/one core": {
            "peers": {"torch": {"ratio": 24.9}, "retrieval style": {"other_answer": "3 tokens in common"}}
        },
        "dpp/photo/576x1024/k192/B1/one core": {"peers": {"as published": {"ratio": 10.0}}},
    }
    assert [(case[:3], least, ratio) for case, _, least, ratio in met(rows)] == [
        ("dpp", 10.0, 10.0),
        ("mmr", 25.0, 24.9),
    ]
    assert target_table(rows).startswith("1 of 2 targets")
    assert target_table({}) == ""


def test_every_case_is_a_row_of_its_own():
    """Names are unique, JSON types throughout, and every size of the grid has every algorithm."""
    everything = list(cases())
    assert len({case.name for case in everything}) == len(everything)
    assert {(case.n, case.algorithm) for case in everything} == {
        (n, algorithm) for n in (576, 2880, 6272) for algorithm in (*NAIVE, "max-min, distances given")
    }
    assert json.loads(json.dumps(vars(everything[0]))) == vars(everything[0])


def test_the_table_of_the_choice_is_that_of_the_results():
    """docs/_tables/greedy_choice_*.md are generated; names are unique, and every share has a column."""
    everything = list(greedy_choice.cases())
    assert len({case.name for case in everything}) == len(everything)
    results = sorted(greedy_choice.RESULTS.parent.glob("greedy_choice_*.json"))
    assert results
    for path in results:
        written = (greedy_choice.TABLES / f"{path.stem}.md").read_text(encoding="utf-8")
        assert written == greedy_choice.table(json.loads(path.read_text(encoding="utf-8")))


def test_one_case_of_the_choice():
    """Times of the choice and of both paths."""
    row = greedy_choice.measure(Case("max-min", "iid", 576, 64, 29))
    assert set(row["ms"]) == {"choice", "lazy", "Gram"}
    assert min(row["ms"].values()) > 0
    assert row["ratio"] > 0


def test_paths_that_differ_are_not_timed(monkeypatch):
    """The last path leaves out the most isolated token."""
    auto, lazy, _ = greedy_choice.DOORS["max-min"]

    def other(samples, k, first):
        return lambda: lazy(samples, k + 1, first)()[:, 1:]

    monkeypatch.setitem(greedy_choice.DOORS, "max-min", (auto, lazy, other))
    with pytest.raises(ValueError, match="the paths choose different tokens"):
        greedy_choice.measure(Case("max-min", "iid", 576, 64, 29))

"""The instance library: entries are checked, only improvements are taken over, and wrong claims are found."""

import sys
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the library knows the random ViT, which needs torch")

from benchmarks.instances import __main__ as command
from benchmarks.instances import library
from benchmarks.instances.library import check, entry_of, improved, read_index, write_index
from benchmarks.study.data import packed
from mmdp import CertificateError
from mmdp.certificates import ColouringCertificate, best_certificate, save
from mmdp.instances import load
from solvers import solve

NAME = "mdplib/gkd/30/0"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(library, "INDEX", tmp_path / "index.json")
    monkeypatch.setattr(library, "CERTIFICATES", tmp_path / "certificates")


def solved(k=6, method="exact"):
    problem = load(NAME).problem("max-min", k)
    answer = solve(problem, method)
    return problem, entry_of(NAME, problem, answer.kept, "test", answer.bound, "test")


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["instances", *arguments])
    return command.main()


def test_entries_survive_the_file():
    """Written and read, they are equal; another format is refused."""
    _, entry = solved()
    write_index({entry.key: entry})
    assert read_index() == {entry.key: entry}
    assert entry.optimal
    assert check(entry) == "value"
    library.INDEX.write_text('{"format": "other", "entries": []}')
    with pytest.raises(ValueError, match="has the format 'other', this version reads"):
        read_index()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": 99.0}, "the set has the value"),
        ({"chosen": packed([0, 1, 2, 3, 4], 30)}, "the set has 5 tokens, not 6"),
        ({"chosen": packed([0, 1, 2, 3, 4, 5], 30)}, "the set has the value"),
        ({"bound": 0.5}, "lies below the value"),
        ({"digest": "0123"}, "has the digest"),
        ({"certificate": "colouring"}, "No such file"),
    ],
)
def test_wrong_entries_are_found(change, message):
    """Each field on its own."""
    _, entry = solved()
    with pytest.raises((CertificateError, ValueError, OSError), match=message):
        check(replace(entry, **change))


def test_certificates_are_kept_and_verified():
    """A certificate comes back from its file; one that proves less than the entry says is found."""
    problem, entry = solved(k=12, method="greedy")
    bound, certificate = best_certificate(problem, "full")
    assert isinstance(certificate, ColouringCertificate)
    new, news = improved(None, replace(entry, bound=bound, bound_by="colouring"), certificate)
    assert news
    assert new.certificate == "colouring"
    assert check(new) == "value, bound (colouring)"
    with pytest.raises(CertificateError, match="the certificate proves the bound"):
        check(replace(new, bound=max(new.value, 0.999 * bound)))
    again, news = improved(new, replace(entry, bound=bound), certificate)
    assert not news
    assert again == new


def test_only_improvements_are_taken_over():
    """Value and bound improve on their own; a worse claim changes nothing; a better bound drops the old proof."""
    problem, best = solved(k=12)
    greedy = solve(problem, "greedy")
    old, _ = improved(None, entry_of(NAME, problem, greedy.kept, "greedy", 2 * best.value, "somebody"))
    new, news = improved(old, best)
    assert news
    assert (new.value, new.bound, new.value_by) == (best.value, best.bound, "test")
    same, news = improved(new, old)
    assert same == new
    assert not news


def test_the_command(tmp_path, monkeypatch, capsys):
    """Submit a proved answer, check it, spoil the index, check again."""
    problem = load(NAME).problem("max-min", 12)
    answer = solve(problem, "greedy", bound="full")
    save(tmp_path / "answer.npz", problem, answer)
    assert run(monkeypatch, "submit", str(tmp_path / "answer.npz"), "--instance", NAME, "--by", "nobody") == 0
    assert "taken over" in capsys.readouterr().out
    assert run(monkeypatch, "submit", str(tmp_path / "answer.npz"), "--instance", NAME, "--by", "nobody") == 0
    assert "no better" in capsys.readouterr().out
    assert run(monkeypatch, "check") == 0
    assert "1 of 1 entries hold, 1 of them with a verified certificate" in capsys.readouterr().out
    assert run(monkeypatch, "list", "gkd") == 0
    assert "certificate" in capsys.readouterr().out
    assert run(monkeypatch, "certify", "gkd", "--seconds", "5") == 0
    entry = read_index()[NAME, "max-min", 12]
    assert entry.optimal
    write_index({entry.key: replace(entry, value=entry.value / 2)})
    assert run(monkeypatch, "check") == 1
    assert "the set has the value" in capsys.readouterr().err


def test_a_submission_for_other_data_is_refused(tmp_path, monkeypatch, capsys):
    """The problem is generated from the name: a set of another problem does not pass."""
    other = load("mdplib/gkd/30/1").problem("max-min", 12)
    save(tmp_path / "answer.npz", other, solve(other, "greedy"))
    assert run(monkeypatch, "submit", str(tmp_path / "answer.npz"), "--instance", NAME, "--by", "nobody") == 1
    assert "the objective is" in capsys.readouterr().err
    assert read_index() == {}
    (tmp_path / "broken.npz").write_bytes(np.random.default_rng(0).bytes(100))
    assert run(monkeypatch, "submit", str(tmp_path / "broken.npz"), "--instance", NAME, "--by", "nobody") == 1

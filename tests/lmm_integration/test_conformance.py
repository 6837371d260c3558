"""The conformance kit: our own methods pass it, and each way to break the contract is found by the check for it."""

import json

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import DivPrune  # noqa: E402
from lmm_integration.cli import app  # noqa: E402
from lmm_integration.conformance import conform  # noqa: E402
from lmm_integration.conformance.run import find_pruner  # noqa: E402
from lmm_integration.pruners import METHODS, CDPruner  # noqa: E402
from lmm_integration.tokens import Merged  # noqa: E402


class Brightness:
    """A relevance that needs no text tower."""

    sign = 1

    def __call__(self, patches, text):
        return patches.float().mean(-1)


OURS = [CDPruner(relevance=Brightness()) if method is CDPruner else method() for method in METHODS]


@pytest.mark.parametrize("pruner", OURS, ids=lambda pruner: type(pruner).__name__)
def test_our_methods_conform(pruner):
    outcomes = list(conform(pruner))
    assert [outcome for outcome in outcomes if outcome.verdict == "fail"] == []
    assert sum(outcome.verdict == "pass" for outcome in outcomes) >= 9


def verdicts(pruner):
    return {outcome.name: outcome.verdict for outcome in conform(pruner)}


class Good:
    def select(self, tokens, k):
        return [x.double().norm(dim=-1).topk(m).indices.sort().values for x, m in zip(tokens.features, k, strict=True)]


class TooFew(Good):
    def select(self, tokens, k):
        return [picks[: max(1, len(picks) - 1)] for picks in super().select(tokens, k)]


class Coupled(Good):
    """Scores by a mean over everything in the batch, as a published code does with minimum and maximum."""

    def select(self, tokens, k):
        mean = torch.cat(list(tokens.features)).mean(0)
        return [(x - mean).norm(dim=-1).topk(m).indices for x, m in zip(tokens.features, k, strict=True)]


class First:
    def select(self, tokens, k):
        return [torch.arange(m) for m in k]


class InPlace(Good):
    def select(self, tokens, k):
        for x in tokens.features:
            x /= x.norm(dim=-1, keepdim=True)
        return super().select(tokens, k)


class Dice:
    positional = True

    def select(self, tokens, k):
        return [torch.randperm(n)[:m] for n, m in zip(tokens.sizes, k, strict=True)]


class HalfBlind(Good):
    def select(self, tokens, k):
        if tokens.features[0].dtype == torch.bfloat16:
            raise TypeError("not for bfloat16")
        return super().select(tokens, k)


class Changes(Good):
    """Merges even where nothing is to be merged."""

    def select(self, tokens, k):
        return [
            Merged(x[picks] * 1.01, picks, torch.full((len(x),), -1))
            for x, picks in zip(tokens.features, super().select(tokens, k), strict=True)
        ]


class NaNs(Good):
    def select(self, tokens, k):
        return [
            Merged(x[picks] * torch.nan, picks, torch.full((len(x),), -1))
            for x, picks in zip(tokens.features, super().select(tokens, k), strict=True)
        ]


@pytest.mark.parametrize(
    ("pruner", "found"),
    [
        (TooFew(), "exact budgets"),
        (Coupled(), "independent units"),
        (First(), "permutation"),
        (InPlace(), "repeatable"),
        (Dice(), "repeatable"),
        (HalfBlind(), "precision"),
        (NaNs(), "merging"),
        (Changes(), "everything kept"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_every_breach_is_found(pruner, found):
    assert verdicts(pruner)[found] == "fail"


def test_a_good_one_passes_everything_but_what_does_not_apply():
    assert {name for name, verdict in verdicts(Good()).items() if verdict != "pass"} == {"merging"}


def test_a_missing_relevance_tower_is_said():
    seen = verdicts(CDPruner())
    assert seen["everything kept"] == "skip"
    assert seen["exact budgets"] == "pass"


def test_torch_is_left_as_it_was():
    torch.manual_seed(5)
    state = torch.get_rng_state()
    list(conform(DivPrune()))
    assert torch.equal(state, torch.get_rng_state())


def run(*arguments):
    return CliRunner().invoke(app, list(arguments), prog_name="mmdp")


def test_the_command_reports_and_judges():
    result = run("conform", "lmm_integration:DivPrune")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[-1] == "lmm_integration:DivPrune conforms"
    facts = json.loads(run("conform", "lmm_integration:UniformGrid", "--json").stdout)
    assert facts["conforms"] is True
    assert {"name": "permutation", "verdict": "skip"}.items() <= facts["checks"][3].items()


def test_the_command_fails_for_a_breach(monkeypatch):
    monkeypatch.setattr("lmm_integration.conformance.run.find_pruner", lambda where: TooFew())
    result = run("conform", "anything:TooFew")
    assert result.exit_code == 1
    assert "fails" in result.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("lmm_integration", "named like package.module:Name"),
        ("no_such_package:Thing", "cannot import 'no_such_package'"),
        ("lmm_integration:Nothing", "has no 'Nothing'"),
        ("math:pi", "has no method select"),
        ("lmm_integration.pre_llm:Pruned", "cannot be made without arguments"),
    ],
)
def test_what_is_no_pruner_is_refused_in_one_line(where, said):
    result = run("conform", where)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_objects_and_factories_are_pruners_too(monkeypatch):
    import lmm_integration.pruners as pruners

    monkeypatch.setattr(pruners, "ready", DivPrune(distance="centred"), raising=False)
    monkeypatch.setattr(pruners, "make", lambda: DivPrune(distance="l2"), raising=False)
    assert find_pruner("lmm_integration.pruners:ready").distance == "centred"
    assert find_pruner("lmm_integration.pruners:make").distance == "l2"


def test_conform_needs_select():
    with pytest.raises(TypeError, match="must have a method select"):
        list(conform(object()))

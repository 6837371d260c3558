"""The study of methods on the tiny models: its oracle and its tables."""

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from benchmarks.tiny_methods.design import PARTS, RETENTION
from benchmarks.tiny_methods.page import kind_table, retention_table
from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.tiny.oracle import ObjectCoverage
from lmm_integration.tokens import VisualTokens


def row(method, keep, accuracy, **kinds):
    shown = {name: {"accuracy": value, "stderr": 0.01} for name, value in kinds.items()}
    return {"method": method, "keep": keep, "accuracy": accuracy, "stderr": 0.02, "kinds": shown}


FOUND = {
    "questions": 10,
    "summary": [
        row("none", 1.0, 0.9, exist=1.0, count=0.8),
        row("blind", 0.0, 0.3, exist=0.5, count=0.1),
        row("random", 0.5, 0.6, exist=0.7, count=0.5),
        row("random", 0.11, 0.4, exist=0.5, count=0.3),
    ],
}


def test_a_row_for_each_method_and_a_column_for_each_retention():
    assert retention_table(FOUND).splitlines() == [
        "Unpruned 90.0 ± 2.0, no picture 30.0 ± 2.0; 10 questions.",
        "",
        "| method | 50 % | 11 % |",
        "| --- | --- | --- |",
        "| random | 60.0 ± 2.0 | 40.0 ± 2.0 |",
    ]


def test_kinds_are_shown_at_a_ninth():
    lines = kind_table(FOUND).splitlines()
    assert lines[0] == "At 11 % of the tokens."
    assert lines[-1] == "| random | 50.0 ± 1.0 | 30.0 ± 1.0 |"
    assert len(lines) == 7


def test_the_oracle_takes_objects_first():
    objects = np.zeros(12, bool)
    objects[[2, 7, 9]] = True
    question = Question(id="q", images=("a",), question="?", answer="!", facts={"objects": objects})
    tokens = VisualTokens(features=[torch.zeros(12, 3)], sample=[0])
    pruner = ObjectCoverage().for_questions([question], draw=0)
    (few,), (more,) = pruner.select(tokens, [2]), pruner.select(tokens, [5])
    assert set(few.tolist()) < {2, 7, 9}
    assert {2, 7, 9} < set(more.tolist())
    assert len(more) == 5
    assert more.tolist() == sorted(more.tolist())


def test_the_design_has_seven_retentions_and_both_towers():
    assert len(RETENTION) == 7
    assert PARTS["methods"].runs == PARTS["few"].runs == ("labelled", "control")

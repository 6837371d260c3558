"""Operation pruning on the tiny model: `python -m benchmarks.tiny_methods.dop`.

At equal operations, what DOP chooses against fewer tokens alone and against a knapsack over single operations. Runs what
is missing and goes on where it was stopped; what was said lies in runs/tiny_methods, the summary in
benchmarks/results/tiny_methods/dop.json, table and figure in docs. `--report` writes these anew from the summary alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tiny_methods.design import SINGLE
from benchmarks.tiny_methods.dop_choices import (
    BUDGETS,
    Answers,
    axes,
    calibration_of,
    depth_policy,
    mean_kl,
    one_left_out,
    reducer_only,
    share,
    single_operations,
)
from benchmarks.tiny_methods.dop_measure import Arm, Asker
from benchmarks.tiny_methods.dop_page import RESULT, write_page
from lmm_integration.calibration import Calibration
from lmm_integration.evaluate.accuracy.clustered import clustered_mean, paired_difference
from lmm_integration.evaluate.accuracy.task import Question, normalised
from solvers.environment import environment
from solvers.records import to_json

RUNNING = Path("runs/tiny_methods/dop")
TEST, SAMPLES, SEEDS, CHECKED = 300, 25, 10, 30
NEW_TOKENS = 4
Scores = dict[str, float]


def main() -> None:
    """Measure, condense, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="of the model; the labelled one of the package by default")
    parser.add_argument("--commit", default="", help="of the package that is measured, for the record")
    parser.add_argument("--report", action="store_true", help="only write table and figure")
    given = parser.parse_args()
    if not given.report:
        from lmm_integration import tiny

        found = Study(given.folder or tiny.folder("labelled")).run()
        found |= {"commit": given.commit, "environment": environment()}
        RESULT.parent.mkdir(parents=True, exist_ok=True)
        RESULT.write_text(json.dumps(to_json(found), allow_nan=False, indent=1) + "\n", encoding="utf-8")
    write_page()


class Study:
    """The questions, and the two ways they are asked: along one word for divergences, to the end for accuracy."""

    def __init__(self, folder: Path) -> None:
        import torch

        from lmm_integration.evaluate.accuracy.bench import Setup
        from lmm_integration.flops import DecoderShape
        from lmm_integration.model_files import load_model
        from lmm_integration.tiny import calibration_questions, test_questions
        from lmm_integration.tiny.pictures import TOKENS

        torch.set_num_threads(1)
        loaded = load_model(str(folder), dtype="float32")
        mark = Setup(folder.name, str(folder), ()).fingerprint
        started = time.monotonic()

        def say(line: str) -> None:
            print(f"{(time.monotonic() - started) / 60:5.1f} min: {line}", flush=True)

        def asker(file: str, new_tokens: int) -> Asker:
            return Asker(
                loaded.model, loaded.processor, RUNNING / f"{file}.jsonl", mark, new_tokens=new_tokens, say=say
            )

        self.name, self.shape, self.n = folder.name, DecoderShape.of(loaded.model), TOKENS
        self.first_word, self.whole_answer = asker("divergences", 1), asker("answers", NEW_TOKENS)
        self.test = test_questions(TEST, kinds=SINGLE)
        self.draws = [calibration_questions(SAMPLES, seed=seed, kinds=SINGLE) for seed in range(SEEDS + 1)]

    def run(self) -> dict[str, Any]:
        """The whole study, plain values."""
        *draws, self.fresh = self.draws
        calibrations = [self.calibrate(draw) for draw in draws]
        first, samples = calibrations[0], draws[0]
        losses, found = self.single_losses(samples), {}
        for budget in BUDGETS:
            fewer = reducer_only(first, budget)
            found["DOP", budget] = depth_policy(first, budget)
            found["single operations", budget] = single_operations(first, losses, budget)
            found["fewer tokens", budget] = fewer, float(first.token_losses([fewer.tokens])[0])
        chosen = {place: arm for place, (arm, _) in found.items()}
        whole, blind = (Arm.to_depths(depth, depth, self.n, self.shape.layers) for depth in (self.shape.layers, 0))
        arms = list(dict.fromkeys([whole, blind, *chosen.values()]))
        measured = self.first_word.ask(samples, arms)
        answers = self.whole_answer.ask(self.test, arms)
        priced = replace(first, sizes=[(text, self.n) for text in self.whole_answer.text_tokens(self.test)])
        held_out = self.held_out(draws)
        rows = []
        for (name, budget), arm in chosen.items():
            scores = self.scores(answers, arm)
            row = {"curve": name, "budget": budget, "share": share(priced, arm), **self.estimate(scores)}
            row |= {"summed": found[name, budget][1], "kl": mean_kl(measured, arm, samples), **described(arm)}
            row["test_kl"] = mean_kl(answers, arm, self.test)
            row["minus_fewer_tokens"] = self.minus(scores, self.scores(answers, chosen["fewer tokens", budget]))
            if name == "DOP":
                row["held_out"] = self.estimate(held_out[budget]) | {"minus_dop": self.minus(held_out[budget], scores)}
            rows.append(row)
        return {
            "model": self.name,
            "questions": TEST,
            "samples": SAMPLES,
            "unpruned": self.estimate(self.scores(answers, whole)),
            "blind": self.estimate(self.scores(answers, blind)),
            "rows": rows,
            "alone": losses.tolist(),
            "curves": {name: getattr(first, name) for name in ("attention", "mlp", "tokens")},
            "additivity": self.additivity(first, samples),
            "draws": [self.variation(calibrations, chosen["fewer tokens", budget], budget) for budget in BUDGETS],
        }

    def calibrate(self, samples: Sequence[Question]) -> Calibration:
        """The three curves on these questions."""
        arms = [arm for curve in axes(self.shape.layers, self.n).values() for arm in curve.values()]
        said = self.first_word.ask(samples, arms)
        return calibration_of(said, samples, self.first_word.text_tokens(samples), self.shape, self.n)

    def single_losses(self, samples: Sequence[Question]) -> Any:
        """(L, 2) what leaving out each operation alone loses."""
        arms = one_left_out(self.shape.layers, self.n)
        said = self.first_word.ask(samples, list(arms.values()))
        losses = np.zeros((self.shape.layers, 2))
        for where, arm in arms.items():
            losses[where] = max(mean_kl(said, arm, samples), 0.0)
        return losses

    def held_out(self, draws: Sequence[Sequence[Question]]) -> dict[float, Scores]:
        """By budget: every kind of question answered under a policy from questions of the other kinds."""
        scores: dict[float, Scores] = {budget: {} for budget in BUDGETS}
        for kind in SINGLE:
            calibration = self.calibrate(without(kind, draws))
            asked = [question for question in self.test if question.kind == kind]
            for budget in BUDGETS:
                arm, _ = depth_policy(calibration, budget)
                scores[budget] |= self.scores(self.whole_answer.ask(asked, [arm]), arm)
        return scores

    def additivity(self, calibration: Calibration, samples: Sequence[Question]) -> dict[str, Any]:
        """Summed against joint divergence of policies drawn at random."""
        from lmm_integration.calibration.report import rank_correlation, some_policies, summed

        points = some_policies(calibration, CHECKED)
        arms = [Arm.to_depths(*point, self.shape.layers) for point in points]
        said = self.first_word.ask(samples, arms)
        joint = [mean_kl(said, arm, samples) for arm in arms]
        sums = summed(calibration, points)
        return {
            "points": [list(point) for point in points],
            "summed": sums,
            "joint": joint,
            "rank_correlation": rank_correlation(sums, joint),
        }

    def variation(self, calibrations: Sequence[Calibration], fewer: Arm, budget: float) -> dict[str, Any]:
        """What the draws of calibration questions choose, and what that loses on questions that chose nothing."""
        chosen = [depth_policy(calibration, budget) for calibration in calibrations]
        said = self.first_word.ask(self.fresh, [fewer, *(arm for arm, _ in chosen)])
        return {
            "budget": budget,
            "policies": [
                {"summed": loss, "kl": mean_kl(said, arm, self.fresh), **described(arm)} for arm, loss in chosen
            ],
            "fewer_tokens_kl": mean_kl(said, fewer, self.fresh),
        }

    def scores(self, answers: Answers, arm: Arm) -> Scores:
        """Question -> 1 where the answer is right, else 0."""
        asked = [question for question in self.test if (arm, question.id) in answers]
        return {q.id: float(normalised(answers[arm, q.id].answer) == normalised(q.answer)) for q in asked}

    def estimate(self, scores: Mapping[str, float]) -> dict[str, Any]:
        """Accuracy, its error clustered by scene."""
        groups = {question.id: question.group for question in self.test}
        found = clustered_mean(list(scores.values()), [groups[name] for name in scores])
        return {"accuracy": found.mean, "stderr": found.stderr}

    def minus(self, first: Mapping[str, float], second: Mapping[str, float]) -> dict[str, Any]:
        """Paired difference, its error and interval clustered likewise."""
        return asdict(paired_difference(first, second, {question.id: question.group for question in self.test}))


def without(kind: str, draws: Sequence[Sequence[Question]]) -> list[Question]:
    """As many questions of the other kinds as a calibration has, from one draw after another."""
    return [question for draw in draws for question in draw if question.kind != kind][:SAMPLES]


def described(arm: Arm) -> dict[str, Any]:
    """Plain values."""
    runs = {name: [i for i, run in enumerate(getattr(arm, name)) if run] for name in ("attention", "mlp")}
    return {"tokens": arm.tokens, **runs}


if __name__ == "__main__":
    main()

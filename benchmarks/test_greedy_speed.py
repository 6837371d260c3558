"""pytest-benchmark over the greedy doors and their peers (`make bench`): 576 tokens, one group a case.

The ratios of the documentation come from `python -m benchmarks.greedy_speed`, where ours and a peer run in turns.
"""

from __future__ import annotations

import pytest

from benchmarks.greedy_calls import picks_of
from benchmarks.greedy_cases import ALL, Case, cases
from benchmarks.greedy_check import same_answer
from benchmarks.greedy_contenders import CONTENDERS, OURS, Contender
from benchmarks.greedy_inputs import sample
from benchmarks.greedy_measure import algorithm_of, check_ours

pytest.importorskip("skimage", reason="photo tokens need scikit-image")

SMALL = [case for case in cases() if (case.n, case.d, case.k) == (576, 1024, 58) and case.cores != ALL]
CELLS = [
    pytest.param(case, contender, id=f"{case.name}-{contender.name}")
    for case in SMALL
    for contender in CONTENDERS
    if contender.algorithm == case.algorithm
]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of submodlib's imports
@pytest.mark.parametrize(("case", "contender"), CELLS)
def test_greedy(benchmark, case: Case, contender: Contender):
    """One contender on one case; skipped where it is absent or chooses other tokens than ours."""
    if reason := contender.absent(case.kind, case.n):
        pytest.skip(f"{contender.name} {reason}")
    samples = [sample(case.kind, case.n, case.d, seed) for seed in range(case.batch)]
    mine = next(each for each in CONTENDERS if (each.name, each.algorithm) == (OURS, case.algorithm))
    picks = picks_of(mine.prepare(samples, case.k, [0] * case.batch)())
    check_ours(case, samples, picks)
    call = contender.prepare(samples, case.k, picks[:, 0].tolist())
    answers = zip(samples, picks, picks_of(call()), strict=True)
    if not all(same_answer(algorithm_of(case), each, own, other) for each, own, other in answers):
        pytest.skip(f"{contender.name} chooses other tokens: a time would mislead")
    benchmark.group = case.name
    benchmark.pedantic(call, rounds=5, iterations=1, warmup_rounds=1)

"""Other solvers than the published greedies, inside a model: the same objective, nearly or provably at its best."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from lmm_integration import IWP, CDPruner, DivPrune, EmbeddingRelevance, prune  # noqa: E402
from solvers import solve  # noqa: E402

MADE = {
    "DivPrune": lambda **options: DivPrune(**options),
    "DivPrune at layer 2": lambda **options: DivPrune(layer=2, **options),
    "CDPruner": lambda **options: CDPruner(relevance=EmbeddingRelevance(), **options),
    "IWP": lambda **options: IWP(layer=1, **options),
}


@pytest.mark.parametrize("solver", ["greedy", "local_search", "exact"])
@pytest.mark.parametrize("method", MADE)
def test_solvers_run_inside_a_model(tiny, monkeypatch, method, solver):
    """Two images of 16 tokens, 5 of which stay: against all 4368 sets of each, on the tokens that the model showed."""
    pruner = MADE[method](solver=solver, **({} if solver == "greedy" else {"time_limit": 5}))
    seen = []
    select = type(pruner).select

    def watched(self, tokens, k):
        seen.extend(self.problems(tokens, k))
        return select(self, tokens, k)

    monkeypatch.setattr(type(pruner), "select", watched)
    model = tiny.model("llava")
    with torch.no_grad(), prune(model, pruner, keep=5) as pruning:
        assert model(**tiny.batch(model, (1, 1))).logits.isfinite().all()
    assert [len(kept) for kept in pruning.last_indices] == [5, 5]
    for problem, kept in zip(seen, pruning.last_indices, strict=True):
        best, greedy = solve(problem, "brute_force").objective, solve(problem, "greedy").objective
        found = problem.value(kept.tolist())
        assert found <= best + 1e-9 * abs(best)
        if solver == "exact":
            assert found == pytest.approx(best, rel=1e-6)
        elif solver == "local_search":
            assert found >= greedy - 1e-9 * abs(greedy)
        else:
            assert found == pytest.approx(greedy, rel=1e-6)

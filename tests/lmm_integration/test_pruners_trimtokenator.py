"""TrimTokenator and TrimTokenator-LC against literal transcriptions, and inside a model with several images."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lmm_integration import prune_inputs  # noqa: E402
from lmm_integration.image_budgets import allocate, first_stage_total  # noqa: E402
from lmm_integration.pruners import TrimTokenator, TrimTokenatorLC  # noqa: E402
from lmm_integration.pruners.representative import representative, unit_tokens  # noqa: E402
from lmm_integration.tokens import VisualTokens  # noqa: E402


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def literal_repmax(x, k):
    u = x.double().numpy()
    u = u / np.linalg.norm(u, axis=1, keepdims=True)
    C = u @ u.T
    picks = [int(C.mean(1).argmin())]
    sigma = C[picks[0]].copy()
    while len(picks) < k:
        sigma[picks] = np.inf
        picks.append(int(sigma.argmin()))
        sigma = sum(C[i] for i in picks)
    return picks[:k]


def test_repmax_is_its_formula():
    for seed in range(5):
        x = normal(40, 8, seed=seed)
        assert representative(unit_tokens(x), 12).tolist() == literal_repmax(x, 12)


def test_repmax_at_the_edges():
    units = unit_tokens(torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    assert representative(units, 0).tolist() == []
    assert sorted(representative(units, 3).tolist()) == [1, 2, 3]  # the blank token is last
    assert sorted(representative(units, 4).tolist()) == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="between 0 and 4, got 5"):
        representative(units, 5)
    with pytest.raises(ValueError, match="token 1 with inf or NaN"):
        unit_tokens(torch.tensor([[1.0], [torch.nan]]))


def test_the_parent_is_its_formula():
    x, words = normal(30, 6), normal(4, 6, seed=9)
    alpha = -np.array([[np.linalg.norm(a - b) for b in words.numpy()] for a in x.numpy()]).mean(1)
    near = np.sort(np.argsort(-alpha, kind="stable")[:24])  # 0.8 of 30
    expected = near[literal_repmax(x[near], 7)]
    (picks,) = TrimTokenator(order="selection").select(VisualTokens([x], text_embeddings=[words]), [7])
    assert picks.tolist() == expected.tolist()


def test_the_parent_at_the_edges():
    x = normal(10, 4)
    no_words = VisualTokens([x], text_embeddings=[torch.zeros(0, 4)])
    assert TrimTokenator(order="selection").select(no_words, [4])[0].tolist() == literal_repmax(x, 4)
    one = VisualTokens([x], text_embeddings=[normal(2, 4)])
    assert len(TrimTokenator(survivors=0.1).select(one, [6])[0]) == 6  # never fewer survivors than k
    assert TrimTokenator().select(one, [10])[0].tolist() == list(range(10))
    with pytest.raises(ValueError, match="text_embeddings is None"):
        TrimTokenator().select(VisualTokens([x]), [3])
    with pytest.raises(ValueError, match="retention ratio must be in"):
        TrimTokenator(survivors=1.5)


def sample(sizes, seed=0, shift=0.0):
    parts = [normal(m, 8, seed=seed + i) + shift for i, m in enumerate(sizes)]
    image = torch.cat([torch.full((m,), i) for i, m in enumerate(sizes)])
    return VisualTokens([torch.cat(parts)], text_embeddings=[normal(5, 8, seed=99)], image=[image]), parts


def test_lc_without_text_is_repmax_by_budget_and_then_across():
    tokens, parts = sample([20, 12, 9], shift=0.7)
    units = [unit_tokens(part).double().numpy() for part in parts]

    def spread(u):
        C = 1 - u @ u.T
        return (C.sum() - np.trace(C)) / (len(u) * (len(u) - 1))

    within = [spread(u) for u in units]
    means = np.array([u.mean(0) / np.linalg.norm(u.mean(0)) for u in units])
    middle = first_stage_total(within, spread(means), 41, 13)
    assert 13 < middle < 41
    budgets = allocate([len(u) * w for u, w in zip(units, within, strict=True)], [20, 12, 9], middle)
    offsets = [0, 20, 32]
    pool = np.sort(
        np.concatenate([o + np.array(literal_repmax(p, b)) for o, p, b in zip(offsets, parts, budgets, strict=True)])
    )
    expected = pool[literal_repmax(tokens.features[0][pool], 13)]
    (picks,) = TrimTokenatorLC(text_stage="none", order="selection").select(tokens, [13])
    assert picks.tolist() == expected.tolist()


@pytest.mark.parametrize("stages", ["inside_first", "across_first"])
@pytest.mark.parametrize("text_stage", ["second", "first", "none"])
@pytest.mark.parametrize("budgets", ["dynamic", "uniform"])
@pytest.mark.parametrize("final", ["pareto", "weighted_sum"])
def test_every_ablation_keeps_what_was_asked(stages, text_stage, budgets, final):
    pruner = TrimTokenatorLC(stages=stages, text_stage=text_stage, budgets=budgets, final=final)
    tokens, _ = sample([16, 16, 4], shift=0.5)
    for k in (0, 1, 3, 11, 35, 36):
        (picks,) = pruner.select(tokens, [k])
        assert len(picks.unique()) == k
        assert (picks.diff() > 0).all()


def test_the_ablations_differ():
    tokens, _ = sample([30, 30, 10], shift=0.5)

    def picked(**options):
        return TrimTokenatorLC(**options).select(tokens, [15])[0].tolist()

    default = picked()
    for options in (
        {"stages": "across_first"},
        {"text_stage": "first"},
        {"text_stage": "none"},
        {"final": "weighted_sum"},
    ):
        assert picked(**options) != default


def test_budgets_follow_the_diversity_of_an_image():
    flat = torch.ones(20, 8) + 0.01 * normal(20, 8)
    busy = normal(20, 8, seed=1)
    image = torch.arange(2).repeat_interleave(20)
    tokens = VisualTokens([torch.cat([flat, busy])], text_embeddings=[normal(3, 8)], image=[image])
    (dynamic,) = TrimTokenatorLC(stages="across_first", text_stage="none").select(tokens, [10])
    assert (dynamic >= 20).sum() > (dynamic < 20).sum()


def test_one_image_may_go_to_the_parent():
    tokens, _ = sample([25])
    (derived,) = TrimTokenatorLC(order="selection").select(tokens, [6])
    (parent,) = TrimTokenatorLC(single_image="parent", order="selection").select(tokens, [6])
    assert parent.tolist() == TrimTokenator(order="selection").select(tokens, [6])[0].tolist()
    assert sorted(derived.tolist()) != sorted(parent.tolist())


def test_samples_do_not_see_each_other():
    a, _ = sample([12, 8], seed=3)
    b, _ = sample([9, 9, 9], seed=7)
    both = VisualTokens(
        [*a.features, *b.features],
        text_embeddings=[*a.text_embeddings, *b.text_embeddings],
        image=[*a.image, *b.image],
    )
    together = TrimTokenatorLC().select(both, [7, 9])
    alone = [TrimTokenatorLC().select(one, [k])[0] for one, k in ((a, 7), (b, 9))]
    assert [x.tolist() for x in together] == [x.tolist() for x in alone]


def test_what_lc_refuses():
    tokens, _ = sample([5, 5])
    split = VisualTokens([tokens.features[0]] * 2, sample=[0, 0], text_embeddings=[normal(1, 8)] * 2)
    with pytest.raises(ValueError, match="budget_scope='sample'"):
        TrimTokenatorLC().select(split, [1, 1])
    with pytest.raises(ValueError, match="text_embeddings is None"):
        TrimTokenatorLC().select(VisualTokens([torch.eye(3)]), [1])
    with pytest.raises(ValueError, match="stages must be one of"):
        TrimTokenatorLC(stages="both")
    with pytest.raises(ValueError, match="least must be a whole number"):
        TrimTokenatorLC(least=-1)


@pytest.mark.parametrize("family", ["llava", "llava_next"])
def test_in_a_model_with_several_images(tiny, family):
    model = tiny.model(family)
    images = (2, 1)
    inputs = tiny.batch(model, images)
    short = prune_inputs(model, inputs, TrimTokenatorLC(), keep=9)
    left = (short["input_ids"] == tiny.image).sum(1).tolist()
    if family == "llava":
        assert left == [9, 9]
    with torch.no_grad():
        assert torch.isfinite(model(**short).logits).all()
        for i in range(2):
            alone = prune_inputs(model, tiny.row(inputs, images, i), TrimTokenatorLC(), keep=9, budget_scope="sample")
            assert int((alone["input_ids"] == tiny.image).sum()) == left[i]


def test_the_words_are_those_behind_the_last_image(tiny):
    model = tiny.model("llava")
    inputs = tiny.batch(model, (1, 1))
    seen = []

    class Spy:
        requires = frozenset({"text_embeddings"})

        def select(self, tokens, k):
            seen.extend(tokens.text_embeddings)
            return [torch.arange(m) for m in k]

    prune_inputs(model, inputs, Spy(), keep=4)
    for row, mask, found in zip(inputs["input_ids"], inputs["attention_mask"], seen, strict=True):
        real = row[mask.bool()]
        tail = real[int((real == tiny.image).nonzero()[-1]) + 1 :]
        torch.testing.assert_close(found, model.get_input_embeddings()(tail).detach())

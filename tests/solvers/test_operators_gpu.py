"""The doors as operators: a compiled or exported model selects without a graph break."""

import pytest
import torch

from solvers.farthest_first import gpu as farthest_first_gpu
from solvers.farthest_first.gpu import farthest_first
from solvers.greedy_map import gpu as greedy_map_gpu
from solvers.greedy_map.gpu import greedy_map
from solvers.rank1 import gpu as rank1_gpu
from solvers.rank1 import mmr_gpu, pc_mmr_gpu
from solvers.rank1.gpu import rank1
from solvers.rank1.mmr_gpu import mmr
from solvers.rank1.pc_mmr_gpu import pc_mmr

ALL = {"farthest_first", "greedy_map", "rank1", "mmr", "pc_mmr"}


class Pruned(torch.nn.Module):
    """A layer, every selector with different forms of budgets, and the features that they keep."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 8)

    def forward(self, tokens: torch.Tensor, weights: torch.Tensor, valid: torch.Tensor, budgets: torch.Tensor):
        hidden = self.layer(tokens)
        heads = hidden.unflatten(2, (2, 4)).transpose(1, 2)
        chosen = [
            farthest_first(hidden, 3, valid=valid, start=1),
            greedy_map(hidden, budgets, relevance=weights, width=4),
            rank1(heads, heads, [2] * tokens.shape[0], width=5),
            mmr(hidden, hidden, 3, 0.3),
            pc_mmr(weights, heads, heads, tokens.shape[1] // 4),
        ]
        kept = torch.cat(chosen, dim=1)
        rows = kept.clamp(min=0)[:, :, None].expand(-1, -1, 8)
        return kept, hidden.gather(1, rows).square().sum()


@pytest.fixture
def inputs() -> tuple[torch.Tensor, ...]:
    """Two samples of 16 tokens."""
    torch.manual_seed(1)
    valid = torch.ones(2, 16, dtype=torch.bool)
    valid[0, 5] = False
    return torch.randn(2, 16, 8), torch.rand(2, 16), valid, torch.tensor([4, 2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own compiler
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_as_one_graph(inputs, backend, dynamic):
    """fullgraph=True raises at any graph break; the compiled model keeps the same tokens and has the same gradient."""
    torch.compiler.reset()
    model = Pruned()
    kept, loss = model(*inputs)
    loss.backward()
    gradient = model.layer.weight.grad.clone()
    model.zero_grad()
    compiled = torch.compile(model, fullgraph=True, backend=backend, dynamic=dynamic)
    kept_compiled, loss_compiled = compiled(*inputs)
    loss_compiled.backward()
    assert kept_compiled.tolist() == kept.tolist()
    torch.testing.assert_close(model.layer.weight.grad, gradient)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_no_graph_break(inputs):
    """The compiler's own account: one graph, no break, every selector in it as one operator."""
    torch.compiler.reset()
    account = torch._dynamo.explain(Pruned())(*inputs)
    assert account.graph_break_count == 0
    assert account.graph_count == 1
    program = torch.export.export(Pruned(), inputs)
    names = [str(node.target) for node in program.graph.nodes]
    assert {name.split(".")[1] for name in names if name.startswith("mmdp.")} == ALL


def test_bad_values_are_still_refused(inputs):
    """The check of values is part of the operator, so compiling does not switch it off."""
    torch.compiler.reset()
    compiled = torch.compile(lambda X: farthest_first(X, 3), fullgraph=True, backend="eager")
    with pytest.raises(ValueError, match="X must be finite"):
        compiled(torch.full((2, 4, 3), torch.nan))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("name", sorted(ALL))
def test_operators_are_well_formed(name, inputs):
    """torch's own checks of schema, fake kernel and autograd registration, with and without optional arguments."""
    X, weights, valid, budgets = inputs
    X, K = X.requires_grad_(), X[:, None].detach().clone().requires_grad_()
    arguments = {
        "farthest_first": (
            farthest_first_gpu,
            (X,),
            [(valid, budgets, budgets, 4, True), (None, None, None, 3, False)],
        ),
        "greedy_map": (greedy_map_gpu, (X,), [(weights, valid, budgets, 4, True), (None, None, None, 3, False)]),
        "rank1": (rank1_gpu, (K, K), [(valid, budgets, 4, True), (None, None, 3, False)]),
        "mmr": (mmr_gpu, (K, K, 0.5), [(valid, budgets, 4, True), (None, None, 3, False)]),
        "pc_mmr": (pc_mmr_gpu, (weights, K, K, 2, 2, 5.0, 0.01), [(valid, budgets, 4, True), (None, None, 3, False)]),
    }
    module, tokens, others = arguments[name]
    for rest in others:
        torch.library.opcheck(module.OPERATOR, (*tokens, *rest))


def test_fake_tensors_have_the_shape_of_the_answer():
    """On the meta device nothing is computed and the shape is known."""
    X = torch.empty(3, 50, 8, device="meta")
    assert farthest_first(X, 7).shape == (3, 7)
    assert pc_mmr(X[..., 0], X, X, [4, 5, 6]).shape == (3, 6)
    assert mmr(X, X, 7).device.type == "meta"

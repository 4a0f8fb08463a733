import pytest
import torch
from torch import nn

from skgen.networks import MLP
from skgen.training.flat import ALIGNMENT, FlatParameters, FlatVector
from skgen.training.optimizers import SOLVERS
from tests.parts import model_from, normal


class Mixed(nn.Module):
    """Parameters of several shapes, no two of them alike."""

    def __init__(self):
        super().__init__()
        self.lonely = nn.Parameter(torch.randn(5, generator=torch.Generator().manual_seed(1)))
        self.matrix = nn.Parameter(torch.randn(3, 7, generator=torch.Generator().manual_seed(2)))
        self.bias = nn.Parameter(torch.randn(7, generator=torch.Generator().manual_seed(3)))
        self.number = nn.Parameter(torch.tensor(2.0))
        self.wide = nn.Parameter(torch.randn(2, 33, generator=torch.Generator().manual_seed(4)))
        self.cube = nn.Parameter(torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(5)))
        self.last = nn.Parameter(torch.randn(1, generator=torch.Generator().manual_seed(6)))


@pytest.fixture(params=["mixed", "model"])
def module(request, generator):
    return Mixed().double() if request.param == "mixed" else model_from("gaussian", generator=generator)


def test_values_stay_and_views_share_the_buffers(module):
    before = {name: value.detach().clone() for name, value in module.named_parameters()}
    flat = FlatParameters(module)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, before[name])
        assert not parameter.grad.any()
    flat.value.fill_(3)
    flat.gradient.fill_(4)
    for parameter in module.parameters():
        assert (parameter == 3).all()
        assert (parameter.grad == 4).all()
    assert flat.value.dtype == torch.float64


def test_parameters_do_not_overlap_and_padding_is_zero(module):
    flat = FlatParameters(module)
    for buffer, of in ((flat.value, lambda p: p.data), (flat.gradient, lambda p: p.grad)):
        buffer.zero_()
        for parameter in module.parameters():
            of(parameter).add_(1)
        assert set(buffer.unique().tolist()) <= {0.0, 1.0}
        assert buffer.sum() == sum(parameter.numel() for parameter in module.parameters())


def test_matrices_are_aligned(module):
    FlatParameters(module)
    for parameter in module.parameters():
        if parameter.dim() == 2:
            assert parameter.storage_offset() % ALIGNMENT == 0
            assert parameter.stride(0) % ALIGNMENT == 0


def test_the_mask_marks_matrices_alone(module):
    flat = FlatParameters(module)
    flat.value.copy_(flat.matrix_mask())
    for parameter in module.parameters():
        assert (parameter == float(parameter.dim() >= 2)).all()
    marked = sum(parameter.numel() for parameter in module.parameters() if parameter.dim() >= 2)
    assert flat.matrix_mask().sum() == marked


def test_spans_part_the_buffer_into_what_decays_and_the_rest(module):
    flat = FlatParameters(module)
    decaying, others = flat.spans()
    flat.value.zero_()
    for span in decaying + others:
        flat.value[span] += 1
    assert (flat.value == 1).all()
    for span in decaying:
        flat.value[span] = 2
    for parameter in module.parameters():
        assert (parameter == (2 if parameter.dim() >= 2 else 1)).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_padding_stays_zero_through_training(solver, generator):
    network = MLP(3, (5,), 2, "tanh").double()
    network.reset(generator)
    flat = FlatParameters(network)
    mask = torch.zeros_like(flat.value, dtype=torch.bool)
    kept = flat.value.clone()
    flat.value.zero_()
    for parameter in network.parameters():
        parameter.data.fill_(1)
    mask.copy_(flat.value == 0)
    flat.value.copy_(kept)
    x, target = normal(6, 3, generator=generator), normal(6, 2, generator=generator)
    trace = network.tracer(input_gradient=False)
    optimizer = SOLVERS[solver](flat, weight_decay=0.1)

    def gradient():
        flat.gradient.zero_()
        output, pullback = trace(x)
        residual = output - target
        pullback(residual)
        return 0.5 * residual.square().sum()

    for _ in range(3):
        with torch.no_grad():
            optimizer.step(gradient, 0.01)
    assert mask.any()
    assert not flat.value[mask].any()
    assert not flat.gradient[mask].any()


def test_a_plain_vector_is_changed_in_place_and_never_decays(generator):
    value = normal(5, generator=generator)
    flat = FlatVector(value)
    flat.value.add_(1)
    assert flat.value is value
    assert torch.equal(flat.gradient, torch.zeros_like(value))
    assert not flat.matrix_mask().any()
    assert flat.matrix_mask().shape == value.shape
    assert flat.spans() == ([], [slice(0, 5)])

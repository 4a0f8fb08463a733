import pytest
import torch
from torch import nn

from skgen.networks import MLP
from skgen.networks.layered import ALIGNMENT
from skgen.training.flat import WIDE, FlatParameters, FlatVector, FlatView
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
        self.wide = nn.Parameter(torch.randn(2, 133, generator=torch.Generator().manual_seed(4)))
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
            assert parameter.stride(0) % ALIGNMENT == 0 or parameter.stride(0) == parameter.shape[1] >= WIDE


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
    assert torch.equal(flat.elements(), torch.arange(5))


# -- parts -----------------------------------------------------------------------------------------


class Nested(nn.Module):
    """Three parts, the middle one without a matrix; all parameters are 1."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(3, 5)
        self.middle = nn.LayerNorm(7)
        self.last = nn.Linear(5, 2)
        self.double()
        for parameter in self.parameters():
            nn.init.ones_(parameter)


def values(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def same(before, module):
    return [torch.equal(kept, parameter) for kept, parameter in zip(before, module.parameters(), strict=True)]


def test_the_elements_are_those_of_parameters(module):
    flat = FlatParameters(module)
    assert len(flat.elements()) == sum(parameter.numel() for parameter in module.parameters())
    flat.value.zero_()
    flat.value[flat.elements()] = 1
    assert all((parameter == 1).all() for parameter in module.parameters())


def test_a_part_is_the_memory_of_its_module():
    nested = Nested()
    flat = FlatParameters(nested)
    part = flat.part(nested.last)
    part.value.add_(1)
    part.gradient.add_(2)
    assert all((parameter == 2).all() and (parameter.grad == 2).all() for parameter in nested.last.parameters())
    for other in (nested.first, nested.middle):
        assert all((parameter == 1).all() and (parameter.grad == 0).all() for parameter in other.parameters())
    assert part.held is None


def test_parts_together_are_the_whole(module):
    flat = FlatParameters(module)
    part = flat.part(module)
    assert part.held is None
    for whole, viewed in ((flat.elements(), part.elements()), (flat.matrix_mask(), part.matrix_mask())):
        # All but the padding at the end.
        assert torch.equal(whole[: len(viewed)], viewed)
        assert not whole[len(viewed) :].any()


def test_what_lies_between_two_chosen_modules_is_held():
    nested = Nested()
    flat = FlatParameters(nested)
    part = flat.part(nested.first, nested.last)
    assert int(part.held.sum()) == 14
    assert len(part.elements()) == 20 + 12
    assert part.matrix_mask().sum() == 15 + 10


def test_masks_choose_elements_of_a_module_s_parameters():
    nested = Nested()
    flat = FlatParameters(nested)
    rows = torch.zeros(5, 3)
    rows[[1, 3]] = 1
    view = flat.marked(flat.marks(nested.first, {"weight": rows}) | flat.marks(nested.last, {"bias": torch.ones(2)}))
    view.value[view.elements()] = 5
    torch.testing.assert_close(nested.first.weight, 1 + 4 * rows.double())
    assert (nested.first.bias == 1).all()
    assert (nested.last.weight == 1).all()
    assert (nested.last.bias == 5).all()
    assert view.matrix_mask().sum() == 6


def test_parameters_that_require_no_gradient_are_in_no_part():
    nested = Nested()
    nested.last.bias.requires_grad_(False)
    flat = FlatParameters(nested)
    assert int(flat.marks(nested.last).sum()) == 10
    nested.last.weight.requires_grad_(False)
    with pytest.raises(ValueError, match="nothing to change"):
        FlatParameters(nested).part(nested.last)


def test_a_mask_of_an_unknown_name_is_an_error():
    nested = Nested()
    flat = FlatParameters(nested)
    with pytest.raises(ValueError, match=r"no parameter width: the names are weight, bias"):
        flat.marks(nested.first, {"width": torch.ones(1)})


@pytest.mark.parametrize("chosen", [("first",), ("middle",), ("last",), ("first", "last"), ("middle", "last")])
def test_spans_of_a_part_agree_with_its_mask(chosen):
    nested = Nested()
    flat = FlatParameters(nested)
    part = flat.part(*(getattr(nested, name) for name in chosen))
    covered = torch.zeros_like(part.value)
    for decays, spans in zip((1.0, 0.0), part.spans(), strict=True):
        for span in spans:
            assert 0 <= span.start < span.stop <= len(part.value)
            covered[span] += 1
            within = torch.zeros_like(covered)
            within[span] = 1
            assert (part.matrix_mask()[part.elements()][within[part.elements()] == 1] == decays).all()
            if decays and part.held is not None:
                assert not part.held[span].any()
    assert (covered == 1).all()


def test_a_view_of_a_view_holds_what_either_holds(generator):
    whole = FlatVector(normal(8, generator=generator))
    held = torch.tensor([False, True, False, False, False, False])
    view = FlatView(FlatView(whole, slice(1, 7), held), slice(1, 5), torch.tensor([False, False, True, False]))
    assert view.held.tolist() == [True, False, True, False]
    assert view.elements().tolist() == [1, 3]
    view.value.fill_(0)
    assert (whole.value == 0).nonzero()[:, 0].tolist() == [2, 3, 4, 5]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("bad", [0.0, 1.0, float("nan")])
def test_an_optimiser_of_a_part_leaves_all_else_to_the_bit(solver, bad, generator):
    nested = Nested()
    for parameter in nested.parameters():
        parameter.data.copy_(normal(*parameter.shape, generator=generator))
    flat = FlatParameters(nested)
    rows = torch.zeros(5, 3)
    rows[[1, 3]] = 1
    marks = flat.marks(nested.first, {"weight": rows}) | flat.marks(nested.last)
    view = flat.marked(marks)
    before, kept, gaps = values(nested), flat.value.clone(), ~flat.marks(nested)
    optimizer = SOLVERS[solver](view, weight_decay=0.1)

    def gradient():
        flat.gradient.copy_(flat.value)
        flat.gradient[~marks & ~gaps] = bad  # as of a loss that knows nothing of what is held
        return 0.5 * flat.value[marks].square().sum()

    for _ in range(5):
        optimizer.step(gradient, 0.1)
    assert torch.equal(flat.value[~marks], kept[~marks])
    assert (flat.value[marks] != kept[marks]).all()
    assert same(before, nested) == [False, True, True, True, False, False]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_part_is_optimised_as_a_module_of_its_own(solver, generator):
    nested, alone = Nested(), nn.Linear(5, 2).double()
    for ours, theirs in zip(nested.last.parameters(), alone.parameters(), strict=True):
        ours.data.copy_(normal(*ours.shape, generator=generator))
        theirs.data.copy_(ours)
    x, y = normal(20, 5, generator=generator), normal(20, 2, generator=generator)
    whole = FlatParameters(nested)
    for layer, flat in ((nested.last, whole.part(nested.last)), (alone, FlatParameters(alone))):
        optimizer = SOLVERS[solver](flat, weight_decay=0.1)

        def gradient(layer=layer, flat=flat):
            with torch.enable_grad():
                loss = (layer(x) - y).square().mean() + 0.1 * layer(x).exp().mean()
                found = torch.autograd.grad(loss, list(layer.parameters()))
            for parameter, of in zip(layer.parameters(), found, strict=True):
                parameter.grad.copy_(of)
            return loss.detach()

        for _ in range(10):
            optimizer.step(gradient, 0.01)
    for ours, theirs in zip(nested.last.parameters(), alone.parameters(), strict=True):
        # The sums of line searches are taken over vectors with and without padding at the end.
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)

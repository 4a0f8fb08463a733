import builtins

import pytest
import torch
from torch.func import jacrev

from skgen.networks.flows import FlowLayers, orders
from tests.oracles import process_state
from tests.parts import normal, perturbed

KINDS = {"autoregressive": {}, "coupling": {"n_blocks": 2}, "splines": {"n_blocks": 2, "n_bins": 5}}

every = pytest.mark.parametrize("kind", KINDS)


def layers(kind, generator, n_features=4, n_context=2):
    flow = FlowLayers(n_features, n_context, n_layers=4, hidden_layer_sizes=(7,), **KINDS[kind])
    flow.reset(generator)
    return perturbed(flow, generator)


def points(generator, n_features=4, n_context=2):
    context = normal(6, n_context, generator=generator) if n_context else None
    return normal(6, n_features, generator=generator), context


@every
@pytest.mark.parametrize("n_features", [1, 2, 4])
@pytest.mark.parametrize("n_context", [0, 2])
def test_points_come_back_and_slopes_are_those_of_the_map(kind, n_features, n_context, generator):
    flow = layers(kind, generator, n_features, n_context)
    y, context = points(generator, n_features, n_context)
    with torch.no_grad():
        u, log_slope = flow.mapped(y, context)
        torch.testing.assert_close(flow.unmapped(u, context), y, rtol=1e-9, atol=1e-9)
    for i in range(len(y)):
        jacobian = jacrev(lambda row, i=i: flow.mapped(row, None if context is None else context[i])[0])(y[i])
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_slope[i], rtol=1e-9, atol=1e-9)


@every
def test_it_starts_as_the_identity(kind, generator):
    flow = FlowLayers(4, 2, n_layers=3, hidden_layer_sizes=(7,), **KINDS[kind]).double()
    flow.reset(generator)
    y, context = points(generator)
    u, log_slope = flow.mapped(y, context)
    torch.testing.assert_close(u, y)
    torch.testing.assert_close(log_slope, torch.zeros_like(log_slope))


@every
def test_four_layers_let_every_feature_depend_on_every_other(kind, generator):
    flow = layers(kind, generator)
    y, context = points(generator)
    jacobian = jacrev(lambda row: flow.mapped(row, context[0])[0])(y[0])
    assert (jacobian != 0).all()


def test_orders_are_permutations():
    for n_features in (1, 2, 5, 8):
        for order in orders(n_features, 6):
            assert sorted(order.tolist()) == list(range(n_features))
    assert len({tuple(order.tolist()) for order in orders(8, 4)}) == 4


@every
def test_numbers_come_from_the_generator_and_the_process_is_left_as_it_was(kind):
    before = process_state()
    first, again, other = (
        torch.cat([p.flatten() for p in layers(kind, torch.Generator().manual_seed(seed)).parameters()])
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert process_state() == before


def test_without_zuko_an_error_says_how_to_install_it(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name == "zuko":
            raise ImportError(name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "skgen\[flows\]"'):
        FlowLayers(2, 0, n_layers=1, hidden_layer_sizes=(3,))

import torch

from skgen._trace import autograd_trace, differentiated, per_feature


def test_value_and_gradients_of_every_input_and_parameter():
    parameter = torch.tensor([2.0, 3.0], requires_grad=True)
    parameter.grad = torch.tensor([10.0, 10.0])
    x, y = torch.tensor([1.0, 4.0]), torch.tensor([5.0, 6.0])
    (total, product), pullback = autograd_trace(lambda a, b: (a + b, a * b * parameter), x, y)
    torch.testing.assert_close(product, x * y * parameter.detach())
    assert not total.requires_grad
    to_x, to_y = pullback(torch.tensor(0.5), torch.ones(2))
    torch.testing.assert_close(to_x, 0.5 + y * parameter.detach())
    torch.testing.assert_close(to_y, 0.5 + x * parameter.detach())
    torch.testing.assert_close(parameter.grad, 10 + x * y)


def test_a_cotangent_of_none_is_zero():
    (_, _), pullback = autograd_trace(lambda a: (a, a * a), torch.tensor([3.0]))
    torch.testing.assert_close(pullback(None, torch.ones(1))[0], torch.tensor([6.0]))
    (_,), pullback = autograd_trace(lambda a: a * a, torch.tensor([3.0]))
    assert pullback(None) == (None,)


def test_parameters_can_be_left_alone():
    parameter = torch.tensor([2.0, 3.0], requires_grad=True)
    parameter.grad = torch.tensor([10.0, 10.0])
    x, unused = torch.tensor([1.0, 4.0]), torch.ones(1)
    (_,), pullback = autograd_trace(lambda a, b: a * parameter, x, unused, parameter_gradient=False)
    to_x, to_unused = pullback(torch.ones(2))
    assert torch.equal(to_x, parameter.detach())
    assert to_unused is None
    assert torch.equal(parameter.grad, torch.tensor([10.0, 10.0]))


def test_it_works_where_gradients_are_off_and_leaves_the_input_alone():
    x = torch.ones(2)
    with torch.no_grad():
        (_,), pullback = autograd_trace(torch.exp, x)
        gradient = pullback(torch.tensor(1.0))[0]
    torch.testing.assert_close(gradient, x.exp())
    assert x.grad is None
    assert not x.requires_grad


def test_each_point_has_its_value_and_gradient_where_gradients_are_off_too():
    points = torch.tensor([[[1.0, 2.0], [0.0, 3.0]]])
    with torch.no_grad():
        value, gradient = differentiated(lambda z: 0.5 * z.square().sum(-1), points)
    torch.testing.assert_close(value, torch.tensor([[2.5, 4.5]]))
    torch.testing.assert_close(gradient, points)
    assert not value.requires_grad
    assert not points.requires_grad


def test_per_feature_adds_an_axis_to_all_but_numbers():
    assert per_feature(torch.ones(3)).shape == (3, 1)
    assert per_feature(torch.ones(2, 3)).shape == (2, 3, 1)
    assert per_feature(torch.tensor(1.0)).shape == ()

"""A likelihood for each column, :mod:`skgen.likelihoods.columns`."""

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skgen._terms import evaluate
from skgen.likelihoods import Auto, Bernoulli, Categorical, Columns, Gaussian, Likelihood, Poisson
from skgen.likelihoods.base import Head
from tests.parts import FAMILY_SPECS, likelihood_from, moments, normal, without_floor

NAMES = ["age", "kind", "income", "visits", "member"]
PARTS = [
    ("numeric", "gaussian", ["income", "age"]),
    ("kind", Categorical(3), "kind"),
    ("visits", "poisson", 3),
    ("member", Bernoulli("dynamic"), slice("member", None)),
]
SPECS = {"income age": Gaussian(), "kind": Categorical(3), "visits": Poisson(), "member": Bernoulli()}


def columns():
    return Columns(PARTS, NAMES)


@pytest.fixture
def likelihood(generator):
    return likelihood_from(columns(), 5, generator, mean=torch.ones(5).double() / 2, scale=torch.ones(5).double())[0]


def drawn(likelihood, n_rows, generator):
    """Outputs, and a row drawn for each."""
    outputs = normal(n_rows, likelihood.n_outputs, generator=generator)
    with torch.no_grad():
        return outputs, likelihood.sample(outputs, generator=generator)


def test_the_log_density_is_the_sum_over_columns_of_what_their_likelihoods_say(likelihood, generator):
    outputs, x = drawn(likelihood, 6, generator)
    variance = likelihood.parts[0].noise_variance()
    laws = {
        2: torch.distributions.Normal(outputs[:, 0], variance[0].sqrt()),
        0: torch.distributions.Normal(outputs[:, 1], variance[1].sqrt()),
        1: torch.distributions.Categorical(logits=outputs[:, 2:5]),
        3: torch.distributions.Poisson(outputs[:, 5].exp()),
        4: torch.distributions.Bernoulli(logits=outputs[:, 6]),
    }
    by_hand = torch.stack([laws[i].log_prob(x[:, i]) for i in range(5)], -1)
    torch.testing.assert_close(likelihood.log_probs(outputs, x), by_hand)
    torch.testing.assert_close(likelihood.log_prob(outputs, x), by_hand.sum(-1))
    means = torch.stack([outputs[:, 1], x[:, 1], outputs[:, 0], outputs[:, 5].exp(), outputs[:, 6].sigmoid()], -1)
    means[:, 1] = outputs[:, 2:5].argmax(-1)
    torch.testing.assert_close(likelihood.mean(outputs), means)


def test_measure_and_noise_are_those_of_the_columns(likelihood):
    assert likelihood.measure == columns().domain().measure == "mixed"
    assert Columns([("a", "poisson", 0), ("b", "bernoulli", 1)]).build(2).measure == "mass"
    assert likelihood.noise_variance().isnan().tolist() == [False, True, False, True, True]
    assert Columns([("a", "poisson", slice(None))]).build(2).noise_variance() is None


@pytest.mark.parametrize("spec", FAMILY_SPECS)
def test_a_single_part_is_that_likelihood_bit_for_bit(spec, generator):
    mean, scale = moments(3, generator, spec.build(3).support)
    alone, head, scaling = likelihood_from(spec, 3, generator, mean=mean, scale=scale)
    whole = Columns([("all", spec, slice(None))]).build(3).double()
    whole.parts[0].load_state_dict(alone.state_dict())
    outputs, x = drawn(alone, 7, generator)
    for method in ("log_prob", "log_probs"):
        assert torch.equal(getattr(whole, method)(outputs, x), getattr(alone, method)(outputs, x))
    assert torch.equal(whole.inputs(x), alone.inputs(x))
    for ours, reference in zip(whole.standardize(mean, scale), scaling, strict=True):
        assert torch.equal(ours, reference)
    assert head.bias.shape == (whole.n_outputs,)


def test_the_order_of_parts_is_nobody_s_business(likelihood, generator):
    other = Columns(PARTS[::-1], NAMES).build(5).double()
    other.parts[-1].load_state_dict(likelihood.parts[0].state_dict())
    outputs, x = drawn(likelihood, 6, generator)
    moved = torch.cat(outputs.split([part.n_outputs for part in likelihood.parts], -1)[::-1], -1)
    torch.testing.assert_close(other.log_probs(moved, x), likelihood.log_probs(outputs, x))


def test_tracer_equals_autograd(likelihood, generator):
    outputs, x = drawn(likelihood, 6, generator)
    outputs = torch.stack([outputs, outputs + 0.1])
    results = []
    for make in (type(likelihood).tracer, Likelihood.tracer):
        for parameter in likelihood.parameters():
            parameter.grad = torch.full_like(parameter, 0.5)
        value, pullback = make(likelihood)(outputs, x)
        gradient = pullback(torch.arange(12.0).double().reshape(2, 6))
        results.append([evaluate(value), gradient, *(p.grad.clone() for p in likelihood.parameters())])
    for ours, reference in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference)


def test_start_and_compensation_are_those_of_each_part(generator):
    spec = without_floor_of_parts()
    mean, scale = moments(5, generator)
    mean = mean.abs()
    likelihood, head, old = likelihood_from(spec, 5, generator, mean=mean, scale=scale)
    hidden = 0.3 * normal(6, 4, generator=generator)
    with torch.no_grad():
        x = likelihood.sample(hidden @ head.weight + head.bias, generator=generator)
        rows = x * old.scale + old.shift
        before = likelihood.log_prob(hidden @ head.weight + head.bias, x) - old.scale.log().sum()
        new = likelihood.standardize(mean + 0.4 * scale, 1.3 * scale)
        likelihood.compensate(head, old, new, torch.zeros(5, dtype=torch.bool))
        x = (rows - new.shift) / new.scale
        after = likelihood.log_prob(hidden @ head.weight + head.bias, x) - new.scale.log().sum()
    torch.testing.assert_close(after, before)


def without_floor_of_parts():
    spec = columns()
    return spec.set_params(numeric=without_floor(Gaussian()))


def test_shares_go_to_the_categories(likelihood):
    head = Head(torch.zeros(4, 7).double(), torch.zeros(7).double())
    shares = torch.arange(1.0, 8.0).double()
    likelihood.initialize_shares(head, shares)
    torch.testing.assert_close(head.bias[2:5], shares[2:5].log())
    assert not head.bias[[0, 1, 5, 6]].any()


def test_only_columns_that_are_redrawn_are_redrawn(likelihood, generator):
    x = torch.full((100, 5), 0.5).double()
    redrawn = likelihood.augment(x, generator=generator)
    assert torch.equal(redrawn[:, :4], x[:, :4])
    assert set(redrawn[:, 4].tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(
    "chosen",
    [2, "c", [2], ["c"], slice(2, None), slice("c", "c"), [False, False, True], np.array([2]), -1,
     np.array([False, False, True])],
    ids=repr,
)  # fmt: skip
def test_columns_are_chosen_as_in_a_column_transformer(chosen):
    spec = Columns([("rest", "gaussian", slice(0, 2)), ("last", "poisson", chosen)], ["a", "b", "c"])
    assert spec.positions(3) == [[0, 1], [2]]


def test_parts_without_columns_are_left_out():
    spec = Columns(
        [("odd", "poisson", slice(1, None, 2)), ("even", "gaussian", slice(0, None, 2)), ("no", "poisson", [])]
    )
    assert len(spec.build(1).parts) == 1
    assert spec.build(1).measure == "density"


def refusals():
    gaussian = ("a", "gaussian", [0, 1])
    yield [gaussian], [], "Column\\(s\\) 2 of X are in no part of the likelihood"
    yield [gaussian], ["x", "y", "z"], "Column\\(s\\) z of X are in no part"
    yield [gaussian, ("b", "poisson", [1, 2])], [], "Column\\(s\\) 1 of X are in more than one part"
    yield [gaussian, ("b", "poisson", [2, 2])], [], "Column\\(s\\) 2 of X are in more than one part"
    yield [gaussian, ("b", "poisson", 3)], [], "The part 'b' of the likelihood names the column 3"
    yield [gaussian, ("b", "poisson", "w")], ["x", "y", "z"], "names the column 'w', but X has \\['x', 'y', 'z'\\]"
    yield [gaussian, ("b", "poisson", [True])], [], "mask of the part 'b' must have an entry for each of 3 columns"
    yield [gaussian, ("b", "poisson", lambda X: [2])], [], "are a function of X"
    yield [gaussian, ("a", "poisson", 2)], [], "must be distinct"
    yield [("a__b", "gaussian", slice(None))], [], "without '__'"
    yield [("parts", "gaussian", slice(None))], [], "none of \\['parts'"
    yield [("a", "gaussian")], [], "a list of \\(name, likelihood, columns\\)"
    yield "gaussian", [], "a list of \\(name, likelihood, columns\\)"
    yield [("a", "normal", slice(None))], [], "the likelihood of the part 'a' must be one of"
    yield [("a", Auto(), slice(None))], [], "must have a single likelihood"


@pytest.mark.parametrize(("parts", "names", "message"), list(refusals()))
def test_what_cannot_be_is_refused_by_name(parts, names, message):
    with pytest.raises(ValueError, match=message):
        Columns(parts, names).build(3)


def test_parts_and_their_fields_are_parameters():
    spec = Columns([("numeric", "gaussian", [0, 1]), ("kind", Categorical(3), 2)])
    assert spec.get_params()["kind__categories"] == 3
    copy = clone(spec).set_params(numeric__variance="shared", kind="poisson")
    assert copy == Columns([("numeric", Gaussian("shared"), [0, 1]), ("kind", "poisson", 2)])
    assert spec == Columns([("numeric", "gaussian", [0, 1]), ("kind", Categorical(3), 2)])
    with pytest.raises(ValueError, match="Invalid parameter 'other' for Columns"):
        spec.set_params(other=1)


def test_rows_decide_what_is_automatic():
    assert Auto().domain().measure == "mixed"
    with pytest.raises(ValueError, match="decided by the rows"):
        Auto().build(3)

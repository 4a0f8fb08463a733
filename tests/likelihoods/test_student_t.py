import pytest
import torch

from skgen.likelihoods.student_t import LARGEST_DEGREES, SMALLEST_DEGREES, StudentT
from tests.oracles import within


def test_degrees_of_freedom_stay_within_bounds_and_the_density_stays_finite():
    likelihood = StudentT().build(2)
    x = torch.tensor([[0.0, 1.0], [1e8, -1e8]])
    for raw in (-1e4, 0.0, 1e4):
        likelihood.raw_degrees.data.fill_(raw)
        for parameter in likelihood.parameters():
            parameter.grad = torch.zeros_like(parameter)
        degrees = likelihood._degrees()
        assert (degrees >= SMALLEST_DEGREES * (1 - 1e-6)).all()
        assert (degrees <= SMALLEST_DEGREES + LARGEST_DEGREES).all()
        value, pullback = likelihood.tracer()(torch.zeros(2, 2), x)
        assert value.isfinite().all()
        assert pullback(torch.ones(2)).isfinite().all()
        assert all(parameter.grad.isfinite().all() for parameter in likelihood.parameters())


def test_the_scale_has_a_floor():
    likelihood = StudentT(min_scale=0.05).build(2)
    likelihood.log_scale.data.fill_(-1e4)
    assert likelihood._scale().tolist() == pytest.approx([0.05, 0.05])


def test_given_degrees_of_freedom_are_kept_and_give_the_noise_its_variance(generator):
    likelihood = StudentT(degrees_of_freedom=9).build(1).double()
    assert [name for name, _ in likelihood.named_parameters()] == ["log_scale"]
    with torch.no_grad():
        draws = likelihood.sample(torch.zeros(40000, 1).double(), generator=generator)
    assert within(draws**2, likelihood.noise_variance())


def test_outliers_pull_less_the_further_away_they_are():
    likelihood = StudentT(degrees_of_freedom=3).build(1)
    likelihood.log_scale.grad = torch.zeros(1)
    _, pullback = likelihood.tracer()(torch.zeros(2, 1), torch.tensor([[10.0], [100.0]]))
    near, far = pullback(torch.ones(2))[:, 0]
    assert near > far > 0


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        (StudentT(degrees_of_freedom=2), "degrees_of_freedom must be a number > 2 and < inf, got 2"),
        (StudentT(min_scale=0), "min_scale must be a number > 0 and < 0.3, got 0"),
    ],
)
def test_fields_out_of_range_are_named(spec, match):
    with pytest.raises(ValueError, match=match):
        spec.build(2)

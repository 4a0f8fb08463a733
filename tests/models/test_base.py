import pytest
import torch

from skgen.models.base import NetworkModel
from tests.parts import LIKELIHOOD_SPECS, model_from, moments, normal, rows_from, without_floor

pytestmark = pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)


@pytest.fixture
def model(likelihood, generator):
    return model_from(likelihood, generator=generator)


def test_standardisation_is_undone_and_its_jacobian_stated(model, generator):
    assert isinstance(model, NetworkModel)
    rows = normal(5, 3, generator=generator)
    torch.testing.assert_close(model.unstandardize(model.standardize(rows)), rows)
    jacobian = torch.func.jacrev(model.standardize)(rows[0])
    torch.testing.assert_close(model.log_jacobian, torch.linalg.slogdet(jacobian)[1])


def test_the_encoder_sees_rows_scaled_by_the_input_scale(model, generator):
    rows = normal(5, 3, generator=generator)
    with torch.no_grad():
        expected = model.encoder(model.likelihood.inputs((rows - model.shift) / model.input_scale))
        torch.testing.assert_close(model.encode(model.standardize(rows)), expected)


def test_decode_is_the_mean_of_draws_in_the_user_s_units_or_of_codes_the_mode(model, generator):
    z = normal(1, 2, generator=generator)
    with torch.no_grad():
        outputs = model.decoder(z).expand(20000, -1)
        draws = model.unstandardize(model.likelihood.sample(outputs, generator=generator))
        error = draws.std(0) / 20000**0.5
        decoded = model.decode(z)[0]
    close = (draws.mean(0) - decoded).abs() < 5 * error + 1e-12
    assert (close | (model.likelihood.nominal & (draws.mode(0).values == decoded))).all()


def test_width_covers_the_networks(model):
    assert model.width >= max(model.encoder.width, model.decoder.width)


def test_restandardising_leaves_p_of_x_given_z_of_x_in_the_user_s_units(likelihood, generator):
    model = model_from(without_floor(likelihood), generator=generator)
    with torch.no_grad():
        rows = model.unstandardize(rows_from(model, 6, generator))
        noise = normal(2, 6, 2, generator=generator)

        def in_user_units():
            terms = model.terms(model.standardize(rows), noise)
            mean, scale = model.posterior.mean_and_scale(model.encode(model.standardize(rows)))
            decoded = model.decode(normal(4, 2, generator=torch.Generator().manual_seed(0)))
            return terms.log_weight + model.log_jacobian, terms.kl, mean, scale, decoded

        before = in_user_units()
        model.restandardize(*moments(3, generator, model.likelihood.support), torch.zeros(3, dtype=torch.bool))
        for a, b in zip(in_user_units(), before, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)

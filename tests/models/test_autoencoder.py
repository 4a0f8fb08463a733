import pytest
import torch

from skgen._terms import Cotangents
from skgen.models.autoencoder import AutoencoderModel
from skgen.training.flat import FlatParameters
from tests.parts import LIKELIHOOD_SPECS, model_from, moments, normal

pytestmark = pytest.mark.parametrize("likelihood", LIKELIHOOD_SPECS)


@pytest.fixture
def model(likelihood, generator):
    # A posterior has two parameters for each component, so this code has twice as many as the other model's.
    base = model_from(likelihood, n_components=2, generator=generator)
    encoder, decoder = base.encoder, base.decoder
    encoder.layers[-1] = type(encoder.layers[-1])(5, 2).double()
    encoder.reset(generator)
    built = AutoencoderModel(encoder, decoder, base.likelihood).double()
    with torch.no_grad():
        built.initialize(*moments(3, generator, built.likelihood.support))
    return built


@pytest.fixture
def x(model, generator):
    with torch.no_grad():
        return model.likelihood.sample(model.decoder(normal(6, 2, generator=generator)), generator=generator)


def test_its_term_is_the_density_of_the_row_at_its_own_code(model, x):
    with torch.no_grad():
        code = model.encoder(model.likelihood.inputs(x * model.scale / model.input_scale))
        torch.testing.assert_close(model.encode(x), code)
        expected = model.likelihood.log_prob(model.decoder(code), x)
        torch.testing.assert_close(model.terms(x).log_likelihood, expected[None])


@pytest.mark.parametrize("weighted", [False, True], ids=["number", "rows"])
def test_tracer_equals_autograd(model, x, generator, weighted):
    FlatParameters(model)
    cotangent = normal(*((6,) if weighted else ()), generator=generator)
    terms, pullback = model.tracer()(x, None, None)
    value = terms.log_likelihood.clone()
    pullback(Cotangents(cotangent))
    reference = model.terms(x).log_likelihood
    torch.testing.assert_close(value, reference.detach())
    gradients = torch.autograd.grad((reference * cotangent).sum(), list(model.parameters()))
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-10)

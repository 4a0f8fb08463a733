"""Parts for tests, built from the package's tables so that an added entry is tested without a new test."""

import math
from dataclasses import replace

import pytest
import torch

from skgen import posteriors, priors
from skgen.likelihoods import LIKELIHOODS, Bernoulli, Categorical, Columns, Gaussian
from skgen.likelihoods.base import Head
from skgen.likelihoods.gaussian import VARIANCES
from skgen.models import LatentVariableModel
from skgen.networks import MLP
from skgen.posteriors import POSTERIORS
from skgen.priors import PRIORS, Vamp

VARIANTS = {
    "normal": [priors.Normal(), priors.Normal(learned=True)],
    "vamp": [Vamp(n_pseudo_inputs=4)],
    "flow": [
        priors.Flow(n_layers=2, hidden_layer_sizes=6, n_bins=4),
        posteriors.Flow(hidden_layer_sizes=6, n_context=3),
    ],
    "bernoulli": [Bernoulli(), Bernoulli(binarize="dynamic")],
    "categorical": [Categorical(3), priors.Categorical(3), priors.Categorical(3, max_states=1)],
    "gaussian": [Gaussian(variance=variance) for variance in VARIANCES],
}
"""Specs of the entries that have more than one mode; every other entry is tested with its defaults."""
LARGEST_MEAN = 10.0
"""Of columns of counts."""


def specs(table):
    """Test parameters, one for each variant of each entry of a table of specs."""
    found = []
    for name, spec_class in table.items():
        variants = [spec for spec in VARIANTS.get(name, []) if isinstance(spec, spec_class)] or [spec_class()]
        found += [pytest.param(spec, id=f"{name}{i}" if len(variants) > 1 else name) for i, spec in enumerate(variants)]
    return found


PRIOR_SPECS, POSTERIOR_SPECS, FAMILY_SPECS = specs(PRIORS), specs(POSTERIORS), specs(LIKELIHOODS)
REAL_PRIOR_SPECS = [spec for spec in PRIOR_SPECS if not isinstance(spec.values[0], priors.Categorical)]
"""Those whose latent variables are real numbers."""
MIXED = Columns([("even", "gaussian", slice(0, None, 2)), ("odd", Categorical(3), slice(1, None, 2))])
LIKELIHOOD_SPECS = [*FAMILY_SPECS, pytest.param(MIXED, id="columns")]
"""Families, and one of them for each column, which is what models are tested with."""


def normal(*shape, generator, dtype=torch.float64):
    """Standard normal numbers."""
    return torch.empty(shape, dtype=dtype).normal_(generator=generator)


def gradient_of(function, flat):
    """What an optimiser is given: fills the gradient of a function of a flat vector and returns its value.

    A value that does not depend on the vector, such as infinity outside a domain, has gradient 0.
    """

    def gradient():
        with torch.enable_grad():
            vector = flat.value.detach().requires_grad_()
            loss = function(vector)
        if loss.requires_grad:
            flat.gradient.copy_(torch.autograd.grad(loss, vector)[0])
        else:
            flat.gradient.zero_()
        return loss.detach()

    return gradient


def moments(n_features, generator, support=None):
    """Means, within a support, and positive standard deviations of columns; counts are of some ten."""
    mean, scale = (
        3 * normal(n_features, generator=generator),
        torch.exp(normal(n_features, generator=generator)),
    )
    return mean if support is None else within_support(support, torch.sigmoid(mean)), scale


def within_support(support, share):
    """Values at shares of the way through a support, which is cut off where it has no end."""
    low, high = support
    return low + ((LARGEST_MEAN if high == math.inf else high) - low) * share


def without_floor(spec):
    """The spec with a negligible floor, if it has one: a floor is a share of the scale and moves with it."""
    floors = [name for name in spec.get_params() if name.startswith("min_")]
    return replace(spec, **dict.fromkeys(floors, 1e-200))


def perturbed(module, generator, size=0.3):
    """The module in float64 with noise added to its parameters, and with zero gradients in place."""
    module.double()
    for parameter in module.parameters():
        parameter.data.add_(size * normal(*parameter.shape, generator=generator))
        parameter.grad = torch.zeros_like(parameter)
    return module


def likelihood_from(spec, n_features, generator, *, mean=None, scale=None, n_hidden=4):
    """A likelihood with own parameters away from their start, the head that it started, and its scaling."""
    likelihood = spec.build(n_features).double()
    if mean is None:
        mean, scale = moments(n_features, generator, likelihood.support)
    head = Head(
        normal(n_hidden, likelihood.n_outputs, generator=generator),
        torch.zeros(likelihood.n_outputs, dtype=torch.float64),
    )
    with torch.no_grad():
        likelihood.initialize(head, mean, scale)
    return perturbed(likelihood, generator), head, likelihood.standardize(mean, scale)


def model_from(
    likelihood,
    *,
    generator,
    prior="normal",
    posterior="diagonal",
    n_features=3,
    n_components=2,
    hidden=(5,),
    activation="tanh",
    dropout=0.0,
    missing=False,
):
    """A latent-variable model in float64 with random parameters; parts are specs or names of entries."""
    prior = PRIORS[prior]() if isinstance(prior, str) else prior
    posterior = POSTERIORS[posterior]() if isinstance(posterior, str) else posterior
    likelihood = LIKELIHOODS[likelihood]() if isinstance(likelihood, str) else likelihood
    prior = prior.build(n_components)
    posterior = prior.adapted(posterior.build(n_components))
    likelihood = likelihood.build(n_features)
    model = LatentVariableModel(
        MLP(likelihood.n_inputs + missing * n_features, hidden, posterior.n_parameters, activation, dropout),
        MLP(prior.n_latent, hidden[::-1], likelihood.n_outputs, activation, dropout),
        prior,
        posterior,
        likelihood,
        missing=missing,
    ).double()
    with torch.no_grad():
        model.reset(generator)
        model.initialize(*moments(n_features, generator, likelihood.support))
    return perturbed(model, generator)


def with_holes(x, generator, share=0.4):
    """Rows of which some entries are missing, with one that is complete and one of which all are."""
    hidden = torch.rand(x.shape, dtype=torch.float64, generator=generator) < share
    hidden[0], hidden[-1] = False, True
    return x.masked_fill(hidden, torch.nan)


def rows_from(model, n_rows, generator):
    """Standardised rows drawn from a model."""
    with torch.no_grad():
        z = model.prior.sample(n_rows, generator=generator, like=model.scale)
        return model.likelihood.sample(model.decoder(z), generator=generator)

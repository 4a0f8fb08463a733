"""Combinations of parameters that have no meaning raise, and all others fit."""

import re
from functools import partial
from itertools import cycle

import numpy as np
import pytest
import torch

from skgen.estimators._cells import CELLS, TRAITS
from skgen.likelihoods import LIKELIHOODS, Bernoulli
from skgen.objectives import OBJECTIVES
from skgen.priors import PRIORS, Categorical, Mixture, Vamp
from tests.estimators.configurations import amortized, rows, vae

pytestmark = pytest.mark.filterwarnings("ignore")


def own_function(log_weight):
    return torch.logsumexp(log_weight, 0)


WITH = {
    "line search": {"solver": "lbfgs"},
    "dropout": {"dropout": 0.1},
    "redrawn rows": {"likelihood": Bernoulli("dynamic")},
    "another gradient": {"objective": "dreg"},
    "bound at weight 1": {"objective": "iwae"},
    "weights of draws": {"objective": own_function},
    "another weight": {"beta": 2.0},
    "no weight": {"beta": 0.0},
    "free bits": {"free_bits": 0.1},
    "target": {"target_kl": 1.0},
    "falling weight": {"kl_schedule": "annealed"},
    "resemblance": {"reconstruction": "ssim", "image_shape": (7, 7)},
    "fitted afterwards": {"prior_fit": "aggregate", "prior": Mixture(2)},
    "nothing to fit": {"prior": "normal"},
    "categorical": {"prior": Categorical(3)},
    "relaxed draws": {"prior": Categorical(3, max_states=2)},
    "dependent posterior": {"posterior": "full"},
    "refinement": {"refine_steps": 2},
    "critic": {"mutual_information_weight": 1.0},
    "cycles": {"kl_schedule": "cyclical"},
}
WITH_UNITS = {
    "E-step along lines": {"e_solver": "lbfgs"},
    "M-step along lines": {"m_solver": "lbfgs"},
    "no encoder": {"inference": "local"},
    "more than an encoder": {"inference": "semi_amortized"},
    "rising information": {"e_schedule": "aggressive"},
    "pseudo-inputs": {"latent_generator": Vamp(3)},
    "categories": {"latent_generator": Categorical(3)},
}
"""The same of models of units."""
"""Parameters that give an estimator each trait of the table; the trait's own first."""


def small(**parameters):
    return vae(**{"max_iter": 1, "hidden_layer_sizes": (4,), "n_draws": 4} | parameters)


@pytest.mark.parametrize("names", CELLS, ids=" and ".join)
def test_a_combination_without_a_meaning_is_refused_by_both_names_and_either_part_is_not(names):
    first, second = ((WITH | WITH_UNITS)[name] for name in names)
    built = partial(amortized, max_iter=1) if any(name in WITH_UNITS for name in names) else small
    a, b = (next(iter(parameters.items())) for parameters in (first, second))
    pattern = " does not go with ".join(re.escape(f"{name}={value!r}") for name, value in (a, b))
    with pytest.raises(ValueError, match=f"{pattern}: .*(set|choose)"):
        built(**first | second).fit(rows(12, 49))
    for parameters in (first, second):
        built(**parameters).fit(rows(12, 49))


def test_every_trait_of_the_table_is_of_some_use():
    assert set(TRAITS) == {name for names in CELLS for name in names}


OWN = "function"
OBJECTIVE_NAMES = [*OBJECTIVES, OWN]
COVERING = {
    (prior, likelihood, objective)
    for (prior, objective), likelihood in zip(
        [(p, o) for p in PRIORS for o in OBJECTIVE_NAMES], cycle(LIKELIHOODS), strict=False
    )
}
COVERING |= {
    (prior, likelihood, objective)
    for (likelihood, objective), prior in zip(
        [(k, o) for k in LIKELIHOODS for o in OBJECTIVE_NAMES], cycle(PRIORS), strict=False
    )
}


REFUSED = {("categorical", "dreg")}
"""Priors and objectives that do not go together, by the table."""


@pytest.mark.parametrize(("prior", "likelihood", "objective"), sorted(COVERING))
def test_priors_likelihoods_and_objectives_go_with_each_other_unless_the_table_says_no(prior, likelihood, objective):
    X = (rows(12) * 3).round() if likelihood == "categorical" else rows(12)
    estimator = small(
        prior=Vamp(4) if prior == "vamp" else prior,
        likelihood=likelihood,
        objective=own_function if objective == OWN else objective,
    )
    if (prior, objective) in REFUSED:
        with pytest.raises(ValueError, match="does not go with"):
            estimator.fit(X)
        return
    estimator.fit(X)
    assert np.isfinite(estimator.score(X))
    assert np.isfinite(estimator.history_["elbo"]).all()

"""Every public estimator in several configurations, small enough that a fit takes a moment."""

import numpy as np
from sklearn.base import BaseEstimator, clone

import skgen
from skgen import (
    RBM,
    AdversarialVariationalBayes,
    AmortizedLatentModel,
    Autoencoder,
    BayesianGaussianMixture,
    FactorAnalysis,
    GaussianMixture,
    GenerativeAdversarialNetwork,
    MixtureOfFactorAnalyzers,
    MutualInformation,
    ProbabilisticPCA,
    RBMStack,
    RBMStackClassifier,
    VariationalAutoencoder,
    VariationalClassifier,
    posteriors,
    priors,
)
from skgen.likelihoods import Bernoulli, Gaussian
from skgen.priors import Mixture, Vamp

ROUNDED = "ignore:Values of X that are no whole numbers:UserWarning"
"""Filter of the warning that likelihoods of whole numbers give for the rows below."""
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def vae(n_components=2, **parameters):
    return VariationalAutoencoder(n_components, **SMALL | parameters)


def autoencoder(n_components=2, **parameters):
    return Autoencoder(n_components, **SMALL | parameters)


def mixture(n_components=2, **parameters):
    return GaussianMixture(n_components, **{"max_iter": 5, "reg_covar": 1e-4, "random_state": 0} | parameters)


def bayesian(n_components=2, **parameters):
    return BayesianGaussianMixture(n_components, **{"max_iter": 5, "random_state": 0} | parameters)


def factor_mixture(n_components=2, **parameters):
    return MixtureOfFactorAnalyzers(n_components, **{"max_iter": 5, "reg_covar": 1e-4, "random_state": 0} | parameters)


def pca(n_components=2, **parameters):
    return ProbabilisticPCA(n_components, **{"random_state": 0} | parameters)


def factors(n_components=2, **parameters):
    return FactorAnalysis(n_components, **{"random_state": 0} | parameters)


def machine(n_components=2, **parameters):
    return RBM(n_components, **{"max_iter": 5, "batch_size": 100, "random_state": 0} | parameters)


def stack(hidden_layer_sizes=(4, 2), **parameters):
    return RBMStack(hidden_layer_sizes, **{"max_iter": 5, "fine_tuning_max_iter": 3, "random_state": 0} | parameters)


def classifier(stack, **parameters):
    return RBMStackClassifier(stack, **{"learning_rate": 0.03, "max_iter": 40, "random_state": 0} | parameters)


def labelled(n_components=2, **parameters):
    return VariationalClassifier(n_components, **SMALL | {"learning_rate": 0.05, "max_iter": 40} | parameters)


def amortized(n_units=2, **parameters):
    small = {"unit_size": 1, "hidden_layer_sizes": 4, "max_iter": 5, "refine_steps": 4, "n_score_draws": 16}
    return AmortizedLatentModel(n_units, **small | {"random_state": 0} | parameters)


def information(bound="infonce", **parameters):
    return MutualInformation(bound, **SMALL | parameters)


def gan(n_components=2, **parameters):
    small = {"n_score_draws": 100, "inversion_steps": 10}
    return GenerativeAdversarialNetwork(n_components, **SMALL | small | parameters)


def adversarial_bayes(n_components=2, **parameters):
    small = {"sampler_hidden_layer_sizes": 4, "adversary_hidden_layer_sizes": 4, "n_score_draws": 16}
    return AdversarialVariationalBayes(n_components, **SMALL | small | parameters)


CONFIGURATIONS = {
    "vae": vae(),
    "vae-shared": vae(likelihood=Gaussian("shared")),
    "vae-fixed": vae(likelihood=Gaussian("fixed")),
    "vae-network": vae(likelihood=Gaussian("network")),
    "vae-bernoulli": vae(likelihood="bernoulli"),
    "vae-dynamic": vae(likelihood=Bernoulli("dynamic")),
    "vae-student": vae(likelihood="student_t"),
    "vae-poisson": vae(likelihood="poisson"),
    "vae-auto": vae(likelihood="auto"),
    "vae-columns": vae(likelihood=[("even", "gaussian", slice(0, None, 2)), ("odd", "bernoulli", slice(1, None, 2))]),
    "vae-iwae": vae(objective="iwae", n_draws=5),
    "vae-dreg": vae(objective="dreg", n_draws=5, kl_schedule="cyclical"),
    "vae-information": vae(mutual_information_weight=0.5),
    "vae-target": vae(target_kl=1.0),
    "vae-linear-lbfgs": vae(hidden_layer_sizes=(), solver="lbfgs"),
    "vae-gated-dropout": vae(activation="gated", dropout=0.2),
    "vae-early-stopping": vae(early_stopping=True, validation_fraction=0.2),
    "vae-free-bits": vae(free_bits=0.1),
    "vae-clusters": vae(prior=Mixture(3, pretraining=2)),
    "vae-aggregate": vae(prior=Mixture(3), prior_fit="aggregate"),
    "vae-vamp": vae(prior=Vamp(4)),
    "vae-uniform": vae(prior="uniform"),
    "vae-discrete": vae(prior=priors.Categorical(3)),
    "vae-discrete-drawn": vae(3, prior=priors.Categorical(5)),
    "vae-conv": vae(network="conv", hidden_layer_sizes=(3, 4)),
    "vae-full": vae(3, posterior="full"),
    "vae-flow": vae(
        prior=priors.Flow(n_layers=1, hidden_layer_sizes=4, n_bins=4),
        posterior=posteriors.Flow(n_layers=1, hidden_layer_sizes=4, n_context=2),
        n_score_draws=8,
        max_iter=3,
    ),
    "vae-refined": vae(refine_steps=3, n_score_draws=16),
    "vae-restarts": vae(n_init=2),
    "vae-float64": vae(precision="float64"),
    "vae-bfloat16": vae(precision="bfloat16"),
    "vae-sgd": vae(solver="sgd", learning_rate=0.01, max_grad_norm=1.0, learning_rate_schedule="cosine"),
    "autoencoder": autoencoder(),
    "autoencoder-cross-entropy": autoencoder(loss="cross_entropy"),
    "autoencoder-poisson": autoencoder(loss="poisson"),
    "autoencoder-linear": autoencoder(hidden_layer_sizes=()),
    "autoencoder-conv": autoencoder(network="conv", activation="gated", dropout=0.1),
    "autoencoder-lbfgs": autoencoder(solver="lbfgs"),
    "mixture": GaussianMixture(random_state=0),
    "mixture-full": mixture(),
    "mixture-tied": mixture(covariance_type="tied", init_params="k-means++"),
    "mixture-diag": mixture(covariance_type="diag", solver="incremental", init_params="random"),
    "mixture-spherical": mixture(3, covariance_type="spherical", solver="em-accelerated"),
    "mixture-tied_diag": mixture(covariance_type="tied_diag", solver="online"),
    "mixture-tied_spherical": mixture(covariance_type="tied_spherical", solver="mcem", init_params="random_from_data"),
    "mixture-gradient": mixture(solver="gradient", whiten_init=False),
    "mixture-adam": mixture(covariance_type="diag", solver="gradient", gradient_method="adam"),
    "mixture-prior": mixture(prior="conjugate", reg_covar=0.0, n_init=5),
    # With a prior the bound rises up to its maximum, from where a fit continued does not move.
    "mixture-warm": mixture(
        prior="conjugate", reg_covar=0.0, warm_start=True, on_degenerate="prune", max_iter=500, tol=1e-13
    ),
    "bayesian-mixture": BayesianGaussianMixture(random_state=0),
    "bayesian-mixture-full": bayesian(
        3, weight_concentration_prior_type="dirichlet_distribution", solver="em-accelerated"
    ),
    "bayesian-mixture-tied": bayesian(covariance_type="tied", solver="incremental", reg_covar=0.0),
    "bayesian-mixture-diag": bayesian(covariance_type="diag", solver="online"),
    "bayesian-mixture-spherical": bayesian(covariance_type="spherical", warm_start=True, max_iter=500, tol=1e-13),
    "bayesian-mixture-tied_diag": bayesian(covariance_type="tied_diag", mean_precision_prior=0.1),
    "bayesian-mixture-gradient": bayesian(covariance_type="tied_spherical", solver="gradient"),
    "factor-mixture": MixtureOfFactorAnalyzers(random_state=0),
    "factor-mixture-diagonal": factor_mixture(init_params="k-means++"),
    "factor-mixture-isotropic": factor_mixture(3, noise="isotropic", solver="em-accelerated"),
    "factor-mixture-shared": factor_mixture(noise="shared", init_params="random"),
    "factor-mixture-gradient": factor_mixture(solver="gradient", whiten_init=True),
    # One component starts at its maximum, so that a fit continued ends where it began.
    "factor-mixture-warm": factor_mixture(1, noise="isotropic", warm_start=True, max_iter=500, tol=1e-13),
    "pca": ProbabilisticPCA(random_state=0),
    "pca-two": pca(),
    "pca-share": pca(0.9),
    "pca-mle": pca("mle"),
    "pca-ard": pca("ard"),
    "pca-em": pca(solver="em", max_iter=5),
    "pca-gradient": pca(solver="gradient", max_iter=5),
    "factor-analysis": FactorAnalysis(random_state=0),
    "factor-analysis-two": factors(),
    "factor-analysis-varimax": factors(rotation="varimax"),
    "factor-analysis-quartimax": factors(rotation="quartimax"),
    "rbm": machine(),
    "rbm-cd": machine(method="cd", n_gibbs=3, center=False, solver="adam"),
    "rbm-tempering": machine(method="tempering", n_chains=10),
    "rbm-pseudo": machine(score_method="pseudo", sparsity_target=0.2),
    "rbm-linear-hidden": machine(hidden="gaussian", learning_rate_schedule="constant"),
    "rbm-gaussian": machine(visible="gaussian"),
    "rbm-gaussian-cd": machine(visible="gaussian", method="cd"),
    "rbm-gaussian-linear": machine(visible="gaussian", hidden="gaussian", variance="shared"),
    "rbm-gaussian-relu": machine(visible="gaussian", hidden="relu", variance="fixed"),
    "rbm-early-stopping": machine(early_stopping=True, validation_fraction=0.2, n_iter_no_change=2),
    "stack": stack(),
    "stack-one": stack(3),
    "stack-up-down": stack((4, 3, 2), fine_tuning="up-down", output_layer=1),
    "stack-gaussian": stack(visible="gaussian", fine_tuning="up-down"),
    "stack-early-stopping": stack(early_stopping=True, validation_fraction=0.2, n_iter_no_change=2),
}

AMORTIZED = {
    "amortized": amortized(),
    "amortized-clusters": amortized(latent_generator=Mixture(3, pretraining=2), unit_size=2, batch_size=None),
    "amortized-semi": amortized(inference="semi_amortized", latent_generator="normal"),
    "amortized-local": amortized(
        inference="local", e_solver="bfgs", m_solver="newton-cg", latent_generator="normal", max_iter=2
    ),
    "amortized-lines": amortized(
        e_solver="lbfgs", m_solver="cg", n_e_steps=2, n_m_steps=2, decoder="mlp", latent_generator="normal", max_iter=3
    ),
    "amortized-laplace": amortized(inference="laplace", likelihood="bernoulli", latent_generator="normal"),
    "amortized-mcmc": amortized(inference="mcmc", kernel="langevin", latent_generator="uniform"),
    "amortized-aggressive": amortized(e_schedule="aggressive", latent_generator=Vamp(4), n_e_steps=3),
    "amortized-discrete": amortized(latent_generator=priors.Categorical(3), likelihood="auto"),
    "amortized-stopping": amortized(
        early_stopping=True, validation_fraction=0.2, decoder="mlp", activation="gated", latent_generator="normal"
    ),
}
"""Latent-variable models of units, learnt by variational EM."""
CONFIGURATIONS |= AMORTIZED

IMPLICIT = {
    "adversarial-bayes": adversarial_bayes(),
    "adversarial-bayes-clusters": adversarial_bayes(prior=Mixture(3, pretraining=2), proposal="diagonal", n_noise=3),
    "adversarial-bayes-bernoulli": adversarial_bayes(likelihood="bernoulli", precision="float64"),
    "adversarial-bayes-uniform": adversarial_bayes(prior="uniform", early_stopping=True, validation_fraction=0.2),
}
"""Latent-variable models with posteriors that are known by their draws."""
CONFIGURATIONS |= IMPLICIT

ADVERSARIAL = {
    "gan": gan(),
    "gan-wasserstein": gan(loss="wasserstein-gp", activation="silu", n_critic_steps=2),
    "gan-hinge": gan(loss="hinge", max_grad_norm=1.0),
    "gan-least-squares": gan(loss="least-squares", precision="float64", weight_decay=0.01),
    "gan-conv": gan(network="conv", hidden_layer_sizes=(3, 4), bounded=True),
    "gan-encoder": gan(encoder=True),
}
"""Pairs of a generator and a critic."""
CONFIGURATIONS |= ADVERSARIAL

CLASSIFIERS = {
    "classifier": classifier(stack((16,))),
    "classifier-random": classifier(stack((16,)), pretrained=False, dropout=0.1),
    "classifier-gaussian": classifier(stack((16, 8), visible="gaussian", fine_tuning="up-down")),
    "classifier-lbfgs": classifier(stack((16,), visible="gaussian"), solver="lbfgs", max_iter=25, weight_decay=1e-3),
}
"""Networks that start from a stack and learn from labels."""

LABELLED = {
    "vae-conditional": vae(conditional=True),
    "vae-conditional-student": vae(conditional=True, likelihood="student_t", prior="mixture", early_stopping=True),
    "labelled": labelled(),
    "labelled-iwae": labelled(objective="iwae", n_draws=3, likelihood=Gaussian("shared")),
}
"""Estimators of rows that come with labels."""

PAIRED = {
    "information": information(),
    "information-batches": information("donsker-varadhan", batch_size=10),
    "information-nwj": information("nwj", early_stopping=False),
    "information-smile": information("smile", critic="concatenated"),
}
"""Estimators of the dependence between rows and their partners."""

ADVERSARIAL_LABELLED = {
    "gan-conditional": gan(conditional=True),
    "gan-conditional-wasserstein": gan(conditional=True, loss="wasserstein-gp", n_critic_steps=2),
}
"""Those of them that learn rows given their class."""

STACKS = [name for name, estimator in CONFIGURATIONS.items() if isinstance(estimator, RBMStack)]
"""Configurations of stacks of Boltzmann machines, which learn them one after the other."""
RESTARTED = ["vae-restarts"]
"""Configurations of networks that are fitted several times."""
NETWORKS = [
    name
    for name, estimator in CONFIGURATIONS.items()
    if hasattr(estimator, "hidden_layer_sizes") and name not in STACKS + RESTARTED + [*ADVERSARIAL]
]
"""Configurations that learn by gradient steps over epochs, in one run."""
MACHINES = [name for name, estimator in CONFIGURATIONS.items() if isinstance(estimator, RBM)]
"""Configurations of Boltzmann machines, which learn by gradient steps too."""
EXACT = [name for name in CONFIGURATIONS if name not in NETWORKS + RESTARTED + MACHINES + STACKS + [*ADVERSARIAL]]
"""Configurations that learn by iterations of EM."""

CLOSED_FORM = ["pca", "pca-two", "pca-share", "pca-mle", "pca-ard"]
"""Those of them that on complete rows have nothing to iterate."""
CHOOSING = ["pca-share", "pca-mle", "pca-ard"]
"""Those whose number of components depends on the rows."""

ESTIMATORS = [
    value
    for value in (getattr(skgen, name) for name in skgen.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]


def configured(name, **parameters):
    """A new estimator of a configuration, with other parameters where given."""
    return clone((CONFIGURATIONS | CLASSIFIERS | LABELLED | PAIRED | ADVERSARIAL_LABELLED)[name]).set_params(
        **parameters
    )


def rows(n_rows=40, n_features=5, *, seed=0, dtype=np.float64):
    """Rows in [0, 1], so that every configuration takes them, around a plane."""
    random = np.random.default_rng(seed)
    latent = random.normal(size=(n_rows, 2)) @ random.normal(size=(2, n_features))
    return (1 / (1 + np.exp(-latent - 0.3 * random.normal(size=latent.shape)))).astype(dtype)

"""Likelihoods p(x | z): what the decoder's outputs mean.

To add one, write a file with spec and module and name the spec in ``LIKELIHOODS``; contract tests run over the table.
"""

from skgen.likelihoods.base import Likelihood, LikelihoodSpec, Standardization
from skgen.likelihoods.bernoulli import Bernoulli, BernoulliLikelihood
from skgen.likelihoods.categorical import Categorical, CategoricalLikelihood
from skgen.likelihoods.columns import Auto, Columns, ColumnsLikelihood
from skgen.likelihoods.continuous_bernoulli import ContinuousBernoulli, ContinuousBernoulliLikelihood
from skgen.likelihoods.discretized_logistic import DiscretizedLogistic, DiscretizedLogisticLikelihood
from skgen.likelihoods.gaussian import Gaussian, GaussianLikelihood
from skgen.likelihoods.negative_binomial import NegativeBinomial, NegativeBinomialLikelihood
from skgen.likelihoods.poisson import Poisson, PoissonLikelihood
from skgen.likelihoods.student_t import StudentT, StudentTLikelihood

LIKELIHOODS: dict[str, type[LikelihoodSpec]] = {
    "bernoulli": Bernoulli,
    "categorical": Categorical,
    "continuous_bernoulli": ContinuousBernoulli,
    "discretized_logistic": DiscretizedLogistic,
    "gaussian": Gaussian,
    "negative_binomial": NegativeBinomial,
    "poisson": Poisson,
    "student_t": StudentT,
}

__all__ = [
    "LIKELIHOODS",
    "Auto",
    "Bernoulli",
    "BernoulliLikelihood",
    "Categorical",
    "CategoricalLikelihood",
    "Columns",
    "ColumnsLikelihood",
    "ContinuousBernoulli",
    "ContinuousBernoulliLikelihood",
    "DiscretizedLogistic",
    "DiscretizedLogisticLikelihood",
    "Gaussian",
    "GaussianLikelihood",
    "Likelihood",
    "LikelihoodSpec",
    "NegativeBinomial",
    "NegativeBinomialLikelihood",
    "Poisson",
    "PoissonLikelihood",
    "Standardization",
    "StudentT",
    "StudentTLikelihood",
]

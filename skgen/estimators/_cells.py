"""Combinations of parameters that have no meaning, each with the reason: one table for all estimators."""

from collections.abc import Callable
from dataclasses import dataclass

from skgen.estimators._inference import INFERENCES
from skgen.objectives import OBJECTIVES
from skgen.posteriors import Diagonal
from skgen.priors import Categorical, Vamp
from skgen.training.optimizers import SOLVERS


@dataclass(frozen=True)
class Trait:
    """Something that an estimator may have because of a parameter.

    Attributes
    ----------
    parameter : str
        The parameter, which errors name with its value. Estimators without it do not have the trait.
    holds : callable
        Whether an estimator that has decided on its parts has the trait.
    """

    parameter: str
    holds: Callable

    def of(self, estimator):
        """Whether the estimator has it."""
        return hasattr(estimator, self.parameter) and bool(self.holds(estimator))

    def named(self, estimator):
        """The parameter as the user wrote it."""
        return f"{self.parameter}={getattr(estimator, self.parameter)!r}"


def _of_table(test):
    """Whether a test holds of the class of an objective in the table."""
    return lambda estimator: not callable(estimator.objective) and test(OBJECTIVES[estimator.objective])


def _redraws(estimator):
    return estimator.likelihood_.build(estimator.n_features_in_).redraws


def _relaxes(estimator):
    return estimator.prior_.temperatures is not None and not estimator._sums


TRAITS = {
    "line search": Trait("solver", lambda e: e._searches_lines),
    "dropout": Trait("dropout", lambda e: e.dropout > 0),
    "redrawn rows": Trait("likelihood", _redraws),
    "another gradient": Trait("objective", _of_table(lambda objective: not objective.exact_gradient)),
    "bound at weight 1": Trait("objective", _of_table(lambda objective: objective.final_weight_one)),
    "weights of draws": Trait(
        "objective", lambda e: callable(e.objective) or OBJECTIVES[e.objective].needs_log_weights
    ),
    "another weight": Trait("beta", lambda e: e.beta != 1),
    "no weight": Trait("beta", lambda e: e.beta == 0),
    "free bits": Trait("free_bits", lambda e: e.free_bits > 0),
    "target": Trait("target_kl", lambda e: e.target_kl is not None),
    "resemblance": Trait("reconstruction", lambda e: e.reconstruction is not None),
    "fitted afterwards": Trait("prior_fit", lambda e: e.prior_fit == "aggregate"),
    "nothing to fit": Trait("prior", lambda e: not e.prior_.fits_draws),
    "categorical": Trait("prior", lambda e: isinstance(e.prior_, Categorical)),
    "relaxed draws": Trait("prior", _relaxes),
    "dependent posterior": Trait("posterior", lambda e: not isinstance(e.posterior_, Diagonal)),
    "refinement": Trait("refine_steps", lambda e: e.refine_steps > 0),
    "critic": Trait("mutual_information_weight", lambda e: e.mutual_information_weight > 0),
    "cycles": Trait("kl_schedule", lambda e: e.kl_schedule in {"cyclical", "annealed"}),
    "falling weight": Trait("kl_schedule", lambda e: e.kl_schedule == "annealed"),
    "E-step along lines": Trait("e_solver", lambda e: SOLVERS[e.e_solver].line_search),
    "M-step along lines": Trait("m_solver", lambda e: SOLVERS[e.m_solver].line_search),
    "no encoder": Trait("inference", lambda e: not INFERENCES[e.inference].encodes),
    "more than an encoder": Trait("inference", lambda e: INFERENCES[e.inference].by_row),
    "rising information": Trait("e_schedule", lambda e: e.e_schedule == "aggressive"),
    "pseudo-inputs": Trait("latent_generator", lambda e: isinstance(e.prior_, Vamp)),
    "categories": Trait("latent_generator", lambda e: e.prior_.has_categories),
}
"""By name; a new axis adds its own."""

_CHANGES = "a search along lines needs the same loss at every evaluation: {}, or choose solver='adam'"
_WITHOUT_SUMS = (
    "draws of categories have a gradient only when relaxed, which makes another bound of it: raise "
    "prior__max_states to n_categories ** n_components, so that states are summed over, or choose {}"
)
_KEPT_ROWS = "choose a likelihood that does not redraw rows"
_DRAWN_STATES = "the M-step draws the categories anew every time: choose {}, or another latent_generator"
_WITHOUT_KL = "the KL is not a term of this objective: {} or choose objective='elbo'"

CELLS = {
    ("line search", "dropout"): _CHANGES.format("set dropout=0"),
    ("line search", "redrawn rows"): _CHANGES.format(_KEPT_ROWS),
    ("line search", "another gradient"): "the gradient is not that of the value that a search along lines compares: "
    "choose objective='iwae', or solver='adam'",
    ("line search", "relaxed draws"): _WITHOUT_SUMS.format("solver='adam'"),
    ("refinement", "relaxed draws"): _WITHOUT_SUMS.format("refine_steps=0"),
    ("refinement", "resemblance"): "it raises the bound of the likelihood, which training on a resemblance of images "
    "does not learn: set refine_steps=0 or reconstruction=None",
    ("categorical", "another gradient"): "draws of categories have no path for its gradient: choose objective='iwae'",
    ("categorical", "dependent posterior"): "the posterior is then one of independent categorical variables: set "
    "posterior='diagonal'",
    ("categorical", "critic"): "draws of categories have no path for the critic's gradient: set "
    "mutual_information_weight=0",
    ("line search", "critic"): _CHANGES.format("set mutual_information_weight=0"),
    ("line search", "cycles"): _CHANGES.format("set kl_schedule='constant'"),
    ("bound at weight 1", "another weight"): "it is a bound only for beta=1: set it so, or choose objective='elbo'",
    ("weights of draws", "free bits"): _WITHOUT_KL.format("set free_bits=0"),
    ("weights of draws", "target"): _WITHOUT_KL.format("set target_kl=None"),
    ("weights of draws", "resemblance"): "weights of draws are ratios of densities, which a resemblance of images is "
    "not: choose objective='elbo', or set reconstruction=None",
    ("target", "resemblance"): "set target_kl=None and weigh the KL by beta, or set reconstruction=None",
    ("free bits", "target"): "the target holds the KL already: set free_bits=0 or target_kl=None",
    ("target", "falling weight"): "a target rises from 0 by the schedule, and this one falls: choose "
    "kl_schedule='linear', or set target_kl=None",
    ("fitted afterwards", "nothing to fit"): "only a prior with parameters can be fitted to the draws of posteriors: "
    "choose prior='mixture', 'flow' or 'vamp', or prior_fit='joint'",
    ("E-step along lines", "redrawn rows"): _CHANGES.replace("solver", "e_solver").format(_KEPT_ROWS),
    ("M-step along lines", "redrawn rows"): _CHANGES.replace("solver", "m_solver").format(_KEPT_ROWS),
    ("E-step along lines", "categories"): _DRAWN_STATES.format("e_solver='adam'"),
    ("M-step along lines", "categories"): _DRAWN_STATES.format("m_solver='adam'"),
    ("more than an encoder", "categories"): "posteriors of categories have no path for a search: choose "
    "inference='amortized'",
    ("no encoder", "pseudo-inputs"): "pseudo-inputs are rows that an encoder encodes: choose inference='amortized', or "
    "another latent_generator",
    ("no encoder", "rising information"): "it is the encoder that is trained for longer: set e_schedule='fixed', or "
    "choose inference='amortized'",
    ("no weight", "target"): "a weight of 0 holds the KL nowhere: set beta above 0 or target_kl=None",
}
"""Pairs of traits that do not go together -> why, and what to do."""


def check_cells(estimator, only=None):
    """Raise a ValueError for the first combination of the estimator's traits, of one if asked, without a meaning."""
    for names, reason in CELLS.items():
        if only is not None and only not in names:
            continue
        first, second = (TRAITS[name] for name in names)
        if first.of(estimator) and second.of(estimator):
            raise ValueError(f"{first.named(estimator)} does not go with {second.named(estimator)}: {reason}.")

"""Normal prior with independent components."""

from dataclasses import dataclass

from torch import Generator, Tensor

from skgen._spec import check_flag
from skgen._terms import Part
from skgen._trace import Pullback, Tracer, per_feature
from skgen.distributions.normal import kl_to_standard_normal, standard_normal, standard_normal_log_prob
from skgen.priors.base import Prior, PriorSpec
from skgen.priors.learned_normal import LearnedNormalPrior


class NormalPrior(Prior):
    r"""Standard normal, :math:`p(z) = N(z; 0, I)`."""

    def log_prob(self, z: Tensor) -> Tensor:
        return standard_normal_log_prob(z)

    def sample(self, n_draws: int, *, generator: Generator, like: Tensor) -> Tensor:
        return standard_normal(like.new_empty(n_draws, self.n_components), generator)

    def normal_kl(self, mean: Tensor, log_scale: Tensor) -> Tensor:
        return kl_to_standard_normal(mean, log_scale)

    def tracer(self) -> Tracer:
        def trace(z: Tensor) -> tuple[Tensor, Pullback]:
            return standard_normal_log_prob(z), lambda cotangent: -(z * per_feature(cotangent))

        return trace

    def normal_kl_tracer(self) -> Tracer:
        def trace(mean: Tensor, log_scale: Tensor, scale: Tensor) -> tuple[Part, Pullback]:
            def pullback(cotangent: Tensor) -> tuple[Tensor, Tensor]:
                return mean * cotangent, (scale * scale).mul_(cotangent).sub_(cotangent)

            return lambda: kl_to_standard_normal(mean, log_scale), pullback

        return trace


@dataclass
class Normal(PriorSpec):
    """Normal prior with independent components, the standard one N(0, I) unless it is learnt.

    Parameters
    ----------
    learned : bool, default=False
        Whether mean and variance of each component are learnt, from 0 and 1.
    """

    learned: bool = False

    @property
    def fits_draws(self) -> bool:
        return bool(self.learned)

    def build(self, n_components: int) -> Prior:
        """Return the module."""
        check_flag(self.learned, "prior__learned")
        return LearnedNormalPrior(n_components) if self.learned else NormalPrior(n_components)

import pytest
from sklearn.base import clone

from skgen import GaussianMixture, priors
from skgen.priors.conjugate import Conjugate

D = 4


def test_the_defaults_are_in_range():
    Conjugate().check(D)


@pytest.mark.parametrize(
    ("name", "bad", "good"),
    [("weight_concentration", 0.5, 1.0), ("mean_precision", -0.1, 0.0), ("degrees_of_freedom", D - 1, D - 0.5)],
)
def test_a_parameter_out_of_range_is_named(name, bad, good):
    Conjugate(**{name: good}).check(D)
    with pytest.raises(ValueError, match=f"prior__{name}"):
        Conjugate(**{name: bad}).check(D)


def test_it_is_public_and_named_by_its_word():
    assert priors.Conjugate is priors.PRIORS_ON_PARAMETERS["conjugate"] is Conjugate


def test_its_numbers_are_parameters_of_the_estimator_and_survive_a_clone():
    estimator = clone(GaussianMixture(prior=Conjugate(mean_precision=2.0))).set_params(prior__weight_concentration=3.0)
    assert estimator.prior == Conjugate(weight_concentration=3.0, mean_precision=2.0)
    assert estimator.get_params()["prior__mean_precision"] == 2.0

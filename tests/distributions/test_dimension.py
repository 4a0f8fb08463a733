import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.decomposition._pca import _assess_dimension

from skgen.distributions.dimension import minka_dimension, minka_evidence, relevant_dimension, share_dimension
from tests.parts import normal


def variances(n_rows, n_features, n_factors, generator, *, strength=2.0):
    """Those of rows with some factors of the given standard deviation in unit noise."""
    basis = torch.linalg.qr(normal(n_features, n_factors, generator=generator)).Q
    x = strength * normal(n_rows, n_factors, generator=generator) @ basis.T
    x = x + normal(n_rows, n_features, generator=generator)
    return torch.linalg.svdvals(x - x.mean(0)).square() / n_rows


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_share_of_the_variance_is_scikit_learn_s(share, generator):
    x = normal(30, 6, generator=generator) * torch.arange(1, 7)
    values = torch.linalg.svdvals(x - x.mean(0)).square()
    assert share_dimension(values, share) == PCA(share).fit(x.numpy()).n_components_


def test_the_evidence_is_scikit_learn_s(generator):
    values = variances(50, 8, 3, generator)
    theirs = [_assess_dimension(values.numpy(), k, 50) for k in range(1, 8)]
    np.testing.assert_allclose(minka_evidence(values, 8, 50), theirs, rtol=1e-10)
    assert minka_dimension(values, 8, 50) == 1 + int(np.argmax(theirs))


@pytest.mark.parametrize("choose", [minka_dimension, relevant_dimension])
@pytest.mark.parametrize(("n_rows", "n_features"), [(200, 20), (100, 400), (500, 500)])
def test_factors_well_above_the_noise_are_counted(choose, n_rows, n_features, generator):
    # The noise alone has variances up to (1 + sqrt(features / rows))^2.
    strength = 2 * (1 + math.sqrt(n_features / n_rows))
    values = variances(n_rows, n_features, 4, generator, strength=strength)
    assert choose(values, n_features, n_rows) == 4


@pytest.mark.parametrize("n_features", [20, 100, 300])
def test_no_direction_of_noise_is_relevant(n_features, generator):
    assert relevant_dimension(variances(100, n_features, 1, generator, strength=0.0), n_features, 100) == 0


@pytest.mark.parametrize("choose", [minka_dimension, relevant_dimension])
def test_the_unit_of_the_rows_does_not_matter(choose, generator):
    values = variances(60, 10, 2, generator)
    assert choose(1e-8 * values, 10, 60) == choose(values, 10, 60) == choose(1e8 * values, 10, 60)


def test_degenerate_variances_have_a_dimension():
    for values in (torch.zeros(5), torch.ones(5), torch.tensor([1.0, 0, 0, 0, 0]), torch.ones(1)):
        values = values.double()
        for n_features, weight in ((5, 1.0), (5, 2.5), (5, 100.0), (9, 3.0)):
            assert 1 <= minka_dimension(values, n_features, weight) <= n_features
            assert 0 <= relevant_dimension(values, n_features, weight) <= n_features
        assert 1 <= share_dimension(values, 0.5) <= 5

import pytest
import torch
from sklearn.decomposition._factor_analysis import _ortho_rotation

from skgen.distributions.rotation import ROTATIONS, principal_rotation, signs, simple_rotation
from tests.parts import normal

every_rotation = pytest.mark.parametrize("rotation", ROTATIONS)


def rotated(loadings, rotation):
    return loadings @ simple_rotation(loadings, rotation)


def criterion(loadings, rotation):
    squares = loadings.square()
    return squares.square().sum() - ROTATIONS[rotation] * squares.sum(0).square().sum() / len(loadings)


@every_rotation
def test_a_rotation_changes_the_loadings_and_not_the_covariance(rotation, generator):
    loadings = normal(8, 3, generator=generator)
    turned = rotated(loadings, rotation)
    torch.testing.assert_close(turned @ turned.T, loadings @ loadings.T, rtol=0, atol=1e-12)
    assert criterion(turned, rotation) > criterion(loadings, rotation)


@every_rotation
def test_no_plane_rotation_raises_the_criterion_of_rotated_loadings(rotation, generator):
    turned = rotated(normal(8, 3, generator=generator), rotation)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        for angle in (-1e-3, 1e-3):
            plane = torch.eye(3, dtype=torch.float64)
            c, s = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
            plane[[i, i, j, j], [i, j, i, j]] = torch.stack([c, -s, s, c]).double()
            assert criterion(turned @ plane, rotation) <= criterion(turned, rotation) + 1e-9


@every_rotation
def test_simple_structure_is_found(rotation, generator):
    simple = torch.zeros(9, 3, dtype=torch.float64)
    for k in range(3):
        simple[3 * k : 3 * k + 3, k] = 1 + torch.rand(3, generator=generator, dtype=torch.float64)
    basis = torch.linalg.qr(normal(3, 3, generator=generator)).Q
    found = rotated(simple @ basis, rotation).abs()
    found = found[:, found[::3].argmax(1)]
    torch.testing.assert_close(found, simple, rtol=0, atol=1e-6)


@every_rotation
def test_the_criterion_is_no_lower_than_scikit_learn_s(rotation, generator):
    loadings = normal(12, 4, generator=generator)
    theirs = torch.from_numpy(_ortho_rotation(loadings.numpy(), rotation).T)
    ours = rotated(loadings, rotation)
    assert criterion(ours, rotation) >= criterion(theirs, rotation) - 1e-9


@every_rotation
def test_rotations_are_orthogonal_and_order_and_sign_the_factors(rotation, generator):
    loadings = normal(8, 3, generator=generator)
    for turn in (simple_rotation(loadings, rotation), principal_rotation(loadings)):
        torch.testing.assert_close(turn @ turn.T, torch.eye(3, dtype=torch.float64))
        turned = loadings @ turn
        assert (turned.square().sum(0).diff() <= 0).all()
        assert torch.equal(signs(turned), torch.ones(3, dtype=torch.float64))


def test_the_principal_rotation_makes_columns_orthogonal(generator):
    loadings = normal(8, 3, generator=generator)
    turned = loadings @ principal_rotation(loadings)
    torch.testing.assert_close(turned.T @ turned, torch.diag(torch.linalg.svdvals(loadings).square()))


def test_signs_are_those_of_the_largest_entries(generator):
    loadings = normal(8, 3, generator=generator)
    assert torch.equal(signs(loadings), -signs(-loadings))
    assert ((loadings * signs(loadings)).gather(0, loadings.abs().argmax(0, keepdim=True)) > 0).all()
    assert torch.equal(signs(torch.zeros(3, 2)), torch.ones(2))

import math

import pytest
import torch

from skgen.distributions.covariance import COVARIANCES, TILE_FEATURES, Full
from tests.oracles import exact_normal_terms
from tests.parts import normal

# Sums of a few hundred products of numbers of order one to a hundred.
ROUNDING = {"rtol": 1e-11, "atol": 1e-11}
K = 3


@pytest.fixture(params=sorted(COVARIANCES))
def structure(request):
    return COVARIANCES[request.param]


WIDTHS = pytest.mark.parametrize("d", [1, 2, 3, 6])


def random_covariances(structure, d, generator, groups=None):
    """Covariances of a structure, well-conditioned."""
    groups = structure.n_groups(K) if groups is None else groups
    root = normal(groups, d, d, generator=generator)
    return structure.from_matrices(root @ root.mT / d + 0.3 * torch.eye(d, dtype=torch.float64))


@WIDTHS
def test_coefficients_times_features_are_the_quadratic_form(structure, d, generator):
    matrix = random_covariances(structure, d, generator)
    x = normal(20, d, generator=generator)
    expected = torch.einsum("ni,gij,nj->gn", x, structure.matrices(matrix), x)
    torch.testing.assert_close(structure.coefficients(matrix) @ structure.phi(x), expected, **ROUNDING)
    assert structure.phi(x).shape == (structure.n_packed(d), 20)


@WIDTHS
def test_coefficients_times_a_packed_covariance_are_the_trace_of_the_product(structure, d, generator):
    precision, covariance = (random_covariances(structure, d, generator) for _ in range(2))
    product = structure.matrices(precision) @ structure.matrices(covariance)
    packed = (structure.coefficients(precision) * structure.pack(covariance)).sum(1)
    torch.testing.assert_close(packed, product.diagonal(dim1=1, dim2=2).sum(1), **ROUNDING)


@WIDTHS
def test_packed_covariances_stand_in_the_order_of_the_features(structure, d, generator):
    x = normal(20, d, generator=generator)
    outer = x.unsqueeze(2) * x.unsqueeze(1)
    form = outer if isinstance(structure, Full) else x.square()
    assert structure.pack(form).T.equal(structure.phi(x))


@WIDTHS
def test_scatters_are_sums_of_shares_of_features(structure, d, generator):
    x, share = normal(20, d, generator=generator), torch.rand(20, generator=generator).double()
    torch.testing.assert_close(structure.scatter(x, share), structure.phi(x) @ share, **ROUNDING)


@WIDTHS
def test_the_mean_of_features_unpacks_to_the_second_moments(structure, d, generator):
    x = normal(20, d, generator=generator)
    found = structure.unpack(structure.phi(x).mean(1).unsqueeze(0), d)
    torch.testing.assert_close(found, structure.from_matrices((x.T @ x / 20).unsqueeze(0)), **ROUNDING)


@WIDTHS
def test_unpacking_undoes_packing(structure, d, generator):
    covariance = random_covariances(structure, d, generator)
    torch.testing.assert_close(structure.unpack(structure.pack(covariance), d), covariance, rtol=1e-15, atol=0)


@WIDTHS
@pytest.mark.parametrize("rows", [1, 20])
def test_features_written_into_given_memory_are_the_same(structure, d, rows, generator):
    x = normal(rows, d, generator=generator)
    memory = torch.full((structure.n_packed(d), rows), float("nan"), dtype=torch.float64)
    found = structure.phi(x, memory)
    assert found.equal(structure.phi(x))
    assert found.data_ptr() == memory.data_ptr()


@WIDTHS
def test_precisions_are_inverses_and_come_with_log_determinants(structure, d, generator):
    covariance = random_covariances(structure, d, generator)
    precision, log_det = structure.precision(covariance)
    torch.testing.assert_close(
        structure.matrices(precision), torch.linalg.inv(structure.matrices(covariance)), **ROUNDING
    )
    torch.testing.assert_close(log_det, torch.logdet(structure.matrices(covariance)), **ROUNDING)


@pytest.mark.parametrize("bad", [-1.0, 0.0, float("nan")])
def test_what_is_not_positive_definite_has_no_precision(structure, bad, generator):
    covariance = random_covariances(structure, 3, generator)
    broken = structure.regularized(torch.zeros_like(covariance), bad)
    with pytest.raises(torch.linalg.LinAlgError):
        structure.precision(broken)


@WIDTHS
def test_each_group_multiplies_its_vector(structure, d, generator):
    matrix = random_covariances(structure, d, generator)
    x = normal(K, d, generator=generator)
    expected = torch.einsum("kij,kj->ki", structure.matrices(matrix).expand(K, d, d), x)
    torch.testing.assert_close(structure.times(matrix, x), expected, **ROUNDING)


@pytest.mark.parametrize("far", [0.0, 1e8])
def test_squared_distances_are_exact_wherever_the_rows_are(structure, far, generator):
    d = 4
    (covariance,) = random_covariances(structure, d, generator, groups=1)
    matrix = structure.matrices(covariance.unsqueeze(0))[0]
    mean = far + normal(d, generator=generator)
    x = mean + normal(10, d, generator=generator)
    expected = [exact_normal_terms(row, mean, matrix)[0] for row in x]
    found = structure.squared_distance(x, mean, structure.root(covariance))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=0)


@pytest.mark.parametrize("condition", [1e6, 1e12])
def test_squared_distances_lose_no_more_digits_than_the_condition_number(condition, generator):
    d = 5
    axes, _ = torch.linalg.qr(normal(d, d, generator=generator))
    scales = torch.logspace(0, -math.log10(condition), d, dtype=torch.float64)
    matrix = (axes * scales) @ axes.T
    matrix = (matrix + matrix.T) / 2
    x = normal(20, d, generator=generator) @ torch.linalg.cholesky(matrix).T
    found = COVARIANCES["full"].squared_distance(x, torch.zeros(d, dtype=torch.float64), torch.linalg.cholesky(matrix))
    expected = [exact_normal_terms(row, torch.zeros(d), matrix)[0] for row in x]
    # Cholesky factors are those of a matrix within (d + 1) eps of this one (Higham 2002, theorem 10.3).
    bound = d * (d + 1) * torch.finfo(torch.float64).eps * condition
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=bound, atol=0)


def test_squared_distances_do_not_depend_on_the_units_of_the_features(generator):
    (covariance,) = random_covariances(COVARIANCES["full"], 4, generator, groups=1)
    units = torch.tensor([1e-6, 1.0, 1e3, 1e6], dtype=torch.float64)
    mean, x = normal(4, generator=generator), normal(10, 4, generator=generator)
    found = COVARIANCES["full"].squared_distance(
        x * units, mean * units, torch.linalg.cholesky(covariance * torch.outer(units, units))
    )
    torch.testing.assert_close(
        found, COVARIANCES["full"].squared_distance(x, mean, torch.linalg.cholesky(covariance)), rtol=1e-13, atol=0
    )


@WIDTHS
def test_regularising_adds_to_the_diagonals(structure, d, generator):
    covariance = random_covariances(structure, d, generator)
    found = structure.matrices(structure.regularized(covariance, 0.25))
    expected = structure.matrices(covariance) + 0.25 * torch.eye(d, dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-15, atol=0)


@WIDTHS
def test_constraining_undoes_unconstraining(structure, d, generator):
    covariance = random_covariances(structure, d, generator)
    numbers = structure.unconstrain(covariance)
    assert numbers.shape == (structure.n_groups(K), structure.n_parameters(d))
    torch.testing.assert_close(structure.constrain(numbers, d), covariance, **ROUNDING)


@WIDTHS
def test_any_numbers_stand_for_a_covariance(structure, d, generator):
    numbers = 2 * normal(K, structure.n_parameters(d), generator=generator)
    covariance = structure.constrain(numbers, d)
    structure.precision(covariance)
    # Entries of a Cholesky factor come back with the condition number of the covariance, at most 1e8 or so here.
    torch.testing.assert_close(structure.unconstrain(covariance), numbers, rtol=1e-6, atol=1e-6)


def test_constraining_and_its_inverse_can_be_differentiated(structure, generator):
    numbers = normal(2, structure.n_parameters(3), generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda vector: structure.constrain(vector, 3), numbers)
    assert torch.autograd.gradcheck(lambda vector: structure.unconstrain(structure.constrain(vector, 3)), numbers)


def test_precisions_and_log_determinants_can_be_differentiated(structure, generator):
    numbers = normal(2, structure.n_parameters(3), generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda vector: structure.precision(structure.constrain(vector, 3)), numbers)


@WIDTHS
def test_scaled_noise_has_the_covariance(structure, d, generator):
    covariance = random_covariances(structure, d, generator, groups=d)
    matrices, noise = structure.matrices(covariance), torch.eye(d, dtype=torch.float64)
    for each, matrix in zip(covariance, matrices, strict=True):
        root = structure.scaled(each, noise)
        torch.testing.assert_close(root.T @ root, matrix, **ROUNDING)
    rows = [structure.scaled(each, row.unsqueeze(0))[0] for each, row in zip(covariance, noise, strict=True)]
    torch.testing.assert_close(structure.scaled(covariance, noise), torch.stack(rows), **ROUNDING)
    index = torch.arange(len(rows)).flip(0)
    torch.testing.assert_close(structure.scaled(covariance.flip(0), noise, index), torch.stack(rows), **ROUNDING)


def test_noise_of_a_singular_covariance_stays_where_it_varies(structure, generator):
    covariance = structure.from_matrices(torch.zeros(1, 3, 3, dtype=torch.float64))[0]
    assert bool((structure.scaled(covariance, normal(5, 3, generator=generator)) == 0).all())


@WIDTHS
def test_what_components_add_is_summed_where_they_share_a_covariance(structure, d, generator):
    each = normal(K, d, generator=generator)
    assert structure.grouped(each).equal(each.sum(0, keepdim=True) if structure.tied else each)


@WIDTHS
def test_the_nearest_covariance_of_the_structure_minimises_kullbacks_measure(structure, d, generator):
    root = normal(2, d, d + 2, generator=generator)
    matrices = root @ root.mT
    numbers = structure.unconstrain(structure.from_matrices(matrices)).requires_grad_()
    precision, log_det = structure.precision(structure.constrain(numbers, d))
    trace = (structure.matrices(precision) * matrices).sum((1, 2))
    (gradient,) = torch.autograd.grad((trace + log_det).sum(), numbers)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-10)


@WIDTHS
def test_covariances_of_the_structure_are_their_own_nearest(structure, d, generator):
    covariance = random_covariances(structure, d, generator)
    torch.testing.assert_close(structure.from_matrices(structure.matrices(covariance)), covariance, **ROUNDING)


@pytest.mark.parametrize("name", sorted(COVARIANCES))
def test_only_full_covariances_of_their_own_are_wide(name):
    assert COVARIANCES[name].is_wide(784) == (name == "full")
    assert not COVARIANCES[name].is_wide(100)


@pytest.mark.parametrize("name", sorted(COVARIANCES))
def test_tied_components_share_one_covariance(name):
    assert COVARIANCES[name].n_groups(K) == (1 if name.startswith("tied") else K)


@pytest.mark.parametrize("d", [1, 3, 10, 50, 784])
def test_a_tile_is_a_power_of_two_whose_features_stay_in_cache(structure, d):
    rows = structure.tile_rows(d)
    assert math.log2(rows).is_integer()
    assert 256 <= rows <= 8192
    width = d if structure.is_wide(d) else structure.n_packed(d)
    assert rows == 256 or rows * width <= math.sqrt(2) * TILE_FEATURES

from dataclasses import dataclass, field

import numpy as np
import pytest
from sklearn.base import clone

from skgen._spec import Spec, check_choice, check_count, check_counts, check_epochs, check_flag, check_number, resolve


@dataclass
class Inner(Spec):
    width: float = 1.0


@dataclass
class Outer(Spec):
    size: int = 3
    inner: Inner = field(default_factory=Inner)


TABLE = {"inner": Inner, "outer": Outer}


def test_get_params_lists_fields_and_with_deep_those_of_nested_specs():
    outer = Outer(size=4)
    assert outer.get_params(deep=False) == {"size": 4, "inner": outer.inner}
    assert outer.get_params() == {"size": 4, "inner": outer.inner, "inner__width": 1.0}


def test_set_params_reaches_nested_fields_and_returns_the_spec():
    outer = Outer()
    assert outer.set_params(size=5, inner__width=2.0) is outer
    assert outer == Outer(5, Inner(2.0))


def test_set_params_takes_a_new_nested_spec_before_its_fields():
    inner = Inner(7.0)
    outer = Outer().set_params(inner=inner, inner__width=8.0)
    assert outer.inner is inner
    assert inner.width == 8.0


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Invalid parameter 'depth' for Outer.*'inner', 'size'"):
        Outer().set_params(depth=1)


def test_clone_copies_deeply_and_repr_round_trips():
    outer = Outer(2, Inner(0.5))
    copy = clone(outer)
    assert copy == outer
    assert copy is not outer
    assert copy.inner is not outer.inner
    assert eval(repr(outer)) == outer


def test_resolve_builds_from_a_name_and_copies_an_object():
    assert resolve("outer", TABLE, Spec, "part") == Outer()
    outer = Outer()
    copy = resolve(outer, TABLE, Spec, "part")
    copy.set_params(inner__width=9.0)
    assert outer == Outer()


def test_resolve_names_the_parameter_and_what_is_allowed():
    with pytest.raises(ValueError, match=r"part must be one of \['inner', 'outer'\] or a Spec object, got 'other'"):
        resolve("other", TABLE, Spec, "part")
    with pytest.raises(TypeError, match=r"part must be one of .*, got 3"):
        resolve(3, TABLE, Spec, "part")
    with pytest.raises(TypeError, match="part must be one of"):
        resolve(Inner, TABLE, Spec, "part")


def test_check_choice():
    check_choice("a", ("a", "b"), "mode")
    with pytest.raises(ValueError, match=r"mode must be one of \['a', 'b'\], got 'c'"):
        check_choice("c", ("a", "b"), "mode")


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), True, None, "1"])
def test_check_number_refuses_what_is_not_above_the_bound(value):
    with pytest.raises(ValueError, match=r"width must be a number > 0, got"):
        check_number(value, "width", above=0)


@pytest.mark.parametrize("value", [0, 1.0, "3", None, True])
def test_check_count_takes_integers_from_the_least_on(value):
    check_count(1, "n_draws")
    check_count(np.int64(2), "n_draws", least=2)
    with pytest.raises(ValueError, match="n_draws must be an integer of at least 1, got"):
        check_count(value, "n_draws")


def test_check_number_takes_bounds_as_documented():
    check_number(1, "width", above=0)
    check_number(0, "width", least=0, below=1)
    with pytest.raises(ValueError, match=r"width must be a number >= 0 and < 1, got 1"):
        check_number(1, "width", least=0, below=1)


@pytest.mark.parametrize(("value", "expected"), [(3, (3,)), ((4, 2), (4, 2)), ([np.int64(5)], (5,)), ((), ())])
def test_check_counts_takes_an_integer_or_a_sequence_of_them(value, expected):
    assert check_counts(value, "sizes") == expected


@pytest.mark.parametrize("value", [0, True, (3, 0), (2.0,), "33", {3}, None])
def test_check_counts_names_the_parameter(value):
    with pytest.raises(ValueError, match="sizes must be a positive integer or a sequence of them"):
        check_counts(value, "sizes")


@pytest.mark.parametrize("value", [True, False, np.True_])
def test_a_flag_is_true_or_false(value):
    check_flag(value, "shared")


@pytest.mark.parametrize("value", ["yes", 2, None, [True]])
def test_what_is_no_flag_is_refused_by_the_parameter_s_name(value):
    with pytest.raises(ValueError, match="shared must be True or False, got"):
        check_flag(value, "shared")


@pytest.mark.parametrize("value", [0, 7, np.int64(3), 0.0, 0.5, 1.0])
def test_a_number_of_epochs_is_a_count_or_a_share(value):
    check_epochs(value, "length")


@pytest.mark.parametrize("value", [-1, 1.5, -0.1, True, "1", None, float("nan")])
def test_other_numbers_of_epochs_are_refused_by_the_parameter_s_name(value):
    with pytest.raises(ValueError, match="length must be an integer of at least 0 or a float between 0 and 1, got"):
        check_epochs(value, "length")

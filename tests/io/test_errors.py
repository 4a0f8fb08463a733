"""skgen.io._errors"""

from skgen.io import ModelFileError


def test_a_refused_file_is_a_wrong_value():
    assert issubclass(ModelFileError, ValueError)

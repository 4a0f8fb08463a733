import statistics
import subprocess
import sys
import time

import pytest

import skgen

N_RUNS = 9
LIMIT = 0.05
"""Seconds that ``import skgen`` may add to Python's own start."""
OPTIONAL = {"matplotlib", "rich", "h5py", "zuko", "safetensors", "pandas", "polars"}


def run(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def seconds(code):
    start = time.perf_counter()
    run(code)
    return time.perf_counter() - start


def test_import_loads_no_torch_and_no_scientific_package():
    loaded = run("import sys, skgen; print(*sys.modules)").split()
    assert not {"torch", "numpy", "scipy", "sklearn"} & set(loaded)


def test_import_costs_next_to_nothing():
    # Runs alternate, so that another load on the machine meets both alike.
    pairs = [(seconds("import skgen"), seconds("pass")) for _ in range(N_RUNS)]
    assert statistics.median(ours - start for ours, start in pairs) < LIMIT


def test_an_estimator_loads_no_optional_package():
    # scikit-learn itself loads pandas and, for its progress bars, rich where they are installed.
    code = "import sys, sklearn.callback; own = set(sys.modules); from skgen import VariationalAutoencoder; "
    assert not OPTIONAL & set(run(code + "print(*(set(sys.modules) - own))").split())


@pytest.mark.parametrize("name", [name for name in dir(skgen) if not name.startswith("_")])
def test_every_listed_name_can_be_read(name):
    assert getattr(skgen, name) is getattr(skgen, name)


def test_listed_are_the_public_names_and_modules():
    assert set(skgen.__all__) <= set(dir(skgen))
    assert {"likelihoods", "objectives", "posteriors", "priors", "callbacks"} <= set(dir(skgen))


def test_an_unknown_name_is_an_attribute_error_that_names_it():
    with pytest.raises(AttributeError, match="module 'skgen' has no attribute 'nothing'"):
        _ = skgen.nothing
    with pytest.raises(ImportError, match="nothing"):
        exec("from skgen import nothing")


def test_the_version_is_that_of_the_distribution():
    from importlib.metadata import version

    assert skgen.__version__ == version("skgen")

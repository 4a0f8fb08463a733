"""skgen.io._files: names, times, and what is left behind."""

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from skgen import GaussianMixture
from skgen.io import ModelFileError, _files, load_model, save_model
from tests.estimators.configurations import CONFIGURATIONS, rows

FIRST_RELEASE = Path(__file__).parent / "first_release"
X = rows()
MIXTURE = GaussianMixture(2, random_state=0).fit(X)


@pytest.mark.parametrize("suffix", ["", ".h5", ".safetensors"])
def test_a_file_is_named_by_the_time_and_the_model(tmp_path, suffix):
    before = datetime.now(UTC).replace(microsecond=0)
    path = save_model(MIXTURE, tmp_path, f"a model{suffix}")
    stamp, name = re.fullmatch(r"(\d{8}-\d{6})-(.*)", path.name).groups()
    assert name == f"a model{suffix or '.h5'}"
    saved = datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC)
    assert before <= saved <= datetime.now(UTC)
    assert os.listdir(tmp_path) == [path.name]
    for name in ("a model", f"a model{suffix}", path.name):
        np.testing.assert_array_equal(load_model(tmp_path, name).score_samples(X), MIXTURE.score_samples(X))


def test_a_file_is_never_overwritten(tmp_path):
    paths = [save_model(MIXTURE, tmp_path, "same") for _ in range(2)]
    times = [datetime.strptime(path.name[:15], "%Y%m%d-%H%M%S") for path in paths]
    assert times[1] - times[0] >= timedelta(seconds=1)


def test_the_newest_file_of_a_name_is_read(tmp_path):
    other = GaussianMixture(3, random_state=0).fit(X)
    for estimator, name in ((MIXTURE, "20200101-000000-m.h5"), (other, "20210101-000000-m.h5")):
        save_model(estimator, tmp_path, "m").rename(tmp_path / name)
    save_model(MIXTURE, tmp_path, "m2")
    save_model(MIXTURE, tmp_path, "my-m")
    assert load_model(tmp_path, "m").n_components == 3
    assert load_model(tmp_path, "20200101-000000-m.h5").n_components == 2


def test_where_there_is_no_link_a_file_is_not_overwritten_either(tmp_path, monkeypatch):
    def refuse(*args):
        raise PermissionError

    monkeypatch.setattr(_files.os, "link", refuse)
    path = save_model(MIXTURE, tmp_path, "m")
    assert load_model(tmp_path, "m").n_components == 2
    assert not _files._written(path, b"other")
    assert load_model(tmp_path, "m").n_components == 2


def test_a_save_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError("No space left on device")

    monkeypatch.setattr(_files.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_model(MIXTURE, tmp_path, "m")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a\\b", ".h5", "20200101-000000-m", "a\n", "a\0b", "ä/", ".."])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match="name must be"):
        save_model(MIXTURE, tmp_path, name)


@pytest.mark.parametrize("name", ["", "..", "a/b", "/etc/passwd", "../20200101-000000-m.h5"])
def test_no_file_outside_the_folder_is_read(tmp_path, name):
    with pytest.raises(ValueError, match="name must be"):
        load_model(tmp_path, name)


def test_a_model_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path):
    save_model(MIXTURE, tmp_path, "iris")
    with pytest.raises(FileNotFoundError, match=r"no model 'wine'.*\['iris'\]"):
        load_model(tmp_path, "wine")
    with pytest.raises(FileNotFoundError, match="no model"):
        load_model(tmp_path / "none", "wine")
    with pytest.raises(FileNotFoundError, match="no file"):
        load_model(tmp_path, "20200101-000000-iris.h5")


def test_an_estimator_must_be_fitted(tmp_path):
    with pytest.raises(NotFittedError):
        save_model(GaussianMixture(), tmp_path, "m")


@pytest.mark.parametrize("suffix", [".h5", ".safetensors"])
def test_whatever_is_wrong_with_a_file_is_one_error(tmp_path, suffix):
    vae = clone(CONFIGURATIONS["vae-clusters"]).fit(X)
    path = save_model(vae, tmp_path, f"m{suffix}")
    content, random = path.read_bytes(), np.random.default_rng(0)
    for _ in range(60):
        damaged = bytearray(content)
        for place in random.integers(len(content), size=random.integers(1, 4)):
            damaged[place] ^= random.integers(1, 256)
        path.write_bytes(damaged[: random.integers(len(content) + 1)] if random.random() < 0.3 else damaged)
        with pytest.raises(ModelFileError, match="is no model that can be read"):
            load_model(tmp_path, path.name)


def test_a_file_of_a_later_format_is_refused_by_its_number(tmp_path, monkeypatch):
    monkeypatch.setattr(_files, "FORMAT_VERSION", 2)
    path = save_model(MIXTURE, tmp_path, "m")
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="format is 2, and this version of skgen reads 1"):
        load_model(tmp_path, path.name)


def test_a_file_says_what_wrote_it(tmp_path):
    path = save_model(MIXTURE, tmp_path, "m")
    description, _ = _files._hdf5.from_bytes(path.read_bytes(), 2**20)
    assert set(description["versions"]) == {"skgen", "sklearn", "numpy", "torch"}
    assert datetime.fromisoformat(description["saved"]).tzinfo is not None


@pytest.mark.parametrize("name", ["mixture.h5", "pca.safetensors", "machine.h5"])
def test_files_of_the_first_release_open_and_score_as_they_did(name):
    model = load_model(FIRST_RELEASE, name)
    expected = np.loadtxt(FIRST_RELEASE / f"{name}.scores")
    np.testing.assert_allclose(model.score_samples(X), expected, rtol=1e-9)

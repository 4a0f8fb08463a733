from pathlib import Path

import pytest

import skgen

TESTS = Path(__file__).parent
PACKAGE = Path(skgen.__file__).parent
# Tested by what a user can do with them, not file by file.
ELSEWHERE = {"estimators", "callbacks.py"}


def modules():
    found = [path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")]
    return sorted(
        path for path in found if path.name not in ("__init__.py", "_version.py") and path.parts[0] not in ELSEWHERE
    )


@pytest.mark.parametrize("module", modules(), ids=str)
def test_every_module_has_a_test_module_that_names_it(module):
    test = TESTS / module.parent / f"test_{module.stem.lstrip('_')}.py"
    assert test.exists(), f"add {test.relative_to(TESTS.parent)}"
    assert ".".join(["skgen", *module.with_suffix("").parts]) in test.read_text()

"""Sphinx configuration."""

import os

# The gallery looks up the names that its scripts use, and this one hides until it is asked for.
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 IterativeImputer needs it

from skgen import __version__

project = "skgen"
author = "the skgen developers"
copyright = "2026, the skgen developers"
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "examples"]

# Links into other projects' documentation need their inventories from the network. Without it they would be
# warnings, and warnings are errors, so they are made only where they are asked for.
if os.environ.get("SKGEN_DOC_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
    }

autosummary_generate = True
autodoc_typehints = "none"  # the numpydoc sections state types, shapes and units
# The class template lists the methods, so numpydoc must not list them a second time.
numpydoc_show_class_members = False

# Progress bars of gallery scripts are captured: without a terminal they are drawn once, when they are complete.
os.environ["TTY_INTERACTIVE"] = "0"
os.environ["COLUMNS"] = "100"

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"plot_",
    "download_all_examples": False,
    "min_reported_time": 1,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skgen {version}"
html_theme_options = {"show_toc_level": 2}
html_sidebars = {"**": []}  # pages have no subpages to list


def skip_foreign(app, what, name, obj, skip, options):
    """Leave out members that another package defines, whose cross-references lead into its own documentation.

    Returns True to leave a member out and None to let Sphinx decide.
    """
    function = getattr(obj, "fget", None) or obj
    module = getattr(function, "__module__", None) or ""
    return True if module.partition(".")[0] in {"builtins", "sklearn", "torch"} else None


def setup(app):
    """Connect the hooks."""
    app.connect("autodoc-skip-member", skip_foreign)

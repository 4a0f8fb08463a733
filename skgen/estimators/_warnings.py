"""Warnings that point at the line of the user's program."""

import sys
import warnings

INSIDE = ("skgen", "sklearn", "joblib")
"""Packages whose frames are passed over: a fit may be called by a pipeline or a search."""


def warn_user(message, category=UserWarning):
    """Warn at the innermost call from outside of the packages, however deep inside them the reason is found."""
    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)

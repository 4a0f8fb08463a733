"""The error of files that are no models."""


class ModelFileError(ValueError):
    """A file is damaged, or holds what no estimator of the package could have written."""

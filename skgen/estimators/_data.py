"""Rows before training: scaling, splitting, batches and validation."""

import warnings

import numpy as np
import torch

from skgen.estimators._arrays import as_tensor, tiles
from skgen.estimators._sklearn import _check_sample_weight
from skgen.training.batches import Batches

GPU_SHARE = 0.5
"""Share of a GPU's free memory that resident rows may take; larger data is streamed in blocks."""


def column_names(estimator, mask):
    """Names, or numbers, of the marked columns for a message."""
    index = np.flatnonzero(mask)
    names = getattr(estimator, "feature_names_in_", np.arange(len(mask)))
    return ", ".join(str(names[i]) for i in index[:10]) + (f" and {len(index) - 10} more" if len(index) > 10 else "")


def clip_to_support(estimator, X, support, likelihood):
    """X with values outside a likelihood's support clipped, and a warning that names their columns."""
    if support is None or (X.min() >= support[0] and X.max() <= support[1]):
        return X
    outside = (X < support[0]).any(axis=0) | (X > support[1]).any(axis=0)
    warnings.warn(
        f"Values of X outside [{support[0]:g}, {support[1]:g}] are clipped for {likelihood} in column(s) "
        f"{column_names(estimator, outside)}. Scale them, or choose a likelihood with a wider range.",
        UserWarning,
        stacklevel=4,
    )
    return np.clip(X, *support)


def weighted_rows(X, sample_weight):
    """Rows with a positive weight, and their weights scaled to mean 1 (None where all are equal)."""
    if sample_weight is None:
        return X, None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    kept = weight > 0
    X, weight = (X, weight) if kept.all() else (X[kept], weight[kept])
    return X, None if (weight == weight[0]).all() else weight / weight.mean()


def hold_out(X, weight, fraction, random_state):
    """Training rows, their weights and validation rows, split at random."""
    n_validation = max(1, round(fraction * len(X)))
    if n_validation >= len(X):
        raise ValueError(
            f"early_stopping=True needs rows to train on and rows to validate on, got n_samples = {len(X)} with "
            f"validation_fraction={fraction}. Pass more rows, X_val, or early_stopping=False."
        )
    order = random_state.permutation(len(X))
    held, kept = order[:n_validation], np.sort(order[n_validation:])
    return X[kept], None if weight is None else weight[kept] / weight[kept].mean(), X[held]


def standardizer(standardization, rows):
    """Standardisation in the rows' own dtype and place, before any cast; None where it is the identity."""
    shift, scale = (torch.tensor(standardization[name]).to(rows) for name in ("shift", "scale"))
    if not shift.any() and bool((scale == 1).all()):
        return None
    return lambda block: (block - shift).div_(scale)


def training_batches(X, weight, batch_size, model, standardization):
    """Batches for a model on its device and in its dtype; rows go to a GPU once if they fit there."""
    device = model.scale.device
    rows = as_tensor(X)
    if device.type != "cpu" and (
        device.type != "cuda" or rows.nbytes < GPU_SHARE * torch.cuda.mem_get_info(device)[0]
    ):
        rows = rows.to(device)
    return Batches(
        rows,
        None if weight is None else as_tensor(weight),
        batch_size=batch_size,
        device=device,
        dtype=model.scale.dtype,
        prepare=standardizer(standardization, rows),
        augment=model.likelihood.augment,
    )


def validator(X_val, model, standardization, values, n_draws, seed):
    """A function that computes the mean of ``values(model, x, generator)`` with the same noise at every call."""
    rows = as_tensor(X_val)
    prepare = standardizer(standardization, rows)
    x = (rows if prepare is None else prepare(rows)).to(model.scale)
    device = model.scale.device
    x = model.likelihood.augment(x, generator=torch.Generator(device).manual_seed(seed))
    parts = tiles(len(x), model.width * n_draws)

    def validate():
        generator = torch.Generator(device).manual_seed(seed)
        with torch.no_grad():
            sums = [float(values(model, x[part], generator).sum(dtype=torch.float64)) for part in parts]
        return sum(sums) / len(x)

    return validate

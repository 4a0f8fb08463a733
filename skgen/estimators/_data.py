"""Rows before training: scaling, splitting, batches and validation."""

import numpy as np
import torch

from skgen.estimators._arrays import as_array, as_tensor, tiles
from skgen.estimators._sklearn import _check_sample_weight
from skgen.estimators._warnings import warn_user
from skgen.training.batches import Batches

GPU_SHARE = 0.5
"""Share of a GPU's free memory that resident rows may take; larger data is streamed in blocks."""


def column_names(estimator, mask):
    """Names, or numbers, of the marked columns for a message."""
    index = np.flatnonzero(mask)
    names = getattr(estimator, "feature_names_in_", np.arange(len(mask)))
    return ", ".join(str(names[i]) for i in index[:10]) + (f" and {len(index) - 10} more" if len(index) > 10 else "")


def check_moments(estimator, moments):
    """Refuse columns that float64 holds, but not their variance."""
    bad = ~(np.isfinite(moments.mean) & np.isfinite(moments.scale))
    if bad.any():
        raise ValueError(
            f"The variance of column(s) {column_names(estimator, bad)} of X is beyond float64. Divide them by a "
            "constant."
        )


def check_observed(estimator, moments):
    """Refuse columns without a value."""
    absent = np.broadcast_to(moments.count == 0, moments.mean.shape)
    if absent.any():
        raise ValueError(
            f"Column(s) {column_names(estimator, absent)} of X have no observed value. Leave them out, or pass rows in "
            "which they are observed."
        )


def _range(X):
    """Smallest and largest entry of X that is there; NaN where none is."""
    return np.fmin.reduce(X, axis=None), np.fmax.reduce(X, axis=None)


def in_support(estimator, X, spec):
    """Rows that a likelihood takes: refused, or clipped and rounded with warnings that name the columns."""
    parts = spec.by_column(X.shape[1])
    if len(parts) == 1:
        return _supported(X, parts[0][0], lambda mask: column_names(estimator, mask))
    result = X
    for part, columns in parts:
        before = X[:, columns]
        after = _supported(before, part, lambda mask, columns=columns: _names_of(estimator, X, columns, mask))
        if after is not before:
            result = X.copy() if result is X else result
            result[:, columns] = after
    return result


def _names_of(estimator, X, columns, mask):
    """Names of the marked ones of some columns of X."""
    marked = np.zeros(X.shape[1], dtype=bool)
    marked[np.asarray(columns)[mask]] = True
    return column_names(estimator, marked)


def _supported(X, spec, names):
    """Rows that a spec of a single family takes; ``names`` gives those of the columns in a mask."""
    support, whole = spec.domain()[1:]
    if support is None:
        return X
    if support[1] < np.inf:
        X = _clipped(X, support, spec, names)
    elif (least := _range(X)[0]) < support[0]:
        raise ValueError(
            f"Negative values in data: column(s) {names((X < 0).any(axis=0))} of X hold values down to {least:g}, "
            f"but {spec} is for counts, which are at least 0. Correct them, or choose a likelihood of real numbers, "
            "such as 'gaussian'."
        )
    return _rounded(X, spec, names) if whole else X


def _clipped(X, support, spec, names):
    low, high = _range(X)
    if not (low < support[0] or high > support[1]):
        return X
    outside = (support[0] > X).any(axis=0) | (support[1] < X).any(axis=0)
    warn_user(
        f"Values of X outside [{support[0]:g}, {support[1]:g}] are clipped for {spec} in column(s) {names(outside)}. "
        "Scale them, or choose a likelihood with a wider range."
    )
    return np.clip(X, *support)


def _rounded(X, spec, names):
    fractional = np.zeros(X.shape[1], dtype=bool)
    for tile in tiles(len(X), X.shape[1], X.itemsize):
        fractional |= (np.abs(X[tile] - np.rint(X[tile])) > 0).any(axis=0)
    if not fractional.any():
        return X
    warn_user(
        f"Values of X that are no whole numbers are rounded for {spec} in column(s) {names(fractional)}. Undo their "
        "scaling, or choose a likelihood of real numbers, such as 'gaussian'."
    )
    return np.rint(X)


def weighted_rows(X, sample_weight):
    """Rows with a positive weight, and their weights scaled to mean 1 (None where all are equal)."""
    if sample_weight is None:
        return X, None
    weight = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    weight = weight / weight.max()
    kept = weight > 0
    X, weight = (X, weight) if kept.all() else (X[kept], weight[kept])
    return X, None if (weight == weight[0]).all() else weight / weight.mean()


def numbered(rows):
    """A number for each row, the same for equal ones, whose missing entries are in the same places."""
    # Rows are compared as bytes. Zero has two signs, and there are many NaN.
    rows = np.ascontiguousarray(rows + rows.dtype.type(0))
    rows[np.isnan(rows)] = np.nan
    whole = rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel()
    return np.unique(whole, return_inverse=True)[1].reshape(-1)


def held_out(group, weight, fraction, random_state):
    """Mask of the validation rows, chosen at random by share of the weight.

    Rows with the same number in ``group`` stay on one side, unless all have the same.
    """
    if len(group) < 2:
        raise ValueError(
            "early_stopping=True needs rows to train on and rows to validate on, got n_samples = "
            f"{len(group)} with validation_fraction={fraction}. Pass more rows, or early_stopping=False."
        )
    if (group == group[0]).all():
        group = np.arange(len(group))
    size = np.bincount(group, weights=weight)
    order = random_state.permutation(len(size))
    # Rounded, so that weights and repetitions, equal but for rounding, choose alike.
    distance = np.round(np.abs(np.cumsum(size[order]) / size.sum() - fraction), 9)
    marked = np.zeros(len(size), dtype=bool)
    marked[order[: 1 + np.argmin(distance[:-1])]] = True
    return marked[group]


def split_rows(X, weight, held):
    """Rows to train on and their weights, of mean 1, rows to validate on and theirs, from the mask of the latter."""
    if weight is None:
        return X[~held], None, X[held], None
    return X[~held], weight[~held] / weight[~held].mean(), X[held], weight[held]


def hold_out(X, weight, fraction, random_state, *, together, target=None):
    """Training rows and their weights, validation rows and theirs, split at random by share of the weight.

    With ``together`` equal rows stay on one side, so that a row's weight means its repetition. Where rows have a
    target, a number each, both parts of it come behind, and rows with different ones are not equal.
    """
    some = (X[:] if target is None else np.column_stack([X[:], target])) if together else None
    group = numbered(some) if together else np.arange(len(X))
    held = held_out(group, weight, fraction, random_state)
    parts = split_rows(X, weight, held)
    return parts if target is None else (*parts, target[~held], target[held])


def standardizer(standardization, rows):
    """Standardisation in the rows' own dtype and place, before any cast; None where it is the identity."""
    some = rows[:0]
    like = some if isinstance(some, torch.Tensor) else as_tensor(some)  # sparse rows are dense where they are read
    shift, scale = (torch.tensor(standardization[name]).to(like) for name in ("shift", "scale"))
    if not shift.any() and bool((scale == 1).all()):
        return None
    return lambda block: (block - shift).div_(scale)


def _resident(rows, device):
    """Whether rows are moved to the device once and for all; sparse ones are not."""
    if not isinstance(rows, torch.Tensor):
        return False
    if device.type == "cuda":
        # Memory that torch holds in reserve is free, but not to the driver.
        reserve = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return rows.nbytes < GPU_SHARE * (torch.cuda.mem_get_info(device)[0] + reserve)
    return device.type == "mps" and rows.dtype == torch.float32  # it has no float64


def training_batches(X, weight, batch_size, model, prepare, augment, target=None):
    """Batches for a model on its device and in its dtype; rows go to a GPU once if they fit there."""
    device = model.scale.device
    rows = as_tensor(X[:]) if len(X) <= batch_size or isinstance(X, np.ndarray) else X
    if _resident(rows, device):
        rows = rows.to(device)
    return Batches(
        rows,
        None if weight is None else as_tensor(weight).to(rows.device, model.scale.dtype),
        batch_size=int(batch_size),  # torch splits by no integers of NumPy's
        device=device,
        dtype=model.scale.dtype,
        prepare=prepare(rows),
        augment=augment,
        target=None if target is None else as_tensor(target).to(rows.device),
    )


def shares(weight, n_rows):
    """Shares of rows in a mean, from an array of their weights; None stands for equal ones."""
    weight = torch.ones(n_rows, dtype=torch.float64) if weight is None else as_tensor(weight)
    return weight / weight.sum()


def observed_shares(rows, weight):
    """Share of the weight of rows for which each column is observed, (n_features,), in float64; None: equal weights."""
    share = shares(None if weight is None else as_array(weight).astype(np.float64), len(rows))
    parts = tiles(len(rows), rows.shape[1])
    return sum(share[part] @ (~torch.isnan(rows[part])).cpu().double() for part in parts)


def mean_inputs(model, X, weight):
    """Mean of each input of a model's encoder over rows with weights; float64."""
    share, total = shares(weight, len(X)), 0.0
    for tile in tiles(len(X), 4 * model.likelihood.n_inputs):
        x = model.standardize(as_tensor(X[tile]).to(model.scale))
        total = total + share[tile] @ model.likelihood.inputs(x * model.input_ratio)
    return total


def mean_over_rows(values, share, numbers_per_row):
    """Mean, with shares of rows, of a function from a slice of rows to their values; tile by tile, in float64."""
    parts = tiles(len(share), numbers_per_row)
    with torch.no_grad():
        return sum(float(values(part).cpu().double() @ share[part]) for part in parts)


def validator(X_val, weight, model, standardization, values, *, n_draws, seed, shared, target=None):
    """A function that computes the mean of ``values(model, x, generator)`` with the same noise at every call.

    With ``shared``, for fits on a single batch, a binarisation is shared by the rows, as it is in training. Targets of
    rows are a fourth argument of ``values``.
    """
    rows = as_tensor(X_val)
    prepare = standardizer(standardization, rows)
    x = (rows if prepare is None else prepare(rows)).to(model.scale)
    device = model.scale.device
    drawn = model.augment(x, generator=torch.Generator(device).manual_seed(seed), shared=shared)
    x = torch.where(x.isnan(), x, drawn)
    share = shares(weight, len(x))
    targets = () if target is None else (as_tensor(target).to(device),)

    def validate():
        generator = torch.Generator(device).manual_seed(seed)

        def some(part):
            return values(model, x[part], generator, *(each[part] for each in targets))

        return mean_over_rows(some, share, model.width * n_draws)

    return validate

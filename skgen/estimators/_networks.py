"""What every estimator made of an encoder, a decoder and a likelihood shares."""

import functools
from abc import abstractmethod

import numpy as np
import torch

from skgen.estimators._arrays import tile_size
from skgen.estimators._base import GradientEstimator
from skgen.estimators._data import check_observed, in_support, mean_inputs, observed_shares, validator
from skgen.estimators._fitted import FittedModule
from skgen.estimators._loss import TermsLoss
from skgen.estimators._network_kinds import ChosenNetworks, check_draws


def widened(value, new):
    """A fitted array as a tensor of the shape of a new one, whose entries it has where it is smaller itself."""
    result = new.clone()
    result[tuple(slice(size) for size in value.shape)] = torch.tensor(value)
    return result


class NetworkEstimator(ChosenNetworks, FittedModule, GradientEstimator):
    """Base of the estimators whose model is a :class:`~skgen.models.base.NetworkModel`."""

    _row_checks = {"ensure_all_finite": "allow-nan"}
    _standardization_names = ("shift", "scale", "input_scale", "input_ratio")
    _continued = {
        "n_components": "n_components",
        "network": "network",
        "image_shape": "image_shape",
        "encoder_sizes": "hidden_layer_sizes",
        "decoder_sizes": "decoder_hidden_layer_sizes",
        "activation": "activation",
        "prior_": "prior",
        "likelihood_": "likelihood",
        "posterior_": "posterior",
    }

    @abstractmethod
    def _likelihood_spec(self):
        """The likelihood that the parameters name."""

    @abstractmethod
    def _validation_values(self, model, x, generator, *, shared=False):
        """The monitored value of standardised rows, in the user's units; ``shared``: with noise that rows share.

        Where rows have targets, these come behind the generator.
        """

    @property
    def score_measure(self):
        """What scores are relative to: "density", "mass" or "mixed"; nats compare only within one."""
        spec = self.likelihood_ if hasattr(self, "likelihood_") else self._likelihood_spec()
        return spec.domain().measure

    def _in_support(self, X, *, training):
        spec = self._likelihood_spec() if training else self.likelihood_
        return in_support(self, X, spec)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        try:
            support = self._likelihood_spec().domain().support
        except (TypeError, ValueError):
            return tags  # fit will refuse the parameter
        tags.input_tags.positive_only = support is not None and support[0] == 0 and support[1] == np.inf
        return tags

    def _units(self, model):
        """What turns a standardised log-density l into the reported ``factor * (l + offset)``.

        The factor, and the offsets of the columns, (n_features,), of which a row has those of its observed entries.
        """
        return 1.0, -torch.log(model.scale)

    def _terms_loss(self, model, batches, objective, noise, n_draws=1, *, kind=TermsLoss, **options):
        """The loss of an objective; ``options`` are those of the model's tracer."""
        check_draws(model, self._solvers)
        low_precision = self.precision == "bfloat16" and not batches.full
        factor, offsets = self._units(model)
        if model.missing:
            offset = offsets.cpu().double() @ observed_shares(batches.rows, batches.weight)
        else:
            offset = offsets.sum()  # without a look at every row
        return kind(
            model.tracer(low_precision=low_precision, **options),
            objective,
            noise,
            offset=float(offset),
            factor=factor,
            tile=tile_size(n_draws * model.width, model.scale.itemsize),
        )

    def _n_validation_draws(self):
        """Draws per row in ``_validation_values``, for sizing tiles."""
        return 1

    # -- training -------------------------------------------------------------------------------------------------

    def _share(self, model):
        model.encoder.shared_masks = model.decoder.shared_masks = True

    def _augment(self, model, *, shared):
        return functools.partial(model.augment, shared=shared)

    def _measures(self, loss, data, validation, model, *, shared, seed):
        if validation is None:
            return None
        values = functools.partial(self._validation_values, shared=shared)
        n_draws = self._n_validation_draws()
        X_val, weight, *target = validation
        options = {"n_draws": n_draws, "seed": seed, "shared": shared, "target": target[0] if target else None}
        mean = validator(X_val, weight, model, self._standardization, values, **options)
        name = f"validation_{loss.monitor}"
        return lambda: {name: mean()}

    def _start_model(self, model, moments, generator, *, partial):
        model.reset(generator)
        model.initialize(torch.from_numpy(moments.mean), torch.from_numpy(moments.scale))

    def _prepared_model(self, X, weight, random_state, *, fresh, partial):
        model = super()._prepared_model(X, weight, random_state, fresh=fresh, partial=partial)
        if fresh and model.likelihood.starts_from_shares:
            with torch.no_grad():
                model.initialize_shares(mean_inputs(model, X, weight))
        return model

    def _move_model(self, model, moments, old):
        # Where a column had no value until now, what was learnt of it means nothing.
        first = (old.count == 0) & (moments.count > 0)
        revived = torch.from_numpy(old.constant & (first | ~moments.constant))
        model.restandardize(torch.from_numpy(moments.mean), torch.from_numpy(moments.scale), revived)

    def _initial_model(self, moments, old, seed, *, partial):
        if not partial:
            check_observed(self, moments)
        before = old is not None and self._missing
        if old is not None and moments.incomplete and not before:
            if not isinstance(self._architecture["network"], str):
                raise ValueError(
                    "X contains missing values, of which the rows so far had none: a network= of your own has no input "
                    "for them. Begin with rows that have some, or fill them in."
                )
            # The model gets more weights, of which the optimiser knows nothing; a critic of its inputs starts anew.
            kept = getattr(self, "training_state_", {}).items()
            self.training_state_ = {
                name: value for name, value in kept if name.startswith("loss.") and not name.startswith("loss.critic")
            }
        self._missing = moments.incomplete or before
        return super()._initial_model(moments, old, seed, partial=partial)

    def _fitted_model(self):
        """As all estimators do; a model of complete rows that is to go on with others gets what it lacks."""
        model = self._build_model(self.n_features_in_).double()
        model.load_state_dict({name: widened(self.weights_[name], new) for name, new in model.state_dict().items()})
        return model

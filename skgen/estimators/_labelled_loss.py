"""The loss of rows of which some have a class and some have none."""

from skgen.estimators._loss import TermsLoss
from skgen.models.labelled import each_class, one_hot
from skgen.objectives.labelled import LabelledTerms


class LabelledLoss(TermsLoss):
    """Minus the weighted mean of a :class:`~skgen.objectives.labelled.SemiSupervised` bound, with its gradient.

    Parameters
    ----------
    label_trace : callable
        Tracer of log q(y | x).
    complete : bool
        Whether every row has a class: then one pass through the decoder for each row is enough.
    """

    def __init__(self, *arguments, label_trace, complete, **options):
        super().__init__(*arguments, **options)
        self.label_trace = label_trace
        self.complete = complete

    def _part(self, batch, noise, n_rows, generator):
        """Add the gradient of some of the ``n_rows`` rows of a batch; their terms and weights, and ``n_rows``."""
        n_classes = len(self.objective.log_class_prior)
        target = one_hot(batch.target, n_classes, batch.x)
        pairs = (batch.x, noise, target) if self.complete else each_class(batch.x, noise, n_classes)
        pair_terms, pullback = self.trace(*pairs[:2], generator, pairs[2])
        log_proba, pull_labels = self.label_trace(batch.x, generator)
        terms = LabelledTerms(pair_terms, log_proba, target)
        cotangents, share, to_log_proba = self.objective.cotangents(terms, self.kl_weight)
        weight = 1 if batch.weight is None else batch.weight
        share = (share.view(-1, len(batch.x)) * weight).reshape(-1)
        pullback(self._averaged(cotangents, share, n_rows, pair_terms.n_draws, batch.x))
        factor = -1.0 / n_rows if batch.weight is None else (batch.weight * (-1.0 / n_rows)).unsqueeze(-1)
        pull_labels(to_log_proba * factor)
        return terms, batch.weight, n_rows

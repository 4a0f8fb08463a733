"""The temperature of relaxed draws, which falls from epoch to epoch."""


class TemperatureSchedule:
    """Sets the temperature of a posterior: from ``first`` to ``last``, geometrically, over ``length`` epochs.

    Parameters
    ----------
    posterior : Posterior
        In training; its ``temperature`` is changed in place.
    first, last : float
        Temperatures.
    length : float
        Epochs; ``last`` from the beginning for 0.

    Attributes
    ----------
    temperature : float
        In force.
    """

    def __init__(self, posterior, first, last, length=0.0):
        self.posterior, self.first, self.last, self.length = posterior, first, last, length
        self.temperature = last

    def begin(self, epoch):
        """Set the temperature of an epoch."""
        share = min(1.0, epoch / self.length) if self.length > 0 else 1.0
        self.temperature = float(self.first * (self.last / self.first) ** share)
        self.posterior.temperature.fill_(self.temperature)

    def settled(self, epoch):
        """Whether the temperature of an epoch is the last one."""
        return epoch >= self.length

    @property
    def scheduled(self):
        """What a record says of it."""
        return {"temperature": self.temperature}

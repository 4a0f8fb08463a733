"""A fit that consists of several, one after the other: layers that are learnt greedily, and what comes after."""

import math

import numpy as np

STAGE = "stage"
"""Entry of the history with the number of the stage that an epoch belongs to, from 1."""


class StackRun:
    """Runs that follow each other, seen as one by ``fit`` and by callbacks.

    It offers what :class:`~skgen.estimators._run.Run` does. Stopping is each stage's own: a watch follows every stage
    by itself, since values of two stages do not compare.

    Parameters
    ----------
    stages : list
        What is learnt, in order. A stage has ``task_name``, ``number``, ``n_epochs``, ``start() -> Run``, and
        ``finish(run)``, which stores what the run has learnt so that the next stage can start.
    device : torch.device
        Where it is learnt.
    origin : str
        What tells the fit that this one continues from any other.
    before : dict of str to list of float
        History that this run carries on.

    Attributes
    ----------
    index : int
        Number of stages that are done.
    current : Run or None
        The run of the stage in progress.
    interrupted : bool
        Whether a callback or Ctrl-C ended the run before its time.
    """

    def __init__(self, stages, device, *, origin="", before=None):
        self.stages, self.device, self.origin = stages, device, origin
        self.before = before or {}
        self.index, self.current = 0, None
        self.done = []
        self.watches = {}
        self.interrupted = False

    # -- its course -----------------------------------------------------------------------------------------------

    def begin_stage(self):
        """Start the next stage, unless it was already; return it."""
        stage = self.stages[self.index]
        if self.current is None:
            self.current = stage.start()
            for name, settings in self.watches.items():
                self.current.watch(name, **settings)
        return stage

    def end_stage(self):
        """Store what the stage in progress has learnt."""
        self.keep_best()
        self.stages[self.index].finish(self.current)
        self.done.append(self.current)
        self.index, self.current = self.index + 1, None

    def records(self):
        """The records of the stage in progress."""
        return self.current.records()

    def complete(self):
        """Run every stage to its end."""
        while self.index < len(self.stages):
            self.begin_stage()
            self.current.complete()
            self.end_stage()

    @property
    def finished(self):
        """Whether there is no epoch left to run, in the stage in progress or, where there is none, at all."""
        if self.current is not None:
            return self.current.finished
        return self.index == len(self.stages) and self.done[-1].finished

    def keep_best(self):
        """Go back to the parameters of the best epoch of the stage in progress, where they were kept."""
        if self.current is not None:
            self.current.keep_best()

    def watch(self, name, **settings):
        """Stop each stage when an entry of its history has ceased to rise."""
        self.watches.setdefault(name, settings)

    # -- what there is to see --------------------------------------------------------------------------------------

    @property
    def runs(self):
        """The runs so far, the one in progress included."""
        return self.done if self.current is None else [*self.done, self.current]

    @property
    def epoch(self):
        """Number of epochs so far, over all stages."""
        return len(self.before.get(STAGE, ())) + sum(run.epoch for run in self.runs)

    @property
    def best_epoch(self):
        """Number of the epoch that the last stage's parameters are from, counted over all stages."""
        return self.epoch + (self.runs[-1].best_epoch - self.runs[-1].epoch if self.runs else 0)

    @property
    def converged(self):
        """Whether every stage has ended because a value ceased to rise."""
        return len(self.runs) == len(self.stages) and all(run.converged for run in self.runs)

    @property
    def history(self):
        """The records of all stages; what a stage does not report is nan."""
        histories = [self.before] if self.before else []
        for stage, run in zip(self.stages, self.runs, strict=False):
            n_epochs = max(map(len, run.history.values()), default=0)
            histories.append({STAGE: [float(stage.number)] * n_epochs} | run.history)
        return joined_histories(histories)

    def training_state(self):
        """Nothing beyond what the stages keep themselves."""
        return {}

    # -- state ----------------------------------------------------------------------------------------------------

    def state(self):
        """The whole state after an epoch, as arrays by name."""
        state = {"origin": np.frombuffer(self.origin.encode(), dtype=np.uint8)}
        return state | {f"{i}/{key}": value for i, run in enumerate(self.runs) for key, value in run.state().items()}

    def load(self, state):
        """Continue from :meth:`state`: stages that were done are started and finished with what they had learnt."""
        n_stages = len({name.partition("/")[0] for name in state if "/" in name})
        for i in range(n_stages):
            self.begin_stage()
            prefix = f"{i}/"
            self.current.load({n.removeprefix(prefix): value for n, value in state.items() if n.startswith(prefix)})
            if i < n_stages - 1:
                self.end_stage()


def joined_histories(histories):
    """One history of several that have the entry ``stage``, each at full length: nan where one lacks an entry."""
    names = dict.fromkeys(name for history in histories for name in history)
    joined = {name: [] for name in names}
    for history in histories:
        for name, values in joined.items():
            values += history.get(name, [math.nan] * len(history[STAGE]))
    return joined

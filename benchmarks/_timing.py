"""Paired timing: every side runs once in each round, so that a machine's drift falls on all of them alike."""

import platform
import statistics
import time

import sklearn
import torch

import skgen


def machine():
    """One line on where and with what the figures were taken."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "no GPU"
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "")
    versions = f"skgen {skgen.__version__}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    return f"{model or platform.processor()}, {torch.get_num_threads()} threads, {device}; {versions}"


class TaskClock:
    """A callback that keeps the time at the end of every task of a name, an epoch or an iteration."""

    def __init__(self, task_name):
        self.task_name, self.times = task_name, []

    def setup(self, estimator, context):
        """Nothing."""

    def teardown(self, estimator, context):
        """Nothing."""

    def on_fit_task_begin(self, estimator, context):
        """Nothing."""

    def on_fit_task_end(self, estimator, context):
        """Take the time."""
        if context.task_name == self.task_name:
            self.times.append(time.perf_counter())


def rounds(sides, n_rounds, *, warm_up=True):
    """Seconds of each side in each round; a side is a function that returns the seconds to count."""
    seconds = {name: [] for name in sides}
    for run in sides.values() if warm_up else ():
        run()
    for _ in range(n_rounds):
        for name, run in sides.items():
            seconds[name].append(run())
    return seconds


def timed(function, repeats=1):
    """A side that counts the mean time of a function."""

    def run():
        start = time.perf_counter()
        for _ in range(repeats):
            function()
        return (time.perf_counter() - start) / repeats

    return run


def table(title, seconds, ours, *, unit=1e3, unit_name="ms/epoch"):
    """Print medians, ranges and the median of the paired ratios to one side."""
    print(f"\n{title}")
    print(f"{'side':34s} {'median':>9s} {'min':>9s} {'max':>9s}  {unit_name}   ratio to '{ours}'")
    for name, values in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(values, seconds[ours], strict=True))
        figures = (unit * f(values) for f in (statistics.median, min, max))
        print(f"{name:34s} " + " ".join(f"{x:9.1f}" for x in figures) + f"  {'':8s}   {ratio:6.2f}")

"""How many jobs of an experiment are trained together, as one model (`executor.stack`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from dlcli.assembly.batch_rows import automatic_rows
from dlcli.config.build import TARGET
from dlcli.distributed.launcher import is_launched
from dlcli.executors.at_once import MANY_STEPS, bytes_of_rows, jobs_at_once, most_at_once, steps_of
from dlcli.executors.time_limits import Limits
from dlcli.inference.evaluation import choose_device
from dlcli.process.memory import free_memory
from dlcli.training.trainer_arguments import needs_single_steps

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Most networks in a stack: with more, a network's share of the time of a step falls by less than a tenth.
_MOST = 32

# With `auto`, fewest steps of all jobs: 800 and 1,000 steps of iris (40 trials, 10 folds) gained nothing
# measurable beside what jobs do between their epochs.
_FEWEST_STEPS = 2_000

# Ratio of the time of ten folds alone to that of the folds together, between their start and their end, for steps with
# at most this number of multiplications in the forward pass. Measured with one thread, 20 columns and 64 rows: 2.9 for
# two layers of 32 units and 1.6 for 64 and for 128. Steps alone gain more (5.0, 3.8 and 2.5; 1.1 for 256 units). These
# are lower bounds: when they were measured, each job still validated by itself at the end of an epoch.
_GAINS = ((400_000, 2.5), (2_000_000, 1.6), (5_000_000, 1.0))

# Memory that is assumed for a job: copies of its rows, and its model with its trainer and metrics.
_COPIES, _JOB_BYTES = 4, 4 << 20

_MODELS = ("dlcli.models.mlp.MLP", "dlcli.models.linear.Linear")
_OPTIMIZERS = ("torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD")


class JobLayout(NamedTuple):
    """How jobs run at the same time.

    Attributes:
        processes: number of processes; 1 if this process runs them.
        stack: number of jobs that are trained together in each process, as one model.
    """

    processes: int
    stack: int

    @property
    def at_once(self) -> int:
        """The number of jobs that run at the same time at most."""
        return self.processes * self.stack


def job_layout(config: Mapping[str, Any], jobs: int, data: Data) -> JobLayout:
    """Return in how many processes `jobs` jobs of a configuration run, and how many are trained together in each.

    Whether they fit together is known once the first of them is about to train.
    """
    if jobs < 2 or why_alone(config, data, jobs):
        return JobLayout(jobs_at_once(config, jobs, data), 1)
    processes, asked = _processes(config, jobs, data), config["executor"]["stack"]
    most = min(_room(data) // processes, _MOST if isinstance(asked, bool) or asked == "auto" else int(asked))
    if processes == 1:
        return JobLayout(1, min(jobs, most))
    rounds = -(-jobs // (processes * most))
    return JobLayout(processes, -(-jobs // (processes * rounds)))


def unstacked(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a configuration whose jobs are trained one by one, or in several processes."""
    executor = config["executor"]
    return {**config, "executor": {**executor, "stack": False}} if "stack" in executor else config


def why_alone(config: Mapping[str, Any], data: Data, jobs: int) -> str:
    """Return the first reason why each of `jobs` jobs is trained alone; empty if several may be trained together."""
    return next(_reasons(config, data, jobs), "")


def _reasons(config: Mapping[str, Any], data: Data, jobs: int) -> Iterator[str]:
    executor, trainer, model = config["executor"], config["trainer"], config["model"]
    asked = executor.get("stack", False)
    if asked is False or (asked == 1 and asked is not True):
        yield "executor.stack is off" if "stack" in executor else "jobs of another machine run alone"
    if Limits.of(config).any_of_time or trainer.get("max_time") is not None:
        yield "a time limit of a job"
    if is_launched() or trainer["devices"] not in (1, "1", "auto"):
        yield "several devices"
    if choose_device(trainer["accelerator"]).type != "cpu":
        yield "an accelerator"
    if needs_single_steps(trainer):
        yield "a setting of the trainer that needs single steps"
    if model[TARGET] not in _MODELS or model.get("numbers", "plain") != "plain":
        yield "the model"
    if config["dataset"].get("batch_tokens"):
        yield "batches of a number of tokens"
    if data.kind not in ("table", "sequence"):
        yield f"rows that are not numbers ({data.kind})"
    if config["optimizer"][TARGET] not in _OPTIMIZERS:
        yield "the optimizer"
    for section in ("augmentation", "weight_averaging", "finetune", "finder"):
        if config.get(section):
            yield section
    if asked == "auto":
        yield from _costs(config, data, jobs)
    processes = _processes(config, jobs, data)
    if 1 < processes >= jobs:
        yield f"{processes} processes run one each"
    if _room(data) < 2 * processes:
        yield "too little memory"


def _costs(config: Mapping[str, Any], data: Data, jobs: int) -> Iterator[str]:
    """Yield the reasons why taking steps together would save no time."""
    if not _gain(config, data):
        work = work_of_step(config, data)
        yield f"steps of {work:,.0f} multiplications, which gain little from being taken together"
    if 0 < (steps := jobs * steps_of(config, len(data))) < _FEWEST_STEPS:
        yield f"{steps} steps, which are too few to save time"


def _gain(config: Mapping[str, Any], data: Data) -> float:
    """Return what many jobs gain by being trained together (`_GAINS`); 0 if nothing."""
    work = work_of_step(config, data)
    return next((gain for most, gain in _GAINS if work <= most), 0.0)


def _processes(config: Mapping[str, Any], jobs: int, data: Data) -> int:
    """Return in how many processes jobs run that can be trained together."""
    most = most_at_once(config, jobs, data)
    if config["executor"].get("jobs", 1) != "auto":
        return most
    gain = max(1.0, _gain(config, data))
    steps = steps_of(config, len(data))

    def duration(processes: int) -> float:
        """Return about how long the jobs take, in steps of a job alone."""
        each = -(-jobs // processes)
        return steps * each / min(gain, (each + 1) / 2)  # a stack of few gains less

    # Worker processes save half of the time in two processes, which pays from `MANY_STEPS` on.
    return most if most > 1 and MANY_STEPS / 2 + duration(most) < duration(1) else 1


def _room(data: Data) -> int:
    """Return the number of jobs for which there is memory."""
    return int(free_memory() // (_COPIES * bytes_of_rows(data.x) + _JOB_BYTES))


def work_of_step(config: Mapping[str, Any], data: Data) -> float:
    """Return about how many multiplications a step's forward pass takes, per network."""
    model, rows = config["model"], config["dataset"].get("batch_size", 1)
    hidden, layers = model.get("hidden", []), model.get("layers", 1)
    columns = math.prod(data.x.shape[1:])
    sizes = [columns, *([hidden] * layers if isinstance(hidden, int) else hidden), _outputs(data)]
    rows = automatic_rows(len(data)) if rows == "auto" else len(data) if rows == "full" else rows
    return float(rows * sum(a * b for a, b in pairwise(sizes)))


def _outputs(data: Data) -> int:
    return max(1, len(data.classes), len(data.targets))

"""How many jobs of an experiment are trained together, as one model (`executor.stack`)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from dlcli.assembly.batch_rows import automatic_rows
from dlcli.config.build import TARGET
from dlcli.distributed.launcher import is_launched
from dlcli.executors.time_limits import Limits
from dlcli.inference.evaluation import choose_device
from dlcli.process.memory import free_memory
from dlcli.training.trainer_arguments import needs_single_steps

if TYPE_CHECKING:
    from dlcli.datasets.data import Data

# Most networks in a stack: with more, a network's share of the time of a step falls by less than a tenth.
_MOST = 32

# With `auto`, fewest steps of all jobs: taking fewer ones together saves less than a twentieth of a second.
_FEWEST_STEPS = 200

# With `auto`, most multiplications and additions in a step of one network: beyond it, its own arithmetic takes longer
# than the calls that a stack saves.
_MOST_WORK = 2_000_000

# Memory that is assumed for a job: copies of its rows, and its model with its trainer and metrics.
_COPIES, _JOB_BYTES = 4, 4 << 20

_MODELS = ("dlcli.models.mlp.MLP", "dlcli.models.linear.Linear")
_OPTIMIZERS = ("torch.optim.Adam", "torch.optim.AdamW", "torch.optim.SGD")


def stack_size(config: Mapping[str, Any], jobs: int, data: Data) -> int:
    """Return how many of `jobs` jobs of a configuration are trained together; 1 if each is trained alone.

    Whether they fit together is known once the first of them is about to train.
    """
    asked = config["executor"].get("stack", False)
    if jobs < 2 or why_alone(config, data, jobs):
        return 1
    return min(jobs, _room(data), _MOST if isinstance(asked, bool) or asked == "auto" else int(asked))


def why_alone(config: Mapping[str, Any], data: Data, jobs: int) -> str:
    """Return the first reason why each of `jobs` jobs is trained alone; empty if several may be trained together."""
    return next(_reasons(config, data, jobs), "")


def _reasons(config: Mapping[str, Any], data: Data, jobs: int) -> Iterator[str]:
    executor, trainer, model = config["executor"], config["trainer"], config["model"]
    asked = executor.get("stack", False)
    if asked is False or (asked == 1 and asked is not True):
        yield "executor.stack is off" if "stack" in executor else "jobs of another machine run alone"
    if executor.get("jobs", 1) not in (1, "auto"):
        yield f"executor.jobs={executor['jobs']} runs jobs in several processes"
    if Limits.of(config).any_of_time:
        yield "a time limit of a job"
    if is_launched() or trainer["devices"] not in (1, "1", "auto"):
        yield "several devices"
    if choose_device(trainer["accelerator"]).type != "cpu":
        yield "an accelerator"
    if needs_single_steps(trainer):
        yield "a setting of the trainer that needs single steps"
    if model[TARGET] not in _MODELS or model.get("numbers", "plain") != "plain":
        yield "the model"
    if data.kind not in ("table", "sequence"):
        yield f"rows that are not numbers ({data.kind})"
    if config["optimizer"][TARGET] not in _OPTIMIZERS:
        yield "the optimizer"
    for section in ("augmentation", "weight_averaging", "finetune", "finder"):
        if config.get(section):
            yield section
    if asked == "auto" and (work := work_of_step(config, data)) > _MOST_WORK:
        yield f"steps of {work:,.0f} multiplications, which gain nothing from being taken together"
    if asked == "auto" and (steps := jobs * steps_of(config, len(data))) < _FEWEST_STEPS:
        yield f"{steps} steps, which are too few to save time"
    if _room(data) < 2:
        yield "too little memory"


def _room(data: Data) -> int:
    """Return the number of jobs for which there is memory."""
    return int(free_memory() // (_COPIES * size_of(data.x) + _JOB_BYTES))


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


def size_of(x: Any) -> int:
    """Return the approximate size of raw rows in bytes; 0 for rows that are read on demand."""
    if hasattr(x, "memory_usage"):
        return int(x.memory_usage(deep=False).sum())
    return int(getattr(x, "nbytes", 0))


def steps_of(config: Mapping[str, Any], rows: int) -> int:
    """Return an upper bound of the steps of a job, which may stop early, and whose training rows are fewer."""
    batch, trainer = config["dataset"].get("batch_size"), config["trainer"]
    batch = automatic_rows(rows) if batch == "auto" else batch
    epochs, most = trainer.get("max_epochs"), trainer.get("max_steps", -1)
    if not isinstance(batch, int) or not isinstance(epochs, int) or batch < 1:
        return 0
    steps = max(epochs, 0) * -(-rows // batch)
    return min(steps, most) if isinstance(most, int) and most >= 0 else steps

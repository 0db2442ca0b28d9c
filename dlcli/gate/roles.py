"""The roles of places in a configuration: the types of objects, and their packages, that each place may name.

Where a base class identifies the role (a model, a loss, a task, a preprocessing), any public class of the role's dlcli
package is accepted. Functions, and classes without a common base, are accepted if a shipped option of the group names
them. From other packages, only public names such as `torch.nn.Linear` are accepted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import import_module
from typing import Any

from dlcli.config.folders import shipped_folder


@dataclass(frozen=True)
class Role:
    """The objects that one place of a configuration may name.

    Attributes:
        words: description of the role for messages.
        base: import path of the required base class; empty if there is none.
        packages: packages of dlcli whose public classes with that base are accepted.
        group: configuration group; what its shipped options name is accepted.
        offered: modules, each with the package that defines its classes, and the accepted names (empty for all).
        or_base: import path of an alternative base class.
    """

    words: str
    base: str = ""
    packages: tuple[str, ...] = ()
    group: str = ""
    offered: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    or_base: str = ""

    def fits(self, found: Any) -> bool:
        """Return whether an object has the type that the role requires."""
        if not self.base:
            return callable(found)
        bases = tuple(base_class(base) for base in (self.base, self.or_base) if base)
        return isinstance(found, type) and issubclass(found, bases)


def base_class(path: str) -> Any:
    """Return the class at an import path of the table below."""
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


_MODULES = (("torch.nn", "torch.nn.modules", ()),)

# Lightning's other callbacks write files, or call functions that they are given.
_CALLBACKS = (
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "Timer",
    "StochasticWeightAveraging",
    "DeviceStatsMonitor",
    "LearningRateMonitor",
)

_MODEL = Role("a model", "torch.nn.Module", ("dlcli.models",), offered=_MODULES)
_LOSS = Role(
    "a loss",
    "torch.nn.Module",
    ("dlcli.tasks.losses", "dlcli.tasks.pixel_losses", "dlcli.tasks.token_losses"),
    group="task/loss",
    offered=_MODULES,
)
_PART = Role("a layer", "torch.nn.Module", offered=_MODULES)
_TASK = Role("a task", "dlcli.tasks.base.Task", ("dlcli.tasks",))
_PREPROCESSING = Role("a preprocessing", "sklearn.base.BaseEstimator", ("dlcli.preprocessing",))
_OPTIMIZER = Role(
    "an optimizer",
    "torch.optim.Optimizer",
    ("dlcli.training.muon", "dlcli.training.penalty_path", "dlcli.training.grow_trees"),
    offered=(("torch.optim", "torch.optim", ()),),
)
_SCHEDULE = Role(
    "a schedule",
    "torch.optim.lr_scheduler.LRScheduler",
    group="scheduler",
    offered=(("torch.optim.lr_scheduler", "torch.optim.lr_scheduler", ()),),
)
_SAMPLER = Role(
    "a sampler",
    "optuna.samplers.BaseSampler",
    group="sweep/sampler",
    offered=(("optuna.samplers", "optuna.samplers", ()),),
)
_PRUNER = Role(
    "a pruner",
    "optuna.pruners.BasePruner",
    group="sweep/pruner",
    offered=(("optuna.pruners", "optuna.pruners", ()),),
)
_CALLBACK = Role(
    "a callback that writes no files",
    "pytorch_lightning.Callback",
    ("dlcli.training.rise_stopping", "dlcli.training.watch_gradients", "dlcli.training.watch_path"),
    offered=(("pytorch_lightning.callbacks", "pytorch_lightning.callbacks", _CALLBACKS),),
)
_TRAINER = Role(
    "Lightning's trainer",
    "pytorch_lightning.Trainer",
    offered=(("pytorch_lightning", "pytorch_lightning.trainer.trainer", ("Trainer",)),),
)

# Metrics of torchmetrics that compute from numbers alone; others load models or read files.
_METRIC = Role(
    "a metric",
    "torchmetrics.Metric",
    or_base="dlcli.tasks.metric.Metric",
    group="metric",
    offered=tuple(
        (module, package, ())
        for package in ("torchmetrics.classification", "torchmetrics.regression")
        for module in ("torchmetrics", package)
    ),
)

# Place (dotted; `*` for one or more names) to role; the first match applies. Other places may name nothing.
ROLES: tuple[tuple[str, Role], ...] = (
    ("model", _MODEL),
    ("model.*", _PART),
    ("task", _TASK),
    ("task.loss", _LOSS),
    ("task.*", _PART),
    ("metric.*", _METRIC),
    ("preprocessing", _PREPROCESSING),
    ("dataset", Role("a dataset", group="dataset")),
    ("cv", Role("a cross-validation strategy", group="cv")),
    ("optimizer", _OPTIMIZER),
    ("scheduler", _SCHEDULE),
    ("scheduler.*", _SCHEDULE),
    ("callbacks.*", _CALLBACK),
    ("trainer", _TRAINER),
    (
        "trainer.profiler",
        Role("a profiler", "pytorch_lightning.profilers.Profiler", ("dlcli.training.step_profiler",)),
    ),
    ("sweep", Role("the options of a sweep", group="sweep")),
    ("sweep.sampler", _SAMPLER),
    ("sweep.sampler.*", _SAMPLER),
    ("sweep.pruner", _PRUNER),
    ("sweep.pruner.*", _PRUNER),
    ("executor", Role("the local executor", group="executor")),
    *(
        (group, Role(f"an option of {group}", group=group))
        for group in ("augmentation", "weight_averaging", "finetune", "finder", "tracking")
    ),
)

# Shipped options that send jobs to other machines or run shell commands: not accepted from a run's folder.
NEVER = frozenset({"dlcli.executors.ray_cluster.Ray", "dlcli.executors.slurm.Slurm"})

NOTHING = Role("accepted: nothing may be named there")


def role_at(place: str) -> Role:
    """Return the role of a place, such as `task.loss` or `callbacks.stop`."""
    if place.count(".") > 1 and place.startswith(("callbacks.", "metric.")):
        return NOTHING  # an argument of a callback or metric
    return next((role for pattern, role in ROLES if fnmatchcase(place, pattern)), NOTHING)


@cache
def shipped(group: str) -> frozenset[str]:
    """Return the `_target_`s in the shipped options of a group."""
    named = re.compile(r"^\s*_target_:\s*([\w.]+)\s*$", re.MULTILINE)
    files = (shipped_folder() / group).glob("*.yaml") if group else ()
    return (
        frozenset(name for file in files for name in named.findall(file.read_text(encoding="utf-8"))) - NEVER
    )

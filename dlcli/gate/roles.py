"""What each place of a configuration may hold: of which type, and from which packages.

Of dlcli's own, a class with a type that can be asked for (a model, a loss, a task, a preprocessing) may be any public
one of the role's package. Functions, and classes that share no base, are those that a shipped option of the group
names. Of other packages, only what they offer by a public name, such as `torch.nn.Linear`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Role:
    """What a name may stand for at a place.

    Attributes:
        words: the role in a message.
        base: import path of the class that it must be derived from; empty where there is none.
        packages: of dlcli's, whose public classes of that base may be named.
        group: the conf folder whose options name what else may be.
        offered: modules, each with the package below which its classes are defined, and the names that may be used
            (all, where none is listed).
    """

    words: str
    base: str = ""
    packages: tuple[str, ...] = ()
    group: str = ""
    offered: tuple[tuple[str, str, tuple[str, ...]], ...] = ()

    def fits(self, found: Any) -> bool:
        """Whether an object is of the type that the role asks for."""
        if not self.base:
            return callable(found)
        return isinstance(found, type) and issubclass(found, base_class(self.base))


def base_class(path: str) -> Any:
    """The class that one of the table's own paths names."""
    from importlib import import_module

    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


_MODULES = (("torch.nn", "torch.nn.modules", ()),)

# What else of Lightning's callbacks there is writes files, or runs what it is given.
_CALLBACKS = (
    "EarlyStopping",
    "GradientAccumulationScheduler",
    "Timer",
    "StochasticWeightAveraging",
    "DeviceStatsMonitor",
    "LearningRateMonitor",
)

_MODEL = Role("a model", "torch.nn.Module", ("dlcli.models",), offered=_MODULES)
_LOSS = Role("a loss", "torch.nn.Module", ("dlcli.tasks.losses",), offered=_MODULES)
_PART = Role("a layer", "torch.nn.Module", offered=_MODULES)
_TASK = Role("a task", "dlcli.tasks.base.Task", ("dlcli.tasks",))
_PREPROCESSING = Role("a preprocessing", "sklearn.base.BaseEstimator", ("dlcli.preprocessing",))
_OPTIMIZER = Role(
    "an optimizer",
    "torch.optim.Optimizer",
    ("dlcli.training.muon",),
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
    "a callback of those that write nothing",
    "pytorch_lightning.Callback",
    offered=(("pytorch_lightning.callbacks", "pytorch_lightning.callbacks", _CALLBACKS),),
)
_TRAINER = Role(
    "Lightning's trainer",
    "pytorch_lightning.Trainer",
    offered=(("pytorch_lightning", "pytorch_lightning.trainer.trainer", ("Trainer",)),),
)

# Place (dotted; `*` for one or more names) to role, the first that matches. A place that is not here may name nothing.
ROLES: tuple[tuple[str, Role], ...] = (
    ("model", _MODEL),
    ("model.*", _PART),
    ("task", _TASK),
    ("task.loss", _LOSS),
    ("task.*", _PART),
    ("preprocessing", _PREPROCESSING),
    ("dataset", Role("a dataset", group="dataset")),
    ("cv", Role("a strategy of cross-validation", group="cv")),
    ("optimizer", _OPTIMIZER),
    ("scheduler", _SCHEDULE),
    ("scheduler.*", _SCHEDULE),
    ("callbacks.*", _CALLBACK),
    ("trainer", _TRAINER),
    (
        "trainer.profiler",
        Role("a profiler", "pytorch_lightning.profilers.Profiler", ("dlcli.training.step_profiler",)),
    ),
    ("sweep", Role("the sweep's options", group="sweep")),
    ("sweep.sampler", _SAMPLER),
    ("sweep.sampler.*", _SAMPLER),
    ("sweep.pruner", _PRUNER),
    ("sweep.pruner.*", _PRUNER),
    ("executor", Role("this machine as executor", group="executor")),
    *(
        (group, Role(f"an option of {group}", group=group))
        for group in ("augmentation", "weight_averaging", "finetune", "finder", "tracking")
    ),
)

# Shipped options that send jobs elsewhere, or run shell lines: no run's folder may choose them.
NEVER = frozenset({"dlcli.executors.ray_cluster.Ray", "dlcli.executors.slurm.Slurm"})

NOTHING = Role("anything: nothing may be named there")


def role_at(place: str) -> Role:
    """The role of a place, such as `task.loss` or `callbacks.stop`."""
    if place.count(".") > 1 and place.startswith("callbacks."):
        return NOTHING  # an argument of a callback
    return next((role for pattern, role in ROLES if fnmatchcase(place, pattern)), NOTHING)


@cache
def shipped(group: str) -> frozenset[str]:
    """What the shipped options of a group name as `_target_`."""
    from dlcli.config.folders import shipped_folder

    named = re.compile(r"^\s*_target_:\s*([\w.]+)\s*$", re.MULTILINE)
    files = (shipped_folder() / group).glob("*.yaml") if group else ()
    return (
        frozenset(name for file in files for name in named.findall(file.read_text(encoding="utf-8"))) - NEVER
    )

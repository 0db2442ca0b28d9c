"""Checks of settings for tasks that generate images, and for models whose parts are trained in turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch.optim import LBFGS

from dlcli.assembly.batch_rows import takes_all_rows
from dlcli.assembly.optimization import make_callbacks, make_chosen
from dlcli.config.build import TARGET, locate
from dlcli.errors import Problem
from dlcli.training.fit import takes_chunks
from dlcli.training.trainer_arguments import needs_single_steps
from dlcli.training.turns import turn_parts

_ONE = (1, "1", "auto", None)


def check_generation(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield settings that are incompatible with a task that generates images."""
    if getattr(locate(config["task"][TARGET]), "kind", None) != "generate":
        return
    if getattr(make_chosen(config, "augmentation"), "mixup", 0):
        yield Problem(
            "mixed images would be generated, too: a mixture of two classes is an image of neither class",
            "augmentation.mixup",
            "Use augmentation.mixup=0.",
        )
    model: Any = locate(config["model"][TARGET])
    if parts := turn_parts(model):
        yield from _turns(config, f"{model.__name__} trains {' and '.join(parts)} in turns")


def _turns(config: Mapping[str, Any], because: str) -> Iterator[Problem]:
    optimizer = locate(config["optimizer"][TARGET])
    if takes_all_rows(config) or (isinstance(optimizer, type) and issubclass(optimizer, LBFGS)):
        yield Problem(
            f"{because}: an optimizer that evaluates a loss several times cannot alternate",
            "optimizer",
            "Use optimizer=adam.",
        )
    if config["finder"]:
        yield Problem(
            f"{because}: no single loss determines the best rate",
            "finder",
            "Use finder=none, or a sweep over optimizer.lr.",
        )
    trainer = config["trainer"]
    for name in trainer:
        if needs_single_steps({name: trainer[name]}):
            yield Problem(
                f"{because}, by its own steps, which the trainer does not control",
                f"trainer.{name}",
                f"Leave out trainer.{name}.",
            )
    callbacks = make_callbacks(config)
    if not takes_chunks({}, callbacks):
        names = [type(one).__name__ for one in callbacks if not takes_chunks({}, [one])]
        yield Problem(
            f"{because}, by steps of its own, which {' and '.join(names)} would not see",
            "callbacks",
            "Use callbacks=none, or a callback that acts at the end of an epoch.",
        )
    for key in ("devices", "num_nodes"):
        if trainer.get(key) not in _ONE:
            yield Problem(f"{because}, in one process", f"trainer.{key}", f"Use trainer.{key}=1.")

"""From a configuration to its `Recipe`: optimizer, schedule, batch size and all else that says how to train."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build, locate
from dlcli.config.fitting import fitting
from dlcli.config.signature import signature
from dlcli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from dlcli.training.fields import Fields
    from dlcli.training.recipe import Recipe
    from dlcli.training.schedules import Schedule

# What torch calls some of an optimizer's keys.
_CALLED = {"learning rate": "lr", "beta parameter": "betas", "epsilon": "eps"}


def make_recipe(config: Mapping[str, Any], train: Fields, seed: int, *, keep_last: bool = False) -> Recipe:
    """How the configuration trains a network on the rows `train`.

    With `keep_last` the last epoch counts as the best.
    """
    from dlcli.training.recipe import Recipe

    return Recipe(
        make_optimizer=partial(make_optimizer, config["optimizer"]),
        make_trainer=partial(build, config["trainer"], where="trainer"),
        batch_size=batch_rows(config, train),
        seed=seed,
        trainer_arguments=config["trainer"],
        callbacks=[
            fitting(build(node, where=(place := f"callbacks.{name}")), place, node["_target_"])
            for name, node in config["callbacks"].items()
            if node
        ],
        monitor=config["monitor"],
        mode=config["mode"],
        make_schedule=partial(make_schedule, config["scheduler"]) if config["scheduler"] else None,
        augment=make_chosen(config, "augmentation"),
        averaging=make_chosen(config, "weight_averaging"),
        keep_last=keep_last,
        checkpoint_minutes=config["tracking"]["checkpoint_minutes"],
    )


def make_optimizer(
    node: Mapping[str, Any], parameters: Iterable[Tensor] | Iterable[dict[str, Any]]
) -> Optimizer:
    """The optimizer of a config node; its weight decay spares biases and normalisation, unless the node says `all`."""
    from dlcli.training.optimizers import parameter_groups

    takes = signature(locate(node["_target_"])).arguments
    default = takes["weight_decay"].default if "weight_decay" in takes else 0
    lr = node.get("lr", takes["lr"].default if "lr" in takes else 1.0)
    decay, on = node.get("weight_decay", default), node.get("weight_decay_on", "weights")
    groups = parameter_groups(parameters, lr, decay, on)
    try:
        return fitting(build(node, where="optimizer", params=groups), "optimizer", node["_target_"])
    except ConfigError as error:
        if not isinstance(error.__cause__, ValueError) or not (key := _refused(str(error.__cause__), node)):
            raise
        raise ConfigError(f"{node['_target_']} refuses it: {error.__cause__}", f"optimizer.{key}") from error


def _refused(said: str, node: Mapping[str, Any]) -> str:
    """The key that an optimizer's own words, such as `Invalid learning rate: -1`, are about; empty where none is."""
    keys = {str(key).replace("_", " "): str(key) for key in node} | {str(key): str(key) for key in node}
    names = keys | {words: key for words, key in _CALLED.items() if key in node}
    named = [name for name in names if f" {name} " in f" {said.replace(':', ' ')} "]
    return names[max(named, key=len)] if named else ""


def make_schedule(
    node: Mapping[str, Any], optimizer: Optimizer, total_steps: int | None, steps_per_epoch: int
) -> Schedule:
    """The schedule of a config node.

    Raises:
        ConfigError: it needs to know how many steps there will be, and nobody does.
    """
    from dlcli.training.schedules import Schedule

    if total_steps is None and "total_steps" in signature(locate(node["_target_"])).arguments:
        raise ConfigError(
            "has to know how long the training is",
            where="scheduler",
            hint="Give trainer.max_epochs or trainer.max_steps, or choose scheduler=plateau.",
        )
    rates = [group["lr"] for group in optimizer.param_groups]
    facts = {
        "optimizer": optimizer,
        "total_steps": total_steps,
        "steps_per_epoch": steps_per_epoch,
        "max_lr": rates if len(set(rates)) > 1 else rates[0],
    }
    made = fitting(build(node, where="scheduler", **facts), "scheduler", node["_target_"])
    return Schedule(made, node.get("interval", "epoch"))


def make_chosen(config: Mapping[str, Any], group: str) -> Any:
    """What a group's section describes; None where its option is `none`, an empty file."""
    return build(config[group], where=group) if config[group] else None


def batch_rows(config: Mapping[str, Any], train: Fields) -> int:
    """Rows of a batch: `dataset.batch_size`, or all that train where it is `full`."""
    size = config["dataset"]["batch_size"]
    return len(train["y"]) if size == "full" else size

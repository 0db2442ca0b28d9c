"""How a training trains: optimizer, schedule and batch size, made of what the configuration says of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from dlcli.config.build import build, locate
from dlcli.config.signature import signature
from dlcli.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from dlcli.training.fields import Fields
    from dlcli.training.schedules import Schedule


def make_optimizer(
    node: Mapping[str, Any], parameters: Iterable[Tensor] | Iterable[dict[str, Any]]
) -> Optimizer:
    """The optimizer of a config node; its weight decay spares biases and normalisation, unless the node says `all`."""
    from dlcli.training.optimizers import parameter_groups

    takes = signature(locate(node["_target_"])).arguments
    default = takes["weight_decay"].default if "weight_decay" in takes else 0
    lr = node.get("lr", takes["lr"].default if "lr" in takes else 1.0)
    decay, on = node.get("weight_decay", default), node.get("weight_decay_on", "weights")
    return build(node, where="optimizer", params=parameter_groups(parameters, lr, decay, on))


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
    return Schedule(build(node, where="scheduler", **facts), node.get("interval", "epoch"))


def make_chosen(config: Mapping[str, Any], group: str) -> Any:
    """What a group's section describes; None where its option is `none`, an empty file."""
    return build(config[group], where=group) if config[group] else None


def batch_rows(config: Mapping[str, Any], train: Fields) -> int:
    """Rows of a batch: `dataset.batch_size`, or all that train where it is `full`."""
    size = config["dataset"]["batch_size"]
    return len(train["y"]) if size == "full" else size

"""Build a configuration's `Recipe`: optimizer, schedule, batch size and the other settings of training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pytorch_lightning.callbacks import Callback, GradientAccumulationScheduler
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from dlcli.assembly.batch_rows import batch_rows, grows_trees, takes_all_rows
from dlcli.config.build import build, locate
from dlcli.config.signature import signature
from dlcli.config.target_types import check_type
from dlcli.distributed.lightning_trainer import build_trainer
from dlcli.errors import ConfigError
from dlcli.formatting import counted
from dlcli.training.fields import Fields
from dlcli.training.optimizers import parameter_groups
from dlcli.training.recipe import Recipe
from dlcli.training.schedules import Length, Schedule

# Name in torch's error messages to the optimizer's key.
_CALLED = {"learning rate": "lr", "beta parameter": "betas", "epsilon": "eps"}

# torch's fused SGD and Adagrad do not support sparse gradients, unlike their other implementations.
_FUSED = ("torch.optim.Adam", "torch.optim.AdamW")

# Optimizers that torch does not fuse on a CPU, and their own implementations.
_OWN_FUSED = {
    "torch.optim.Adadelta": "dlcli.training.blocked_adadelta.BlockedAdadelta",
    "torch.optim.RMSprop": "dlcli.training.fused_rmsprop.FusedRMSprop",
}


def make_recipe(
    config: Mapping[str, Any], train: Fields, seed: int, *, keep_last: bool = False, saves_bounds: bool = True
) -> Recipe:
    """Return the recipe for training on the fields `train`; the other arguments are those of `Recipe`."""
    return Recipe(
        make_optimizer=partial(make_optimizer, config["optimizer"], fuse=may_fuse(config["trainer"])),
        make_trainer=partial(build_trainer, config["trainer"]),
        batch_size=batch_rows(config, train),
        seed=seed,
        trainer_arguments=config["trainer"],
        callbacks=make_callbacks(config),
        monitor=config["monitor"],
        mode=config["mode"],
        make_schedule=partial(make_schedule, config["scheduler"]) if config["scheduler"] else None,
        augment=make_chosen(config, "augmentation"),
        averaging=make_chosen(config, "weight_averaging"),
        keep_last=keep_last,
        checkpoint_minutes=config["tracking"]["checkpoint_minutes"],
        saves_bounds=saves_bounds,
        takes_all_rows=takes_all_rows(config),
        grows_trees=grows_trees(config),
        batch_tokens=config["dataset"].get("batch_tokens"),
    )


def make_callbacks(config: Mapping[str, Any]) -> list[Callback]:
    """Return the callbacks of a configuration."""
    return [
        check_type(build(node, where=(place := f"callbacks.{name}")), place, node["_target_"])
        for name, node in config["callbacks"].items()
        if node
    ]


def may_fuse(trainer: Mapping[str, Any]) -> bool:
    """Return whether a fused optimizer supports the trainer's gradient clipping: not in mixed precision."""
    return not trainer.get("gradient_clip_val") or str(trainer.get("precision")) in ("None", "32", "32-true")


def make_optimizer(
    node: Mapping[str, Any],
    parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
    *,
    fuse: bool = False,
) -> Optimizer:
    """Return the optimizer of a configuration node.

    Weight decay is not applied to biases and normalization layers, unless `weight_decay_on` is `all`. With `fuse`,
    torch's fused implementation, or one of dlcli, is used if there is one and the node does not choose another; on a
    CPU it saves a quarter of the time of a small network's step.

    Raises:
        ConfigError: The optimizer rejects one of its arguments.
    """
    takes = signature(locate(node["_target_"])).arguments
    default = takes["weight_decay"].default if "weight_decay" in takes else 0
    lr = node.get("lr", takes["lr"].default if "lr" in takes else 1.0)
    decay, on = node.get("weight_decay", default), node.get("weight_decay_on", "weights")
    groups = parameter_groups(parameters, lr, decay, on)
    try:
        chosen = _implementation(node, takes, groups) if fuse else {}
        built = build({**node, **chosen}, where="optimizer", params=groups)
        return check_type(built, "optimizer", node["_target_"])
    except ConfigError as error:
        if not isinstance(error.__cause__, ValueError) or not (key := _refused(str(error.__cause__), node)):
            raise
        message = f"is rejected by {node['_target_']}: {error.__cause__}"
        raise ConfigError(message, f"optimizer.{key}") from error


def _implementation(
    node: Mapping[str, Any], takes: Mapping[str, Any], groups: Iterable[Any]
) -> dict[str, Any]:
    """Return what chooses the faster implementation of an optimizer; empty for none."""
    parameters = [
        parameter
        for group in groups
        for parameter in (group["params"] if isinstance(group, dict) else [group])
    ]
    if {"fused", "foreach", "capturable", "differentiable"} & set(node):
        return {}
    if not all(each.is_floating_point() and each.device.type in ("cpu", "cuda") for each in parameters):
        return {}
    if node["_target_"] in _OWN_FUSED:
        return {"_target_": _OWN_FUSED[node["_target_"]]}
    return {"fused": True} if node["_target_"] in _FUSED and "fused" in takes else {}


def _refused(message: str, node: Mapping[str, Any]) -> str:
    """Return the key that torch's message refers to (`Invalid learning rate: -1`); empty if it is unknown."""
    keys = {str(key).replace("_", " "): str(key) for key in node} | {str(key): str(key) for key in node}
    names = keys | {words: key for words, key in _CALLED.items() if key in node}
    named = [name for name in names if f" {name} " in f" {message.replace(':', ' ')} "]
    return names[max(named, key=len)] if named else ""


def make_schedule(node: Mapping[str, Any], optimizer: Optimizer, length: Length) -> Schedule:
    """Return the learning-rate schedule of a configuration node.

    The length of a schedule that steps after each epoch is given in epochs.

    Raises:
        ConfigError: The scheduler needs the total number of steps, and the trainer's settings do not determine it.
    """
    interval = node.get("interval", "epoch")
    total, per_epoch = (length.epochs, 1) if interval == "epoch" else (length.steps, length.steps_per_epoch)
    if total is None and "total_steps" in signature(locate(node["_target_"])).arguments:
        raise ConfigError(
            "needs the total number of training steps",
            where="scheduler",
            hint="Set trainer.max_epochs or trainer.max_steps, or choose scheduler=plateau.",
        )
    rates = [group["lr"] for group in optimizer.param_groups]
    facts = {
        "optimizer": optimizer,
        "total_steps": total,
        "steps_per_epoch": per_epoch,
        "max_lr": rates if len(set(rates)) > 1 else rates[0],
    }
    made = check_type(build(node, where="scheduler", **facts), "scheduler", node["_target_"])
    return Schedule(made, interval)


def make_chosen(config: Mapping[str, Any], group: str) -> Any:
    """Build the object of a group's section; return None for an empty section (the option `none`)."""
    return build(config[group], where=group) if config[group] else None


def describe_optimizer(config: Mapping[str, Any], model: nn.Module) -> dict[str, str]:
    """Return lines for the panel: an optimizer that uses all rows in each step, and what accumulation does not equal.

    Accumulated gradients are otherwise those of a batch of all of their rows.
    """
    if takes_all_rows(config):
        name = config["optimizer"]["_target_"].rpartition(".")[2]
        does = "grows a part of the trees" if grows_trees(config) else "solves"
        return {"optimizer": f"{name}: each epoch {does} on all rows; dataset.batch_size is not used"}
    changing = [one for one in make_callbacks(config) if isinstance(one, GradientAccumulationScheduler)]
    numbers = [config["trainer"].get("accumulate_grad_batches") or 1]
    numbers += [number for callback in changing for number in callback.scheduling.values()]
    if max(numbers) == 1:
        return {}
    keeps = (config.get("finetune") or {}).get("keep_statistics")
    trained = [
        layer
        for layer in model.modules()
        if isinstance(layer, _BatchNorm)
        and not keeps
        and any(one.requires_grad for one in layer.parameters())
    ]
    parts = [f"each step is over the rows of {max(numbers)} batches"]
    if trained:
        parts.append(f"batch normalization ({counted(len(trained), 'layer')}) is over those of each batch")
    return {"accumulation": "; ".join([*parts, *filter(None, [getattr(model, "not_accumulated", "")])])}

"""Checks of the trainer's arguments, and of callbacks and optimizer together with them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import GradientAccumulationScheduler
from pytorch_lightning.strategies import DDPStrategy
from torch.optim import LBFGS

from dlcli.assembly.optimization import make_callbacks
from dlcli.config.build import locate
from dlcli.distributed.lightning_trainer import build_trainer
from dlcli.distributed.world import launched
from dlcli.errors import Problem
from dlcli.training.trainer_arguments import unsupported

# Lightning reads defaults of the trainer's arguments from variables with this prefix.
_PREFIX = "PL_TRAINER_"


def find_refused(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield the trainer's arguments that dlcli does not support, each with the reason."""
    for name, treatment in unsupported(config["trainer"]):
        yield Problem(
            f"{config['trainer'][name]} is not supported: {treatment.reason}",
            f"trainer.{name}",
            treatment.instead,
        )
    for name in sorted(os.environ):
        if name.startswith(_PREFIX):
            key = name.removeprefix(_PREFIX).lower()
            yield Problem(
                f"the environment variable {name} would change the trainer, but would not be recorded",
                f"trainer.{key}",
                f"Use trainer.{key}={os.environ[name]}, and unset {name}.",
            )


def find_trainer_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Build the trainer with its callbacks, and yield the problems."""
    callbacks = make_callbacks(config)
    trainer = build_trainer(config["trainer"], logger=False, enable_checkpointing=False, callbacks=callbacks)
    yield from _ranks(config, trainer)
    # Lightning only warns, and would train with another precision than the recorded one.
    if trainer.strategy.root_device.type == "cpu" and str(config["trainer"].get("precision")).startswith(
        "16"
    ):
        yield Problem(
            f"precision {config['trainer']['precision']} needs a GPU; this would train on the CPU",
            "trainer.precision",
            "Use trainer.precision=bf16-mixed, or 32.",
        )
    if isinstance(config["trainer"].get("profiler"), str):
        yield Problem(
            "a profiler by name would write nowhere",
            "trainer.profiler",
            "Use trainer=profile, or trainer.profiler._target_=... with trainer.profiler.filename=NAME.",
        )
    if (limit := config["trainer"].get("gradient_clip_val")) is not None and limit < 0:
        yield Problem(
            f"{limit} would clip nothing", "trainer.gradient_clip_val", "Use a positive value, or 0 for none."
        )
    if config["trainer"].get("gradient_clip_algorithm") and not config["trainer"].get("gradient_clip_val"):
        yield Problem(
            "has no effect without a value to clip at",
            "trainer.gradient_clip_algorithm",
            "Add trainer.gradient_clip_val=1.0, or remove it.",
        )


def _ranks(config: Mapping[str, Any], trainer: pl.Trainer) -> Iterator[Problem]:
    """Yield the problems of training on several devices."""
    size, world = trainer.world_size, launched()
    if world is not None and world.size != size:
        hint = f"Use trainer=ddp, with trainer.devices times trainer.num_nodes equal to {world.size}."
        yield Problem(
            f"{world.size} processes were started, but the trainer is configured for {size}",
            "trainer.devices",
            hint,
        )
    if size == 1:
        return
    if type(trainer.strategy) is not DDPStrategy:
        name = type(trainer.strategy).__name__
        yield Problem(f"{name} is not supported", "trainer.strategy", "Use trainer.strategy=ddp.")
    if world is None and trainer.num_nodes > 1:
        yield Problem(
            f"training on {trainer.num_nodes} machines requires a launcher on each machine",
            "trainer.num_nodes",
            "Start the same command on each machine with torchrun or srun.",
        )
    if config["executor"].get("jobs", 1) not in (1, "auto"):
        yield Problem(
            "parallel jobs share the devices, so one job cannot use several of them",
            "executor.jobs",
            "Use --jobs 1, or trainer.devices=1.",
        )
    rows = config["dataset"]["batch_size"]
    if isinstance(rows, int) and 0 < rows < size:  # a missing or invalid size is reported by validation
        hint = f"Set it to at least {size}: it is the total over all devices."
        yield Problem(f"a batch of {rows} cannot be divided among {size} devices", "dataset.batch_size", hint)


def find_accumulation_problems(config: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield a problem for each setting that is incompatible with accumulating gradients."""
    given = config["trainer"].get("accumulate_grad_batches", 1)
    changing = [c for c in make_callbacks(config) if isinstance(c, GradientAccumulationScheduler)]
    batches = max([given, *(n for callback in changing for n in callback.scheduling.values())])
    if changing and given != 1:
        yield Problem(
            "contradicts the callback GradientAccumulationScheduler, which also sets it",
            "trainer.accumulate_grad_batches",
            "Remove one of the two.",
        )
    optimizer = locate(config["optimizer"]["_target_"])
    if batches > 1 and isinstance(optimizer, type) and issubclass(optimizer, LBFGS):
        yield Problem(
            "L-BFGS evaluates a batch several times per step, and cannot accumulate gradients of several batches",
            "trainer.accumulate_grad_batches",
            "Use dataset.batch_size=full, or another optimizer.",
        )

"""The ranks of a training run: how rank 0 starts the others and gives them jobs, and how they follow it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch

from dlcli.config.timespan import seconds_of
from dlcli.distributed.launcher import is_launched
from dlcli.distributed.lightning_trainer import build_trainer
from dlcli.distributed.recruits import PARENT, keep_ranks, started_ranks
from dlcli.distributed.signals import ignored_signals
from dlcli.distributed.world import World, launched
from dlcli.process.lifeline import die_with
from dlcli.process.quiet import quiet

# Seconds that rank 0 waits for the others to read that there are no more jobs.
_GOODBYE = 10.0


@contextlib.contextmanager
def gathered(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], World | None]]:
    """Context of one training run in rank 0: yield the configuration for each rank, and the ranks.

    The ranks are those of a launcher, or else are started here. For training on one device, None is yielded for them.

    Raises:
        DlcliError: A rank has ended early. This is its own error, if it could report one.
    """
    trainer = config["trainer"]
    size = _count_devices(trainer)
    if size == 1:
        # A distributed strategy would create a process group of one.
        yield {**config, "trainer": {k: v for k, v in trainer.items() if k != "strategy"}}, None
        return
    config = {**config, "trainer": {**trainer, "strategy": "ddp"}}
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        world = launched()
        if world is None:
            silence = seconds_of(config.get("executor", {}).get("silence", "10m"), "executor.silence")
            # Oversubscribed threads spin while they wait for each other.
            torch.set_num_threads(max(1, threads // size))
            stack.callback(torch.set_num_threads, threads)
            world = stack.enter_context(started_ranks(size, torch.get_num_threads(), silence))
        try:
            yield config, world
        except Exception as error:
            if reason := world.reason(error):
                raise reason from error
            raise


def _leave_deleted_folder() -> None:
    """Change the current folder if it was deleted meanwhile: a rank outlives the run that started it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        os.chdir("/")


def _count_devices(trainer: Mapping[str, Any]) -> int:
    """Return the number of devices, over all machines, that the trainer of this section would use."""
    if not is_launched() and trainer.get("num_nodes", 1) == 1 and trainer.get("strategy", "auto") == "auto":
        is_cpu = trainer.get("accelerator") == "cpu" or not torch.accelerator.is_available()
        if trainer.get("devices") in ((1, "1", "auto") if is_cpu else (1, "1")):
            return 1  # building a trainer takes milliseconds, which folds and trials save
    return build_trainer(trainer, logger=False, enable_checkpointing=False).world_size


@contextlib.contextmanager
def leading(take_part: Callable[[str, World], None]) -> Iterator[None]:
    """Context of a command that trains. Under a launcher, all ranks but 0 only take part in its jobs.

    Raises:
        SystemExit: In the other ranks, once rank 0 has finished.
    """
    if not is_launched():
        with keep_ranks():
            yield
        return
    world = launched()
    assert world is not None
    if world.rank:
        with ignored_signals(launched=True):
            sys.exit(follow(world, take_part))
    try:
        yield
    except BaseException:
        # Ends ranks that wait for a job; training ranks end when they lose the process group.
        world.send_job("")
        raise
    world.send_job("")
    with contextlib.suppress(Exception):  # the other ranks may be gone
        # This process serves the store, and must not end before the others have read from it.
        world.store.wait([f"bye/{rank}" for rank in range(1, world.size)], timedelta(seconds=_GOODBYE))


def run_rank(take_part: Callable[[str, World], None]) -> int:
    """Run a rank's process (`python -m dlcli.job`) to its end, and return its exit code."""
    if PARENT in os.environ:
        die_with(int(os.environ[PARENT]))
    world = launched()
    if world is None:
        raise SystemExit("usage: python -m dlcli.job FILE")
    with ignored_signals(launched=PARENT not in os.environ):
        return follow(world, take_part)


def follow(world: World, take_part: Callable[[str, World], None]) -> int:
    """Take part in rank 0's jobs until there are no more, and return the exit code."""
    with quiet():
        try:
            while job := world.take():
                _leave_deleted_folder()
                take_part(job, world)
        except Exception as error:
            world.fail(error)
            return 1
        with contextlib.suppress(Exception):  # rank 0, which serves the store, may be gone
            world.store.set(f"bye/{world.rank}", "")
        return 0

"""The ranks of a training: whether this process leads them or follows, and how the others get their jobs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch

from dlcli.config.timespan import seconds_of
from dlcli.distributed.launcher import is_launched
from dlcli.distributed.recruits import PARENT, recruited, staying
from dlcli.distributed.signals import left_to_the_first
from dlcli.distributed.world import World, launched
from dlcli.process.lifeline import die_with

# Seconds for the others to read that all is done.
_LAST_WORDS = 10.0


@contextlib.contextmanager
def gathered(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], World | None]]:
    """The ranks of a training, of which this process is the first, and the configuration for each; None for one.

    Where a launcher has started them they are there already; else they are started here.

    Raises:
        DlcliError: a rank has ended before its time; the reason is its own where it could tell.
    """
    from dlcli.config.build import build

    trainer = config["trainer"]
    size = build(trainer, where="trainer", logger=False, enable_checkpointing=False).world_size
    if size == 1:
        # A strategy for several would be a group of one.
        yield {**config, "trainer": {k: v for k, v in trainer.items() if k != "strategy"}}, None
        return
    config = {**config, "trainer": {**trainer, "strategy": "ddp"}}
    threads = torch.get_num_threads()
    with contextlib.ExitStack() as stack:
        world = launched()
        if world is None:
            silence = seconds_of(config.get("executor", {}).get("silence", "10m"), "executor.silence")
            # Threads beyond the cores spin and wait for each other.
            torch.set_num_threads(max(1, threads // size))
            stack.callback(torch.set_num_threads, threads)
            world = stack.enter_context(recruited(size, torch.get_num_threads(), silence))
        try:
            yield config, world
        except Exception as error:
            if reason := world.reason(error):
                raise reason from error
            raise


@contextlib.contextmanager
def leading(take_part: Callable[[str, World], None]) -> Iterator[None]:
    """Around a command that trains: where a launcher has started several processes, all but the first only take part.

    Raises:
        SystemExit: in those, when the first one is done.
    """
    if not is_launched():
        with staying():
            yield
        return
    world = launched()
    assert world is not None
    if world.rank:
        with left_to_the_first(launched=True):
            sys.exit(follow(world, take_part))
    try:
        yield
    except BaseException:
        world.hand_out("")  # for those that wait; others are about to lose their group
        raise
    world.hand_out("")
    with contextlib.suppress(Exception):  # they may be gone
        # Whoever serves the store must not leave before it was read.
        world.store.wait([f"bye/{rank}" for rank in range(1, world.size)], timedelta(seconds=_LAST_WORDS))


def be_a_rank(take_part: Callable[[str, World], None]) -> int:
    """The life of a process that rank 0 has started; its exit code."""
    if PARENT in os.environ:
        die_with(int(os.environ[PARENT]))
    world = launched()
    if world is None:
        raise SystemExit("usage: python -m dlcli.job FILE")
    with left_to_the_first(launched=PARENT not in os.environ):
        return follow(world, take_part)


def follow(world: World, take_part: Callable[[str, World], None]) -> int:
    """Take part in rank 0's trainings until it has no more; the exit code."""
    from dlcli.process.quiet import quiet

    with quiet():
        try:
            while job := world.take():
                take_part(job, world)
        except Exception as error:
            world.fail(error)
            return 1
        with contextlib.suppress(Exception):  # rank 0 serves the store, and may be gone
            world.store.set(f"bye/{world.rank}", "")
        return 0

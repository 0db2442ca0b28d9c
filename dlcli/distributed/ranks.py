"""The other ranks of a training, as processes of our own: started, watched, and ended with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from dlcli.distributed.launcher import is_launched
from dlcli.distributed.lifeline import die_with
from dlcli.distributed.world import World, launched
from dlcli.errors import DlcliError, TrainingError, describe_error, restore_error

PARENT = "DLCLI_PARENT"

# Seconds for ranks to say what became of them once one of them has failed, and to end once all is done.
_LAST_WORDS = 10.0
_POLL = 0.05

# All of them are on this machine, whatever its name resolves to.
_LOCAL = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}


@contextlib.contextmanager
def gathered(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], World | None]]:
    """The ranks of a training, of which this process is the first, and the configuration for each; None for one.

    Where a launcher has started them they are there already; else they are started here.
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
            # Threads beyond the cores spin and wait for each other.
            torch.set_num_threads(max(1, threads // size))
            stack.callback(torch.set_num_threads, threads)
            world = stack.enter_context(recruited(size, torch.get_num_threads()))
        yield config, world


@contextlib.contextmanager
def leading(take_part: Callable[[str, World], None]) -> Iterator[None]:
    """Around a command that trains: where a launcher has started several processes, all but the first only take part.

    Raises:
        SystemExit: in those, when the first one is done.
    """
    if not is_launched():
        yield
        return
    world = launched()
    assert world is not None
    if world.rank:
        sys.exit(follow(world, take_part))
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # they may be gone
            world.hand_out("")
            # Whoever serves the store must not leave before it was read.
            world.store.wait([f"bye/{rank}" for rank in range(1, world.size)], timedelta(seconds=_LAST_WORDS))


def be_a_rank(take_part: Callable[[str, World], None]) -> int:
    """The life of a process that rank 0 has started; its exit code."""
    if PARENT in os.environ:
        die_with(int(os.environ[PARENT]))
    world = launched()
    if world is None:
        raise SystemExit("usage: python -m dlcli.job FILE")
    world.store.set(f"here/{world.rank}", "")
    return follow(world, take_part)


def follow(world: World, take_part: Callable[[str, World], None]) -> int:
    """Take part in rank 0's trainings until it has no more; the exit code."""
    from dlcli.quiet import quiet

    with quiet():
        try:
            while job := world.take():
                take_part(job, world)
        except Exception as error:
            if not is_lost(error):
                world.store.set(f"error/{world.rank}", json.dumps(describe_error(error)))
            return 1
        world.store.set(f"bye/{world.rank}", "")
        return 0


@contextlib.contextmanager
def recruited(size: int, threads: int) -> Iterator[World]:
    """The world of rank 0, which this process is, with `size - 1` further ones on this machine.

    Raises:
        TrainingError: a rank has ended before its time; the reason is its own where it could tell.
    """
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    world = World(0, 0, 0, size, distributed.PrefixStore("dlcli/0", store))
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port), "WORLD_SIZE": str(size)}
    with tempfile.TemporaryFile() as said, _environment(_LOCAL):
        ranks = {
            rank: subprocess.Popen(
                [sys.executable, "-P", "-m", "dlcli.job"],
                env={
                    **os.environ,
                    **address,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                    "OMP_NUM_THREADS": str(threads),
                    "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
                    PARENT: str(os.getpid()),
                },
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Ctrl-C is for rank 0, which ends the others.
                start_new_session=True,
            )
            for rank in range(1, size)
        }
        try:
            _await(ranks, world)
            yield world
            world.hand_out("")
            _end(ranks)
        except Exception as error:
            raise _reason(ranks, world, error) from error
        finally:
            for process in ranks.values():
                process.kill()
                process.wait()


def _await(ranks: dict[int, subprocess.Popen[bytes]], world: World) -> None:
    """Until all have come; one that cannot come will never be waited for."""
    while not world.store.check([f"here/{rank}" for rank in ranks]):
        if any(process.poll() is not None for process in ranks.values()):
            raise RuntimeError("a rank did not come")
        time.sleep(_POLL)


def _end(ranks: dict[int, subprocess.Popen[bytes]]) -> None:
    for process in ranks.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LAST_WORDS)


def _reason(ranks: dict[int, subprocess.Popen[bytes]], world: World, error: Exception) -> Exception:
    """Why the training failed: rank 0 notices only that a connection is gone, the rank itself knows more."""
    if not is_lost(error):
        return error
    end = time.monotonic() + _LAST_WORDS
    while time.monotonic() < end and all(process.poll() is None for process in ranks.values()):
        time.sleep(_POLL)
    for rank in ranks:
        if world.store.check([f"error/{rank}"]):
            told = restore_error(json.loads(world.store.get(f"error/{rank}")))
            told.add_note(f"It happened on rank {rank} of {world.size}.")
            return told
    for rank, process in ranks.items():
        if code := process.poll():
            ending = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            hint = "The system kills processes when memory runs out: fewer devices, or smaller batches."
            return TrainingError(f"rank {rank} of {world.size} ended with {ending}", "trainer.devices", hint)
    return error


def is_lost(error: Exception) -> bool:
    """Whether it says no more than that another rank is gone."""
    if isinstance(error, DlcliError):
        return False
    text = str(error)
    return any(word in text for word in ("Connection", "a rank did not come", "recv", "gloo", "NCCL"))


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    added = {name: value for name, value in values.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)

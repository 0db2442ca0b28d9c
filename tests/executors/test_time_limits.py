"""Limits on the duration of jobs and trials and on inactivity, with a fake clock."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from dlcli.config.timespan import in_words, seconds_of
from dlcli.errors import ConfigError, TrainingError
from dlcli.executors.time_limits import Limits, Oversight, Silent, max_seconds
from dlcli.executors.vitals import Vitals, cpu_seconds, is_gone
from dlcli.sweeps.budget import SweepLimits


class Clock:
    """A fake clock, and the CPU seconds of a process."""

    def __init__(self) -> None:
        self.now = self.cpu = 0.0

    def __call__(self) -> float:
        return self.now

    def used(self, pid: int) -> float:
        return self.cpu

    def passes(self, seconds: float, share: float = 0.0) -> None:
        """Advance the time; the process uses CPU time for a share of it."""
        self.now += seconds
        self.cpu += share * seconds


def config(max_time: Any = None, **executor: Any) -> dict[str, Any]:
    return {"executor": executor, "trainer": {"max_time": max_time}}


@pytest.mark.parametrize(
    ("written", "seconds", "again"),
    [
        (90, 90, "90s"),
        ("90", 90, "90s"),
        (0.5, 0.5, "0.5s"),
        ("1h30m", 5400, "1h30m"),
        ("10m", 600, "10m"),
        ("2d", 172800, "48h"),
    ],
)
def test_a_length_of_time_is_read_and_written(written: Any, seconds: float, again: str) -> None:
    assert seconds_of(written, "sweep.timeout") == seconds
    assert in_words(seconds) == again
    assert seconds_of(again, "sweep.timeout") == seconds


@pytest.mark.parametrize("written", ["soon", "", "0", "10 m", "-5", 0, "1h30"])
def test_an_invalid_duration_is_reported(written: Any) -> None:
    with pytest.raises(ConfigError, match="is not a duration") as told:
        seconds_of(written, "executor.silence")
    assert told.value.problems[0].where == "executor.silence"


@pytest.mark.parametrize(
    ("max_time", "seconds"),
    [(None, None), ("00:00:00:15", 15), ("01:00:01:00", 86460), ({"minutes": 2}, 120), ("later", None)],
)
def test_lightnings_max_time_is_understood(max_time: Any, seconds: float | None) -> None:
    assert max_seconds(max_time) == seconds


def overseen(clock: Clock, told: list[str], **limits: Any) -> tuple[Oversight, Vitals]:
    vitals = Vitals(1, clock, clock.used)
    limits = {"max_time": None, **limits}
    found = Limits.of(config(**limits))
    return (
        Oversight(found, vitals.silence, vitals.note_activity, lambda: "it is stopped", told.append, clock),
        vitals,
    )


def test_a_job_may_take_so_long_and_no_longer() -> None:
    clock = Clock()
    oversight, _ = overseen(clock, [], job_timeout="1m", silence=None)
    clock.passes(60, share=1)
    oversight.on_message("EpochDone")
    oversight.check()
    clock.passes(1, share=1)
    with pytest.raises(TrainingError, match=r"executor\.job_timeout: the training took longer than 1m"):
        oversight.check()


def test_training_that_ignores_its_max_time_is_ended_and_an_evaluation_is_not() -> None:
    clock = Clock()
    oversight, _ = overseen(clock, [], max_time="00:00:02:00", silence=None)
    clock.passes(1000, share=1)  # the rows are being prepared
    oversight.check()
    oversight.on_message("TrainingStarted")
    clock.passes(180, share=1)
    oversight.check()
    oversight.on_message("TrainingEnded")
    clock.passes(1000, share=1)
    oversight.check()
    oversight.on_message("TrainingStarted")
    clock.passes(241, share=1)
    with pytest.raises(TrainingError, match=r"trainer\.max_time: training was still running after 4m"):
        oversight.check()


def test_a_silent_process_is_reported_once_and_then_abandoned() -> None:
    clock, told = Clock(), []
    oversight, _ = overseen(clock, told, silence="5m")
    for _ in range(4):
        clock.passes(59)
        oversight.check()
    assert len(told) == 1
    assert "unresponsive for 118s: it is stopped. It will be replaced after 5m (executor.silence)" in told[0]
    oversight.on_message("EpochDone")
    for _ in range(5):
        clock.passes(59)
        oversight.check()
    assert len(told) == 2, "a new silence is reported again"
    clock.passes(59)
    with pytest.raises(Silent, match="unresponsive for 5m: it is stopped"):
        oversight.check()


@pytest.mark.parametrize(("share", "lives"), [(1.0, True), (0.05, True), (0.002, False), (0.0, False)])
def test_work_counts_as_activity_and_polling_a_clock_does_not(share: float, lives: bool) -> None:
    clock = Clock()
    _, vitals = overseen(clock, [])
    for _ in range(600):
        clock.passes(1, share)
        vitals.silence()
    assert (vitals.silence() < 60) == lives


def test_the_cpu_time_of_a_process_that_sends_messages_is_not_read() -> None:
    clock, reads = Clock(), []
    vitals = Vitals(1, clock, lambda pid: float(reads.append(clock.now) or clock.cpu))
    for _ in range(100):
        clock.passes(0.1, share=1)
        vitals.note_activity()
        assert vitals.silence() == 0
    assert not reads
    clock.passes(1)
    vitals.silence()
    assert reads == [clock.now]


def test_without_limits_all_may_wait() -> None:
    clock = Clock()
    oversight, _ = overseen(clock, [], silence=None)
    clock.passes(1e6)
    oversight.check()


def test_a_real_process_is_seen_to_work_and_to_be_gone() -> None:
    command = [
        sys.executable,
        "-c",
        "import time; t = time.process_time()\nwhile time.process_time() < 0.3: pass\ninput()",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        before = cpu_seconds(process.pid)
        while cpu_seconds(process.pid) < before + 0.2:
            assert process.poll() is None
        assert not is_gone(process.pid)
        process.communicate(b"\n")
    assert is_gone(process.pid)
    assert cpu_seconds(process.pid) == 0
    assert cpu_seconds(os.getpid()) > 0


def test_a_trial_that_runs_when_the_time_is_up_may_end_unless_it_hangs() -> None:
    clock = Clock()
    limits = SweepLimits(100, None, clock)
    assert limits.tick is not None
    clock.passes(99)
    assert not limits.is_out_of_time
    clock.passes(21)
    assert limits.is_out_of_time
    assert not limits.is_beyond(longest=1), "half a minute at least"
    assert not limits.is_beyond(longest=20)
    clock.passes(11)
    assert limits.is_beyond(longest=1)
    assert not limits.is_beyond(longest=20), "twice as long as others took"
    assert not limits.is_beyond(longest=None), "none has ended: as long again"
    clock.passes(70)
    assert limits.is_beyond(longest=20)
    assert limits.is_beyond(longest=None)


def test_a_trial_has_its_own_time_from_where_it_begins() -> None:
    clock = Clock()
    limits = SweepLimits(None, 10, clock).of_trial()
    clock.passes(9)
    limits.begin()  # before that, it waited for a process
    clock.passes(9)
    assert limits.overrun() is None
    clock.passes(1)
    assert "the trial took longer than 10s" in str(limits.overrun())
    assert SweepLimits(None, None, clock).tick is None

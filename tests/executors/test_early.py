"""Worker processes that begin with their imports before the command does."""

from __future__ import annotations

import os

import pytest

from dlcli.executors import early
from dlcli.executors.processes import Processes
from tests.processes import TEMPLATE, children


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["executor.jobs=2"], True),
        (["cv=kfold", "executor.jobs=1", "executor.jobs=3"], True),
        (["executor.jobs=1"], False),
        (["executor.jobs=auto"], False),
        (["cv=kfold"], False),
        (["executor=ray", "executor.jobs=2"], False),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_template_is_started_for_several_jobs(
    monkeypatch: pytest.MonkeyPatch, words: list[str], expected: bool
) -> None:
    warmed: list[Processes] = []
    monkeypatch.setattr(Processes, "warm", lambda processes: warmed.append(processes))
    monkeypatch.setattr(early, "cores", lambda: 2)
    early.warm_early(words)
    assert bool(warmed) is expected
    taken = early.take_processes()
    assert (taken in warmed) is expected
    assert early.take_processes() is not taken, "only the first pool takes them"


def test_an_unnecessary_template_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "cores", lambda: 2)
    early.warm_early(["executor.jobs=2"])
    early.drop_early()
    assert not children(os.getpid(), TEMPLATE)
    early.drop_early()


def test_no_template_is_started_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Processes, "warm", lambda processes: pytest.fail("it would take time from the command")
    )
    monkeypatch.setattr(early, "cores", lambda: 1)
    early.warm_early(["executor.jobs=2"])

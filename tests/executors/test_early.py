"""Worker processes that start importing before the command does."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from threadpoolctl import ThreadpoolController

from dlcli.executors import early
from dlcli.executors.processes import Processes
from tests.processes import TEMPLATE, children, start

SHORT = [
    "dataset=iris",
    "model=mlp",
    "trainer.max_epochs=1",
    "trainer.accelerator=cpu",
    "callbacks=none",
]


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
    early.warm_early(words, nullcontext)
    assert bool(warmed) is expected
    taken = early.take_processes()
    assert (taken in warmed) is expected
    assert early.take_processes() is not taken, "only the first pool takes them"


def test_an_unnecessary_template_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "cores", lambda: 2)
    early.warm_early(["executor.jobs=2"], nullcontext)
    early.drop_early()
    assert not children(os.getpid(), TEMPLATE)
    early.drop_early()


def test_no_template_is_started_on_one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Processes, "warm", lambda processes: pytest.fail("it would take time from the command")
    )
    monkeypatch.setattr(early, "cores", lambda: 1)
    early.warm_early(["executor.jobs=2"], nullcontext)


def test_the_program_forks_its_template_after_the_imports(tmp_path: Path) -> None:
    """A fork of the process that has imported everything, which is dlcli's program, forks itself and its workers."""
    (tmp_path / "there").mkdir()
    process = start(
        ["train", *SHORT, "cv=kfold", "cv.folds=3", "--jobs", "2", "--json"],
        tmp_path / "there",
        at_first=_report_starts,
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert [line for line in err.splitlines() if line.startswith("template:")] == ["template: forked"]
    document = json.loads(out)
    assert [fold["status"] for fold in document["folds"]] == ["FINISHED"] * 3


def _report_starts() -> None:
    for name, text in (("fork", "forked"), ("warm", "started anew")):
        original = getattr(Processes, name)

        def reporting(processes: Processes, *later: Any, original: Any = original, text: str = text) -> None:
            print(f"template: {text}", file=sys.stderr)
            original(processes, *later)

        setattr(Processes, name, reporting)


def test_blas_has_its_threads_again_after_the_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    with early._single_threaded():
        assert os.environ["OPENBLAS_NUM_THREADS"] == "1"
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    found = ThreadpoolController().select(internal_api="openblas").info()
    assert {library["num_threads"] for library in found} == {1}

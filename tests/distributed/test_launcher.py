"""A single process in a SLURM allocation of several tasks is refused, with commands to paste."""

from __future__ import annotations

import sys

import pytest

from dlcli.distributed.launcher import refuse_allocation
from dlcli.errors import ConfigError

ONE = "For one process: SLURM_NTASKS=1 dlcli"


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        (
            ["train", "dataset.path='it'"],
            f"""{ONE} train 'dataset.path='"'"'it'"'"''\n"""
            """For several: srun --ntasks-per-node=2 dlcli train 'dataset.path='"'"'it'"'"'' trainer=ddp""",
        ),
        (["resume", "last"], f"{ONE} resume last"),  # which keeps the run's trainer
    ],
    ids=["train", "resume"],
)
def test_an_allocation_of_several_tasks_is_refused_with_the_command_to_use(
    typed: list[str], hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "argv", ["dlcli", *typed])
    monkeypatch.setenv("SLURM_NTASKS", "1")
    refuse_allocation()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    with pytest.raises(ConfigError) as refused:
        refuse_allocation()
    assert refused.value.problems[0].hint == hint

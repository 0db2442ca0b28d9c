"""Errors of a user's own code, as commands show them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from dlcli.cli.common import _unforeseen
from dlcli.errors import TrainingError


def failing(body: str, folder: Path) -> Exception:
    (folder / "own.py").write_text(f"import torch\n\n\ndef forward(x):\n    {body}\n")
    forward = runpy.run_path(str(folder / "own.py"))["forward"]
    with pytest.raises((KeyError, RuntimeError)) as caught:
        forward(torch.ones(2, 3))
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("raise KeyError('some')", "KeyError: 'some'"),
        ("return torch.nn.Linear(4, 1)(x)", "RuntimeError: mat1 and mat2"),
    ],
    ids=["raised there", "raised by torch"],
)
def test_the_line_is_named(body: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    error = failing(body, tmp_path)
    assert error.__traceback__ is not None
    shown = _unforeseen(error.with_traceback(error.__traceback__.tb_next))  # without the frame of this file
    assert isinstance(shown, TrainingError)
    (problem,) = shown.problems
    assert problem.where == "own.py:5, in forward"
    assert problem.message.startswith("your own code failed: ")
    assert said.split(":")[0] in problem.message


def test_an_error_of_dlcli_is_still_not_foreseen() -> None:
    with pytest.raises(KeyError) as caught:
        {}["x"]
    (problem,) = _unforeseen(caught.value.with_traceback(None)).problems
    assert "not foreseen" in problem.hint

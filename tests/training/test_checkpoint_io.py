from __future__ import annotations

import errno
import hashlib
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from dlcli.errors import Interrupted
from dlcli.training.checkpoint_io import DigestingIO, _Hashing

STATE = {"weights": torch.zeros(10_000), "epoch": 3}


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    writer = DigestingIO()
    writer.save_checkpoint(STATE, tmp_path / "last.ckpt")
    content = (tmp_path / "last.ckpt").read_bytes()
    assert writer.digest == hashlib.sha256(content).hexdigest()
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["epoch"] == 3


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize(
    "error", [Interrupted(signal.SIGINT), OSError(errno.ENOSPC, "No space left on device")]
)
def test_what_stops_the_writing_is_what_is_raised(
    tmp_path: Path, at: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0
    write = _Hashing.write

    def stopped(self: _Hashing, content: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == at:
            try:
                raise KeyError("which a library handles")
            except KeyError:
                raise error  # noqa: B904
        return write(self, content)

    monkeypatch.setattr(_Hashing, "write", stopped)
    writer = DigestingIO()
    with pytest.raises(type(error)):
        try:
            raise ValueError("handled meanwhile")
        except ValueError:
            writer.save_checkpoint(STATE, tmp_path / "last.ckpt")
    assert not (tmp_path / "last.ckpt").exists()
    assert writer.digest == ""

"""Write a checkpoint and compute its digest in the same pass."""

from __future__ import annotations

import hashlib
import re
import sys
from io import BufferedWriter
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from safetensors import SafetensorError, safe_open

from dlcli.errors import CorruptRun
from dlcli.files.regular import check_regular, os_reason

_DAMAGED = "Copy the run's folder again from an undamaged source."


def weights_metadata(file: Path) -> dict[str, str]:
    """Return the metadata of a run's safetensors file, which contain the epoch of the weights.

    Raises:
        CorruptRun: the file cannot be read, or names no epoch.
    """
    try:
        check_regular(file)
        with safe_open(file, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except OSError as error:
        raise CorruptRun(f"the file of weights {os_reason(error)}", str(file), _DAMAGED) from error
    except SafetensorError as error:
        raise CorruptRun(f"the weights cannot be read: {error}", str(file), _DAMAGED) from error
    if not re.fullmatch("[0-9]{1,9}", metadata.get("epoch", "")):
        raise CorruptRun("the weights do not state their epoch", str(file), _DAMAGED)
    return metadata


class DigestingIO(TorchCheckpointIO):
    """Checkpoint I/O of Lightning that writes directly to the file, without a second copy of the state in memory.

    Attributes:
        digest: the SHA-256 of the file that was written last, in hexadecimal digits. Empty before the first one.
    """

    digest = ""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a state; a file that cannot be written completely is removed."""
        file = Path(path)
        file.parent.mkdir(exist_ok=True)
        self.digest = ""
        handled = sys.exc_info()[1]
        try:
            with file.open("wb") as stream:
                hashing = _Hashing(stream)
                torch.save(checkpoint, hashing)  # type: ignore[arg-type]  # it needs write and flush only
        except BaseException as error:
            file.unlink(missing_ok=True)
            raise _first(error, handled) from None
        self.digest = hashing.sha256.hexdigest()


def _first(error: BaseException, handled: BaseException | None) -> BaseException:
    """Return what stopped a write.

    torch raises the error of closing its archive instead, a RuntimeError. Other exceptions may have a context that does
    not matter, such as the KeyError that an import handles while a signal arrives. `handled` is the exception that was
    being handled before the write.
    """
    while (
        isinstance(error, RuntimeError) and (cause := error.__context__) is not None and cause is not handled
    ):
        error = cause
    return error


class _Hashing:
    """Stream that computes the digest of the data written to it."""

    def __init__(self, stream: BufferedWriter) -> None:
        self.sha256 = hashlib.sha256()
        self._stream = stream

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        return self._stream.write(content)

    def flush(self) -> None:
        self._stream.flush()

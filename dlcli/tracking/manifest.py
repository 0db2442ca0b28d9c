"""`digests.json`: digests in the folders of checkpoints and of a saved model, which may be copied alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from dlcli.errors import CorruptRun
from dlcli.files.regular import os_reason, read_regular
from dlcli.tracking.digests import ANEW, check_file, digest_of_file, replace_files
from dlcli.tracking.ledger import atomic_write

SCHEMA_VERSION = 1
MANIFEST_FILE = "digests.json"

_MAX_BYTES = 1 << 20  # maximum size of a manifest, which has one entry for each of a few files


class Manifest:
    """Digests of the files in a folder, with the run that the files belong to.

    Attributes:
        run_id: ID of that run.
        accepted: name of a file to its accepted digests, of which there may be several after a kill.
    """

    def __init__(self, folder: Path, run_id: str, accepted: Mapping[str, list[str]] | None = None) -> None:
        self.run_id = run_id
        self.accepted = dict(accepted or {})
        self._folder = folder

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Read the manifest of a folder; None if it has none, since an earlier version of dlcli wrote it.

        Raises:
            CorruptRun: The manifest cannot be read.
        """
        path = folder / MANIFEST_FILE
        try:
            document = json.loads(read_regular(path, _MAX_BYTES))
            accepted = {
                name: [digest for digest in digests if isinstance(digest, str)]
                for name, digests in document["sha256"].items()
            }
            return cls(folder, str(document["run_id"]), accepted)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CorruptRun(os_reason(error), str(path), ANEW) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptRun("the digests of the folder's files cannot be read", str(path), ANEW) from error

    @classmethod
    def for_writing(cls, folder: Path, run_id: str) -> Self:
        """Return the manifest of a folder that a run writes to; existing files are accepted until they are replaced."""
        try:
            existing = cls.load(folder)
        except CorruptRun:
            existing = None
        is_same_run = existing is not None and existing.run_id == run_id
        return cls(folder, run_id, existing.accepted if existing is not None and is_same_run else {})

    def check(self, *names: str, hint: str = ANEW) -> None:
        """Compare the files of the folder with their digests.

        Raises:
            CorruptRun: A file differs, is missing, or was not written by dlcli.
        """
        for name in names:
            check_file(self._folder / name, self.accepted.get(name, []), hint, MANIFEST_FILE)

    def replace(
        self,
        files: Mapping[str, bytes | str | Path],
        digests: Mapping[str, str] | None = None,
        *,
        often: bool = False,
        durable: bool = True,
    ) -> None:
        """Replace files in this order, such that all of them are accepted after a kill at any moment.

        Args:
            files: name to content, or to the path of a file that is moved to this name.
            digests: digests of large files that are known already.
            often: whether the files are replaced often. Then the previous digests are accepted until the next
                replacement, which saves a write.
            durable: whether each file is synchronised with the disk, as by `atomic_write`.
        """
        self.adopt(*files)
        now = replace_files(self._folder, files, self.accepted, self._write, digests or {}, durable=durable)
        if not often and now != self.accepted:  # new files have no former digests to be removed
            self._write(now)
        self.accepted = now

    def adopt(self, *names: str) -> None:
        """Accept existing files without digests, which an earlier version of dlcli wrote."""
        for name in names:
            if name not in self.accepted and (self._folder / name).is_file():
                self.accepted[name] = [digest_of_file(self._folder / name)]

    def forget(self, *names: str) -> None:
        """Remove the digests of deleted files; this is recorded with the next replacement."""
        for name in names:
            self.accepted.pop(name, None)

    def _write(self, accepted: dict[str, list[str]]) -> None:
        document = {"schema_version": SCHEMA_VERSION, "run_id": self.run_id, "sha256": accepted}
        atomic_write(self._folder / MANIFEST_FILE, json.dumps(document, indent=2) + "\n", durable=False)
        self.accepted = accepted


def check_model(folder: Path, *names: str) -> None:
    """Compare files of a model's folder with its manifest, if there is one.

    Raises:
        CorruptRun: A file differs, is missing, or cannot be read.
    """
    if (manifest := Manifest.load(folder)) is not None:
        manifest.check(*names)

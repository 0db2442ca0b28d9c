"""A folder's own digests, in `digests.json`: of a saved model, which is copied without its run, and of checkpoints."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from dlcli.errors import CorruptRun
from dlcli.tracking.digests import ANEW, check_file, digest_of_file, replace_files
from dlcli.tracking.ledger import atomic_write

SCHEMA_VERSION = 1
MANIFEST_FILE = "digests.json"


class Manifest:
    """Digests of the files in a folder; those of another run do not pass for this one's.

    Attributes:
        run_id: whose files they are.
        accepted: name to digests, of which a kill may leave several.
    """

    def __init__(self, folder: Path, run_id: str, accepted: Mapping[str, list[str]] | None = None) -> None:
        self.run_id = run_id
        self.accepted = dict(accepted or {})
        self._folder = folder

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """That of a folder; None where it has none: an earlier dlcli wrote it.

        Raises:
            CorruptRun: it cannot be read.
        """
        path = folder / MANIFEST_FILE
        try:
            document = json.loads(path.read_bytes())
            accepted = {
                name: [digest for digest in digests if isinstance(digest, str)]
                for name, digests in document["sha256"].items()
            }
            return cls(folder, str(document["run_id"]), accepted)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptRun("the digests of the folder's files cannot be read", str(path), ANEW) from error

    @classmethod
    def for_writing(cls, folder: Path, run_id: str) -> Self:
        """That of a folder which a run writes: what lies there already stays accepted until it is replaced."""
        try:
            there = cls.load(folder)
        except CorruptRun:
            there = None
        return cls(folder, run_id, there.accepted if there is not None and there.run_id == run_id else {})

    def check(self, *names: str, hint: str = ANEW) -> None:
        """Compare files with what was written.

        Raises:
            CorruptRun: one differs, is missing, or was not written by dlcli.
        """
        for name in names:
            check_file(self._folder / name, self.accepted.get(name, []), hint)

    def replace(
        self,
        files: Mapping[str, bytes | str | Path],
        digests: Mapping[str, str] | None = None,
        *,
        often: bool = False,
    ) -> None:
        """Write files, in this order, or move them to their names; killed at any moment, all of them are accepted.

        `digests` are those that are known already: of large files, which need not be read for it. Of what is written
        `often` the files of before stay accepted until the next ones are.
        """
        self.adopt(*files)
        self.accepted = replace_files(self._folder, files, self.accepted, self._write, digests or {})
        if not often:
            self._write(self.accepted)

    def adopt(self, *names: str) -> None:
        """Accept what lies there without a digest, for an earlier dlcli wrote it."""
        for name in names:
            if name not in self.accepted and (self._folder / name).is_file():
                self.accepted[name] = [digest_of_file(self._folder / name)]

    def forget(self, *names: str) -> None:
        """Leave out files that are no longer there; written down with the next file."""
        for name in names:
            self.accepted.pop(name, None)

    def _write(self, accepted: dict[str, list[str]]) -> None:
        document = {"schema_version": SCHEMA_VERSION, "run_id": self.run_id, "sha256": accepted}
        atomic_write(self._folder / MANIFEST_FILE, json.dumps(document, indent=2) + "\n", durable=False)
        self.accepted = accepted


def check_model(folder: Path, *names: str) -> None:
    """Compare files of a model's folder with what was saved, as far as the folder says that.

    Raises:
        CorruptRun: one differs, is missing, or cannot be read.
    """
    if (manifest := Manifest.load(folder)) is not None:
        manifest.check(*names)

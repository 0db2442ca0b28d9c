"""Whose word a run's folder is: which gate it is opened behind.

It follows from what the user says (`-C`, DLCLI_CONF_DIR, `--trust`) and from the run's seal, never from what the folder
says of itself.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.config.environment import variables
from dlcli.errors import CorruptRun
from dlcli.files.paths import display, typed, whole
from dlcli.gate.documents import read_text
from dlcli.gate.gate import RUNS_CODE, Gate, targets
from dlcli.gate.seal import is_sealed

# The user's conf folders, a line each; only where there are any.
CONF_DIRS_FILE = "conf_dirs.txt"
OVERRIDES_FILE = "overrides.txt"
CONFIG_FILE = "config.yaml"
CODE = "code"

_UNSEALED = (
    "The run has no seal of yours: it was made elsewhere or by an earlier dlcli, or was changed since."
)


@dataclass(frozen=True)
class Claim:
    """A run's folder, and what the user says of it.

    Attributes:
        folder: the run's.
        parent: the folder of the run that it is a part of, which keeps the code of all of them.
        runs_dir: the runs folder in use.
        made_in: the runs folder of when the configuration was written, as it says.
        conf_dirs: those that the user has named (`-C`).
        trust: whether the user vouches for all of it.
        written: folders that the user has named for the data.
        root: the folder that the run's configuration names for its data.
    """

    folder: Path
    parent: Path | None
    runs_dir: Path
    made_in: Path
    conf_dirs: tuple[Path, ...] = ()
    trust: bool = False
    written: frozenset[Path] = frozenset()
    root: Any = None

    def to_read(self) -> Gate:
        """The gate for its model and its data: own code where the same file lies in a folder that the user has named.

        Raises:
            CorruptRun: a file in such a folder is not what it was when the run was made.
        """
        if self.trust:
            return self._opened()
        sealed = self._is_sealed()
        folders = self._named() or (self._beside() if sealed else ())
        own = _unchanged(self._code(), [folder.parent for folder in folders])
        _extend_path(folders if own else ())
        read = variables(self._text(CONFIG_FILE)) if sealed else set()
        return Gate(str(self.folder), own=own, written=self._written(sealed), variables=frozenset(read))

    def to_resume(self, config: Any) -> tuple[Gate, tuple[Path, ...]]:
        """The gate for going on with the run, and the conf folders that it goes on with.

        Where the seal holds, what its configuration names are the user's own words, as they were when it began.

        Raises:
            CorruptRun: as `to_read`.
        """
        if self.trust:
            return self._opened(), self._named() or self._beside()
        sealed = self._is_sealed() and self._holds(OVERRIDES_FILE)
        folders = self._named() or (self.recorded() if sealed else ()) or self._beside()
        if sealed:
            _extend_path(folders)
            words = re.findall(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", self._text(OVERRIDES_FILE))
            names = frozenset([*targets(config), *words, *_named_in(folders)])
            return Gate(str(self.folder), sealed=True, names=names, written=self._written(sealed)), folders
        own = _unchanged(self._code(), [folder.parent for folder in self._named()])
        _extend_path(folders if own else ())
        run = shlex.quote(display(self.folder.parent))
        hint = f"{RUNS_CODE}\n{_UNSEALED} dlcli resume {run} -C DIR\nOr: dlcli resume {run} --trust"
        return Gate(str(self.folder), own=own, written=self._written(sealed), hint=hint), folders

    def _written(self, sealed: bool) -> frozenset[Path]:
        """Where data may be downloaded to: where the configuration says, if that is the user's own word."""
        own = {whole(typed(self.root))} if sealed and isinstance(self.root, str) else set()
        return self.written | own

    def _opened(self) -> Gate:
        code = self._code()
        if any(code.rglob("*.py")) and str(code) not in sys.path:
            sys.path.append(str(code))  # last: nothing installed is hidden by it
        return Gate(str(self.folder), is_open=True)

    def _named(self) -> tuple[Path, ...]:
        """Conf folders of the user's own words: `-C`, or DLCLI_CONF_DIR."""
        from dlcli.config.folders import user_folders

        return user_folders(self.conf_dirs) if self.conf_dirs or os.environ.get("DLCLI_CONF_DIR") else ()

    def _beside(self) -> tuple[Path, ...]:
        """./conf where it holds a dlcli.yaml."""
        from dlcli.config.folders import user_folders

        return user_folders()

    def recorded(self) -> tuple[Path, ...]:
        """The conf folders that the run was started with, where its seal holds.

        Those of a project that was moved or copied are the copy's, if the run lies in the runs folder in use: any
        other project could be somebody else's.
        """
        if not self._holds(CONF_DIRS_FILE) or not self._is_sealed():
            return ()
        here = self.folder.resolve().is_relative_to(self.runs_dir.resolve())
        return recorded_folders(self.folder, self.made_in, self.runs_dir if here else self.made_in)

    def _is_sealed(self) -> bool:
        return self._holds(CONFIG_FILE) and is_sealed(self.folder, CODE, code_listing(self._code()))

    def _holds(self, name: str) -> bool:
        file = self.folder / name
        return file.is_file() and is_sealed(self.folder, name, read_text(file))

    def _text(self, name: str) -> str:
        return read_text(self.folder / name)

    def _code(self) -> Path:
        own = self.folder / CODE
        return own if own.is_dir() or self.parent is None else self.parent / CODE


def recorded_folders(folder: Path, then: Path, now: Path) -> tuple[Path, ...]:
    """The conf folders that a run's folder names, as far as they are there.

    What lay beside the runs folder `then` is looked for beside the one of `now` first.
    """
    file = folder / CONF_DIRS_FILE
    found = []
    for line in map(Path, read_text(file).splitlines() if file.is_file() else []):
        project = then.parent
        if project != Path(project.anchor) and line.is_relative_to(project):
            moved = now.resolve().parent / line.relative_to(project)
            line = moved if moved.is_dir() else line
        found += [line] if line.is_absolute() and line.is_dir() else []
    return tuple(found)


def code_listing(code: Path) -> str:
    """Names and digests of the files of the user's own code, as the seal covers them."""
    files = {
        file.relative_to(code).as_posix(): file.read_bytes() for file in code.rglob("*") if file.is_file()
    }
    return listing(files)


def listing(files: dict[str, bytes]) -> str:
    """The same of files by their names."""
    import hashlib

    return "".join(f"{hashlib.sha256(files[name]).hexdigest()} {name}\n" for name in sorted(files))


def _unchanged(code: Path, folders: Sequence[Path]) -> frozenset[str]:
    """Top-level modules of the run's own code of which every file lies, byte for byte, in a folder that was named.

    Raises:
        CorruptRun: a file in such a folder is not what it was when the run was made.
    """
    vouched: dict[str, bool] = {}
    for copy in sorted(code.rglob("*.py")):
        name = copy.relative_to(code)
        there = [file for folder in folders if (file := folder / name).is_file()]
        if there and not any(file.read_bytes() == copy.read_bytes() for file in there):
            raise CorruptRun(
                "has changed since the run was made",
                where=display(there[0]),
                hint=f"Give --trust to use the copy that the run keeps: {display(copy)}",
            )
        top = name.parts[0].removesuffix(".py")
        vouched[top] = vouched.get(top, True) and bool(there)
    return frozenset(top for top, ok in vouched.items() if ok and _is_read_from(top, folders))


def _is_read_from(top: str, folders: Sequence[Path]) -> bool:
    """Whether a module is, or will be, imported from one of the folders, and is no installed one of that name."""
    import importlib.util

    spec = importlib.util.find_spec(top) if top.isidentifier() and top != "__main__" else None
    if spec is None:
        return top.isidentifier()
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(
        Path(origin).resolve().is_relative_to(folder.resolve()) for origin in origins for folder in folders
    )


def _named_in(folders: Sequence[Path]) -> Iterator[str]:
    """What the options of the user's conf folders name."""
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            yield from re.findall(r"^\s*_target_:\s*['\"]?([\w.]+)", file.read_text("utf-8", "replace"), re.M)


def _extend_path(folders: Sequence[Path]) -> None:
    from dlcli.config.folders import extend_path

    extend_path(folders)

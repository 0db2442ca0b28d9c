"""Which gate applies to a run's folder.

It depends on the user's arguments (`-C`, DLCLI_CONF_DIR, `--trust`) and on the run's seal, never on what the folder
says about itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlcli.config.environment import variables
from dlcli.config.folders import extend_path, user_folders
from dlcli.errors import CorruptRun
from dlcli.files.paths import display, is_file, resolved, typed
from dlcli.files.regular import os_reason, read_regular
from dlcli.formatting import shell_line
from dlcli.gate.documents import read_text
from dlcli.gate.gate import RUNS_CODE, Gate, current, targets
from dlcli.gate.seal import is_sealed, make_seal

# The user's conf folders, one per line; the file exists only if there are any.
CONF_DIRS_FILE = "conf_dirs.txt"
OVERRIDES_FILE = "overrides.txt"
OVERRIDES_BYTES = 128 << 10  # Hydra's grammar takes seconds for more
CONFIG_FILE = "config.yaml"
CODE = "code"

_CODE_BYTES = 16 << 20  # of one file of code

_UNSEALED = (
    "The run does not have your seal: it was created elsewhere or by an earlier dlcli, or was changed since."
)


@dataclass(frozen=True)
class Claim:
    """A run's folder, together with the user's arguments on which its gate depends.

    Attributes:
        folder: the run's folder.
        parent: folder of the run that a child run belongs to, which holds its code; None for other runs.
        runs_dir: the runs folder in use.
        made_in: the runs folder in which the run was created, according to its configuration.
        conf_dirs: conf folders given by the user (`-C`).
        trust: whether the user trusts everything in the folder (`--trust`).
        written: folders given by the user for the data.
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
        """Return the gate for using the run's model and data.

        The run's own code is trusted if the same files are in a folder given by the user.

        Raises:
            CorruptRun: A file in such a folder has changed since the run was created.
        """
        if self.trust:
            return self._opened()
        sealed = self._is_sealed()
        folders = self._named() or (self._beside() if sealed else ())
        own = _unchanged(self._code(), [folder.parent for folder in folders])
        extend_path(folders if own else ())
        read = variables(self._text(CONFIG_FILE)) if sealed else set()
        return Gate(
            str(self.folder),
            own=own,
            written=self._written(sealed),
            variables=frozenset(read),
            fetches=sealed,
            hint=RUNS_CODE if own or not sealed else self._where_it_was(),
        )

    def _where_it_was(self) -> str:
        """Return the hint on the conf folders that the run was started with, if its code is not next to ./conf."""
        known = self.recorded()
        if not known:
            return RUNS_CODE
        named = shell_line(*(part for folder in known for part in ("-C", display(folder))))
        try:
            found = _unchanged(self._code(), [folder.parent for folder in known])
        except CorruptRun as error:
            return (
                f"{error.problems[0].where} has changed since the run was created. {error.problems[0].hint}"
            )
        state = "the code is unchanged" if found else "the code is no longer"
        return f"{RUNS_CODE}\nThe run was started with {named}, where {state}."

    def to_resume(self, config: Any, command: str = "resume") -> tuple[Gate, tuple[Path, ...]]:
        """Return the gate for resuming or repeating the run with a command, and the conf folders for that.

        If the seal is valid, the names in the configuration were written by the user and are trusted.

        Raises:
            CorruptRun: See `to_read`.
        """
        if self.trust:
            return self._opened(), self._named() or self._beside()
        sealed = self._is_sealed() and _holds(self.folder, OVERRIDES_FILE)
        folders = self._named() or (self.recorded() if sealed else ()) or self._beside()
        if sealed:
            extend_path(folders)
            words = re.findall(r"[^\W\d]\w*(?:\.[^\W\d]\w*)+", self._text(OVERRIDES_FILE))
            names = frozenset([*targets(config), *words, *_named_in(folders)])
            return Gate(str(self.folder), sealed=True, names=names, written=self._written(sealed)), folders
        own = _unchanged(self._code(), [folder.parent for folder in self._named()])
        extend_path(folders if own else ())
        run = shell_line(display(self.folder.parent))
        hint = f"{RUNS_CODE}\n{_UNSEALED} dlcli {command} {run} -C DIR\nOr: dlcli {command} {run} --trust"
        return Gate(str(self.folder), own=own, written=self._written(sealed), hint=hint), folders

    def _written(self, sealed: bool) -> frozenset[Path]:
        """Return the folders into which data may be downloaded: the configuration's own only if it is sealed."""
        own = {resolved(typed(self.root))} if sealed and isinstance(self.root, str) else set()
        return self.written | own

    def _opened(self) -> Gate:
        code = self._code()
        if any(code.rglob("*.py")) and str(code) not in sys.path:
            sys.path.append(str(code))  # last, so that it shadows no installed module
        return Gate(str(self.folder), is_open=True)

    def _named(self) -> tuple[Path, ...]:
        """Return the conf folders given by `-C` or DLCLI_CONF_DIR."""
        return user_folders(self.conf_dirs) if self.conf_dirs or os.environ.get("DLCLI_CONF_DIR") else ()

    def _beside(self) -> tuple[Path, ...]:
        """Return ./conf if it contains a dlcli.yaml."""
        return user_folders()

    def recorded(self) -> tuple[Path, ...]:
        """Return the conf folders that the run was started with, if its seal is valid.

        If the project was moved or copied, they are those of the copy, provided that the run lies in the runs folder in
        use: any other project might belong to another user.
        """
        whole = self._whole()
        if not _holds(whole, CONF_DIRS_FILE) or not self._is_sealed():
            return ()
        here = self.folder.resolve().is_relative_to(self.runs_dir.resolve())
        return recorded_folders(whole, self.made_in, self.runs_dir if here else self.made_in)

    def _is_sealed(self) -> bool:
        """Return whether the run's configuration is sealed, and its code in its own or its parent's folder."""
        code = self._code()
        return _holds(self.folder, CONFIG_FILE) and is_sealed(code.parent, CODE, code_listing(code))

    def _text(self, name: str) -> str:
        return read_text(self.folder / name)

    def _code(self) -> Path:
        return self._whole() / CODE

    def _whole(self) -> Path:
        """Return the folder with the code and the conf folders: the parent's, unless a child run has its own."""
        own = (self.folder / CODE).is_dir() or (self.folder / OVERRIDES_FILE).is_file()
        return self.folder if own or self.parent is None else self.parent


def new_seal(files: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the seal of a new run's files; empty under the gate of a resumed run that has none."""
    gate = current()
    return make_seal(files) if gate is None or gate.sealed else {}


def _holds(folder: Path, name: str) -> bool:
    file = folder / name
    return file.is_file() and is_sealed(folder, name, read_text(file))


def recorded_folders(folder: Path, then: Path, now: Path) -> tuple[Path, ...]:
    """Return the existing conf folders that a run's folder names.

    Folders that were next to the runs folder `then` are first looked up next to `now`.
    """
    file = folder / CONF_DIRS_FILE
    found = []
    for line in map(Path, filter(None, read_text(file).split("\n")) if is_file(file) else []):
        project = then.parent
        if project != Path(project.anchor) and line.is_relative_to(project):
            moved = now.resolve().parent / line.relative_to(project)
            line = moved if moved.is_dir() else line
        found += [line] if line.is_absolute() and line.is_dir() else []
    return tuple(found)


def code_listing(code: Path) -> str:
    """Return names and digests of the run's own code files, as the seal covers them."""
    files = {file.relative_to(code).as_posix(): _content(file) for file in code.rglob("*") if is_file(file)}
    return listing(files)


def _content(file: Path) -> bytes:
    """Return the content of a file with code.

    Raises:
        CorruptRun: It is not a regular file, cannot be read, or is too large.
    """
    try:
        return read_regular(file, _CODE_BYTES)
    except OSError as error:
        raise CorruptRun(os_reason(error), display(file), "Copy the folder again.") from error


def listing(files: dict[str, bytes]) -> str:
    """Return names and digests of files, one per line, from names and contents."""
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()} {name}\n" for name in sorted(files))


def _unchanged(code: Path, folders: Sequence[Path]) -> frozenset[str]:
    """Return the top-level modules of the run's own code whose files are all, byte for byte, in one of the folders.

    Raises:
        CorruptRun: A file in such a folder has changed since the run was created.
    """
    vouched: dict[str, bool] = {}
    for copy in sorted(code.rglob("*.py")):
        name = copy.relative_to(code)
        originals = [file for folder in folders if (file := folder / name).is_file()]
        if originals and not any(_content(file) == _content(copy) for file in originals):
            raise CorruptRun(
                "has changed since the run was created",
                where=display(originals[0]),
                hint=f"Use --trust to run the copy in the run's folder: {display(copy)}",
            )
        top = name.parts[0].removesuffix(".py")
        vouched[top] = vouched.get(top, True) and bool(originals)
    return frozenset(top for top, ok in vouched.items() if ok and _is_read_from(top, folders))


def _is_read_from(top: str, folders: Sequence[Path]) -> bool:
    """Return whether a module is, or will be, imported from one of the folders, and not from an installed package."""
    spec = importlib.util.find_spec(top) if top.isidentifier() and top != "__main__" else None
    if spec is None:
        return top.isidentifier()
    origins = [spec.origin] if spec.origin else list(spec.submodule_search_locations or [])
    return any(
        Path(origin).resolve().is_relative_to(folder.resolve()) for origin in origins for folder in folders
    )


def _named_in(folders: Sequence[Path]) -> Iterator[str]:
    """Yield the `_target_`s in the options of the user's conf folders."""
    for folder in folders:
        for file in folder.rglob("*.yaml"):
            yield from re.findall(r"^\s*_target_:\s*['\"]?([\w.]+)", file.read_text("utf-8", "replace"), re.M)

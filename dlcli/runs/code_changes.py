"""Changes of the user's code between the start of a run and its resumption."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.files.regular import read_regular
from dlcli.gate.vouching import CODE, listing
from dlcli.inference.code import own_code

# Names of the changed files.
CODE_TAG = "dlcli.changed.code"

_NAMED = 3
_BYTES = 1 << 24  # maximum size of a file


def changed_code(run_dir: Path, config: Mapping[str, Any], folders: Sequence[Path]) -> dict[str, bytes]:
    """Return path and present content of the user's modules that differ from the copies in a run's folder.

    Args:
        run_dir: the folder of the whole run.
        config: the configuration with which it continues.
        folders: the conf folders, next to which the code is.
    """
    present = own_code(config, [folder.parent for folder in folders])
    kept = _kept(run_dir)
    return {name: content for name, content in present.items() if kept.get(name) != content}


def listings(run_dir: Path, changed: Mapping[str, bytes]) -> tuple[str, str]:
    """Return what the seal covers of the code before and after a change."""
    kept = _kept(run_dir)
    return listing(kept), listing({**kept, **changed})


def words_of_change(names: Iterable[str]) -> str:
    """Return the message about changed files."""
    found = sorted(names)
    more = f" and {len(found) - _NAMED} more files" if len(found) > _NAMED else ""
    have = "have" if len(found) > 1 else "has"
    return (
        f"{', '.join(found[:_NAMED])}{more} {have} changed since the run was created. What was trained before stays; "
        "from now on, the run has the present code."
    )


def _kept(run_dir: Path) -> dict[str, bytes]:
    code = run_dir / CODE
    files = sorted(file for file in code.rglob("*") if file.is_file() and not file.is_symlink())
    return {file.relative_to(code).as_posix(): read_regular(file, _BYTES) for file in files}

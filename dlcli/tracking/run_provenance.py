"""Provenance of a run: command, code, versions and machine."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Literal

from dlcli import __version__
from dlcli.files.file_state import file_state
from dlcli.process.installed import name_and_version, version_of
from dlcli.sanitize.redact import redact_command

_PACKAGES = {"torch": "torch", "lightning": "pytorch-lightning", "mlflow": "mlflow"}


def provenance(level: Literal["full", "minimal"] = "full") -> dict[str, str]:
    """Return the provenance tags of a run; `minimal` omits host, user and git."""
    tags = {
        "dlcli.command": command_line(),
        "dlcli.version": __version__,
        "dlcli.python_version": platform.python_version(),
        "mlflow.source.name": "dlcli",
        "mlflow.source.type": "LOCAL",
    }
    versions = {name: version_of(package) for name, package in _PACKAGES.items()}
    tags |= {f"dlcli.{name}_version": version for name, version in versions.items() if version}
    if level == "full":
        tags |= {"dlcli.host": socket.gethostname(), **_user(), **git_state(Path.cwd())}
    return tags


def command_line() -> str:
    """Return this process's command line with masked secrets."""
    program, *words = sys.argv or [""]
    name = Path(program).name
    return redact_command(["dlcli" if name in ("", "__main__.py") else name, *words])


def git_state(folder: Path) -> dict[str, str]:
    """Return commit of a folder's repository, and whether tracked files are modified; empty without a repository."""
    # The repository's configuration may name a program (fsmonitor), which must not be executed.
    command = ["git", "-c", "core.fsmonitor=false", "status"]
    command += ["--porcelain=v2", "--branch", "--untracked-files=no"]
    # Do not lock the index, since the user's git commands would have to wait.
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        found = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return {}
    lines = found.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), "(initial)")
    if commit == "(initial)":
        return {}
    dirty = any(not line.startswith("#") for line in lines)
    return {"mlflow.source.git.commit": commit, "dlcli.git_dirty": str(dirty).lower()}


def environment_txt() -> str:
    """Return the installed packages, one `name==version` per line, like `pip freeze`."""
    return _installed(tuple((place, file_state(Path(place))) for place in sys.path))


@lru_cache(maxsize=4)
def _installed(places: tuple[tuple[str, tuple[int, ...] | None], ...]) -> str:
    """Return the text for folders of packages and their states: an installation changes a folder."""
    found: dict[str, str] = {}
    for name, version in filter(None, map(name_and_version, metadata.distributions())):
        found.setdefault(name, version)  # the first one on the path is imported
    return "".join(
        f"{name}=={version}\n" for name, version in sorted(found.items(), key=lambda x: x[0].lower())
    )


def _user() -> dict[str, str]:
    try:
        return {"mlflow.user": getpass.getuser()}
    except (OSError, KeyError):  # the user of a container may have no name
        return {}

"""Environments of peers that dlcli does not need: made with pip when they are first used, with their versions."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


class NotInstalled(Exception):
    """A peer that pip could not install."""


@dataclass(frozen=True)
class Environment:
    """Packages for pip, and those of them whose versions are reported.

    With `over_project` the packages of dlcli's own environment, torch among them, are visible and not installed again.
    """

    name: str
    packages: tuple[str, ...]
    told: tuple[str, ...]
    over_project: bool = False

    def python(self, place: Path) -> str:
        """Return its interpreter; the environment is made if there is none.

        Raises:
            NotInstalled: pip failed.
        """
        if not self.packages:
            return sys.executable
        folder = place / self.name
        executable, ready = folder / "bin" / "python", folder / "ready"
        if ready.exists():
            return str(executable)
        print(f"installing {' '.join(self.packages)} into {folder}", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        if self.over_project:
            own = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
            Path(own, "project.pth").write_text(sysconfig.get_path("purelib") + "\n")
        pip = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            done = subprocess.run([*pip, *self.packages], capture_output=True, text=True, timeout=1200)
        except subprocess.TimeoutExpired:
            raise NotInstalled("pip did not end within 20 minutes") from None
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise NotInstalled((errors or done.stderr.strip().splitlines() or ["pip failed"])[-1])
        ready.touch()
        return str(executable)

    def versions(self, place: Path) -> str:
        """Return names and versions of the reported packages."""
        if not self.packages:
            return ", ".join(f"{name} {version(name)}" for name in self.told)
        code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
        done = subprocess.run(
            [self.python(place), "-c", code, *self.told], capture_output=True, text=True, check=True
        )
        return ", ".join(f"{name} {it}" for name, it in zip(self.told, done.stdout.split(), strict=True))

"""Check this machine for dlcli: versions, extras, accelerators, threads, MLflow store and disk."""

from __future__ import annotations

import os
import platform
import shlex
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from dlcli.errors import DlcliError
from dlcli.files.disk import free_space
from dlcli.process.cores import cores
from dlcli.sanitize.redact import redact
from dlcli.tracking.connection import connect, load_mlflow, probe, sqlite_file, store_errors, tracking_uri

# The name under which dlcli is installed: `dlcli` on the package index is another project.
DISTRIBUTION = "dlcli-experiments"

# Free space in bytes below which the user is warned. A run of a medium-sized model keeps some hundred MB.
_LITTLE_DISK = 2e9


@dataclass(frozen=True)
class Finding:
    """The result of one check. With the state `wrong` dlcli does not work, with `doubtful` it may not."""

    topic: str
    name: str
    found: str
    state: Literal["fine", "doubtful", "wrong"] = "fine"
    hint: str = ""


def examine(runs_dir: Path) -> Iterator[Finding]:
    """Yield the findings of all checks; nothing is created."""
    yield from _versions()
    yield from _extras()
    yield from _accelerators()
    yield _threads()
    yield _store(runs_dir)
    yield _disk(runs_dir)


def tested_versions() -> dict[str, str]:
    """Return the tested version of each package, from constraints.txt (inside the package in a wheel)."""
    package = Path(__file__).parents[1]
    file = next(f / "constraints.txt" for f in (package, package.parent) if (f / "constraints.txt").is_file())
    pins = (line.split("==") for line in file.read_text(encoding="utf-8").splitlines() if "==" in line)
    return {_normal(pin[0]): pin[1].strip() for pin in pins if len(pin) == 2 and not pin[0].startswith("#")}


def _versions() -> Iterator[Finding]:
    python, wanted = platform.python_version(), _declared().python
    fits = SpecifierSet(wanted).contains(python)
    yield Finding(
        "versions", "python", python, "fine" if fits else "wrong", "" if fits else f"dlcli needs {wanted}."
    )
    tested = tested_versions()
    for requirement in _requirements(""):
        yield _version(requirement, tested.get(_normal(requirement.name), ""))


def _version(requirement: Requirement, tested: str) -> Finding:
    name = requirement.name
    version = _installed(name)
    if not version:
        return Finding("versions", name, "missing", "wrong", f"pip install '{requirement}'")
    if not requirement.specifier.contains(version, prereleases=True):
        hint = f"dlcli needs {requirement.specifier}: pip install '{requirement}'"
        return Finding("versions", name, version, "wrong", hint)
    # A local label (+cpu, +cu130) is another build of the same version.
    if tested and version.partition("+")[0] != tested.partition("+")[0]:
        return Finding("versions", name, version, "doubtful", f"Tested with {tested}.")
    return Finding("versions", name, version)


def _extras() -> Iterator[Finding]:
    for extra in _declared().extras:
        needed = dict.fromkeys(_requirements(extra))  # an extra may be contained twice
        missing = [requirement for requirement in needed if not _installed(requirement.name)]
        found = f"missing: {', '.join(one.name for one in missing)}" if missing else "installed"
        # Extras are optional, so a missing one is not a problem.
        line = shlex.join(["pip", "install", *map(_as_typed, missing)])
        yield Finding("extras", extra, found, "fine", line if missing else "")


def _as_typed(requirement: Requirement) -> str:
    """Return a requirement as an argument of pip, without its marker."""
    named = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{named}{requirement.specifier}"


def _requirements(extra: str) -> Iterator[Requirement]:
    """Yield the requirements of dlcli on this machine, or those that an extra adds."""
    for requirement in _declared().requirements:
        always = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not (always if not extra else not always and requirement.marker.evaluate({"extra": extra})):  # type: ignore[union-attr]
            continue
        if requirement.name == DISTRIBUTION:  # an extra that contains other extras
            for contained in sorted(requirement.extras):
                yield from _requirements(contained)
        else:
            yield requirement


class _Declared(NamedTuple):
    python: str
    extras: tuple[str, ...]
    requirements: tuple[Requirement, ...]


@cache
def _declared() -> _Declared:
    """Return the declared dependencies of the installed dlcli, or of the checkout that is used without installation."""
    try:
        about = metadata.metadata(DISTRIBUTION)
        needed = tuple(map(Requirement, metadata.requires(DISTRIBUTION) or []))
        return _Declared(about["Requires-Python"], tuple(about.get_all("Provides-Extra") or ()), needed)
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project["optional-dependencies"]
        of_extras = [
            f"{line}; extra == '{name}'"
            for name, lines in extras.items()
            for line in lines  # none of these has a marker
        ]
        lines = [*project["dependencies"], *of_extras]
        return _Declared(project["requires-python"], tuple(extras), tuple(map(Requirement, lines)))


def _accelerators() -> Iterator[Finding]:
    import torch

    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("accelerators", "cpu", f"{platform.machine()}, {capability}; precision 32, bf16-mixed")
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        bf16 = ", bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
        found = f"{device.name}, {device.total_memory / 1e9:.0f} GB; precision 32, 16-mixed{bf16}"
        yield Finding("accelerators", f"gpu {index}", found)
    if torch.backends.mps.is_available():
        yield Finding("accelerators", "mps", "Apple GPU; precision 32, 16-mixed")


def _threads() -> Finding:
    import torch

    available = cores()
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    found = f"{threads} for torch, {available} cores" + (f", OMP_NUM_THREADS={variable}" if variable else "")
    if threads > available:
        # Threads that wait for a core spin, which was measured to be 300 times slower.
        return Finding("threads", "threads", found, "doubtful", f"Set OMP_NUM_THREADS={available}.")
    return Finding("threads", "threads", found)


def _store(runs_dir: Path) -> Finding:
    try:
        uri = tracking_uri(runs_dir)
        file = sqlite_file(uri)
        if file and not file.exists():
            return Finding("store", redact(uri), "does not exist yet; the first run creates it")
        load_mlflow(uri)
        started = time.perf_counter()
        probe(uri)
        with store_errors(uri):
            connect(uri).search_experiments(max_results=1)
    except DlcliError as error:
        problem = error.problems[0]
        return Finding("store", problem.where, problem.message, "wrong", problem.hint)
    return Finding("store", redact(uri), f"answers in {1000 * (time.perf_counter() - started):.0f} ms")


def _disk(runs_dir: Path) -> Finding:
    free = free_space(runs_dir)
    found = f"{free / 1e9:.1f} GB free"
    if free < _LITTLE_DISK:
        return Finding(
            "disk", str(runs_dir), found, "doubtful", "Free some space, or use --runs-dir on another disk."
        )
    return Finding("disk", str(runs_dir), found)


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _normal(name: str) -> str:
    return name.strip().lower().replace("_", "-")

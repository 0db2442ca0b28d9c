"""Run Hydra's composition over the shipped and the user's folders without touching its global state."""

from __future__ import annotations

import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from dlcli.config.folders import shipped_folder
from dlcli.config.yaml_file import read

# Hydra keeps its state in singletons; two compositions at once would see each other's.
_LOCK = threading.RLock()
_PROJECT = "dlcli_project_defaults"
# Hydra's own launcher, sweeper and logging, which dlcli never uses: without them composing takes a third less.
_UNUSED = "env help hydra_help hydra_logging job_logging launcher output sweeper"
_WITHOUT = tuple(f"~hydra/{group}" for group in _UNUSED.split())


@dataclass(frozen=True)
class Plan:
    """What Hydra composes: folders, project-wide defaults (options, then values), and overrides of groups."""

    folders: tuple[Path, ...]
    project_options: Mapping[str, Any]
    project_values: Mapping[str, Any]
    group_overrides: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A file that was merged, and the dotted place (`optimizer`; empty for the top) where its keys went.

    `file` is None where the project-wide defaults were merged.
    """

    file: Path | None
    package: str


def default_options() -> dict[str, Any]:
    """Group to option as config.yaml's defaults list has them; None where it is left out."""
    return {
        group: option
        for entry in read(shipped_folder() / "config.yaml").get("defaults", [])
        if isinstance(entry, dict)
        for group, option in entry.items()
    }


def merge(plan: Plan) -> tuple[Any, dict[str, str]]:
    """The composed configuration (a DictConfig, interpolations not yet resolved) and the chosen options.

    The same plan over unchanged files is merged once: a sweep composes its trials, and a notebook its runs, at a
    tenth of the time.
    """
    config, choices = _merge(_Unchanged(plan, _stamp(plan.folders)))
    return deepcopy(config), dict(choices)


@dataclass(frozen=True)
class _Unchanged:
    """A plan over files as they are now."""

    plan: Plan
    stamp: tuple[tuple[str, int, int], ...]

    def __hash__(self) -> int:
        return hash((self.plan.folders, self.plan.group_overrides, self.stamp))


def _stamp(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of every YAML file: what has to be equal for nothing to have changed."""
    files = (file for root in (shipped_folder(), *folders) for file in sorted(root.rglob("*.yaml")))
    return tuple((str(file), (at := file.stat()).st_mtime_ns, at.st_size) for file in files)


@lru_cache(maxsize=64)
def _merge(unchanged: _Unchanged) -> tuple[Any, dict[str, str]]:
    from hydra import compose
    from omegaconf import OmegaConf

    with _hydra(unchanged.plan) as overrides:
        config = compose("config", overrides, return_hydra_config=True)
    chosen: Any = OmegaConf.to_container(config.hydra.runtime.choices)
    choices = {
        str(group): option if isinstance(option, str) else ",".join(option)
        for group, option in chosen.items()
        if option is not None and not group.startswith("hydra/")
    }
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config, choices


def sources(plan: Plan) -> tuple[Source, ...]:
    """The files in the order of merging: a later one wins."""
    return _sources(_Unchanged(plan, _stamp(plan.folders)))


@lru_cache(maxsize=64)
def _sources(unchanged: _Unchanged) -> tuple[Source, ...]:
    from hydra.core.global_hydra import GlobalHydra
    from hydra.types import RunMode

    with _hydra(unchanged.plan) as overrides:
        loader: Any = GlobalHydra.instance().config_loader()
        merged = loader.compute_defaults_list("config", overrides, RunMode.RUN).defaults
    found = []
    for default in merged:
        if default.config_path == _PROJECT:
            found.append(Source(None, ""))
            continue
        name = f"{default.config_path}.yaml"
        files = [
            root / name for root in (shipped_folder(), *unchanged.plan.folders) if (root / name).is_file()
        ]
        if files:
            found.append(Source(files[0], default.package or ""))
    return tuple(found)


@contextmanager
def _hydra(plan: Plan) -> Iterator[list[str]]:
    """Hydra initialised for the plan; what a notebook had initialised is back afterwards."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.core.singleton import Singleton
    from hydra.core.utils import JobRuntime
    from hydra.version import VersionBase

    with _LOCK, _primary_folder(plan) as primary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = [root for root in (shipped_folder(), *plan.folders) if root != primary]
        # Quoted by Hydra itself: its grammar would split a path at a comma.
        paths = ",".join(QuotedString(f"file://{root}", Quote.single).with_quotes() for root in search)
        saved = {
            kind: Singleton._instances.pop(kind, None) for kind in (GlobalHydra, VersionBase, JobRuntime)
        }
        try:
            with initialize_config_dir(str(primary), job_name="dlcli", version_base="1.3"):
                yield [f"hydra.searchpath=[{paths}]", *_WITHOUT, *plan.group_overrides]
        finally:
            for kind, instance in saved.items():
                Singleton._instances.pop(kind, None)
                if instance is not None:
                    Singleton._instances[kind] = instance


@contextmanager
def _primary_folder(plan: Plan) -> Iterator[Path]:
    """The folder whose config.yaml Hydra starts from.

    Project-wide defaults have to be weaker than an experiment, which no override can be: they go into a copy
    of config.yaml, options into its defaults list, values into a file that is merged before `experiment`.
    """
    if not plan.project_options and not plan.project_values:
        yield shipped_folder()
        return
    config = read(shipped_folder() / "config.yaml")
    known = default_options()
    added = [{group: option} for group, option in plan.project_options.items() if group not in known]
    defaults: list[Any] = []
    for entry in config["defaults"]:
        if isinstance(entry, dict) and "experiment" in entry:
            defaults += [*added, _PROJECT]
        defaults.append(
            {g: plan.project_options.get(g, option) for g, option in entry.items()}
            if isinstance(entry, dict)
            else entry
        )
    config["defaults"] = defaults
    with tempfile.TemporaryDirectory(prefix="dlcli-") as folder:
        _write(Path(folder) / "config.yaml", config)
        _write(Path(folder) / f"{_PROJECT}.yaml", _nest(plan.project_values), "# @package _global_\n")
        yield Path(folder)


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *parents, last = key.split(".")
        node = nested
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}
            node = node[parent]
        node[last] = value
    return nested


def _write(file: Path, content: Mapping[str, Any], header: str = "") -> None:
    file.write_text(header + yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True), "utf-8")


def group_override(group: str, option: Sequence[str] | str | None, add: bool = False) -> str:
    """An override that chooses a group's option, quoted so that any file name will do."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if option is None:
        return f"~{group}"
    names = [option] if isinstance(option, str) else option
    quoted = [QuotedString(name, Quote.single).with_quotes() for name in names]
    value = quoted[0] if isinstance(option, str) else f"[{','.join(quoted)}]"
    return f"{'+' if add else ''}{group}={value}"

"""Run Hydra's composition over the shipped and the user's folders without changing its global state."""

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

# Hydra keeps its state in singletons, so two threads must not compose at the same time.
_LOCK = threading.RLock()
_PROJECT = "dlcli_project_defaults"
# Hydra's launcher, sweeper and logging, which dlcli does not use. Without them composing takes a third less time.
_UNUSED = "env help hydra_help hydra_logging job_logging launcher output sweeper"
_WITHOUT = tuple(f"~hydra/{group}" for group in _UNUSED.split())


@dataclass(frozen=True)
class Plan:
    """What Hydra composes: folders, project-wide defaults (options and values) and overrides of groups."""

    folders: tuple[Path, ...]
    project_options: Mapping[str, Any]
    project_values: Mapping[str, Any]
    group_overrides: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """A file that was merged and the dotted section of its keys (`optimizer`; empty for the top level).

    `file` is None for the project-wide defaults.
    """

    file: Path | None
    package: str


def default_options() -> dict[str, Any]:
    """Return the option of each group in config.yaml's defaults list; None for a group that is left out."""
    return {
        group: option
        for entry in read(shipped_folder() / "config.yaml").get("defaults", [])
        if isinstance(entry, dict)
        for group, option in entry.items()
    }


def merge(plan: Plan) -> tuple[Any, dict[str, str]]:
    """Return the composed configuration (a DictConfig with unresolved interpolations) and the chosen options.

    The result for one plan is cached while its files are unchanged: further trials of a sweep, or further runs in a
    notebook, compose in a tenth of the time.
    """
    config, choices = _merge(_Unchanged(plan, _stamp(plan.folders)))
    return deepcopy(config), dict(choices)


@dataclass(frozen=True)
class _Unchanged:
    """A plan with the state of its files: the cache key of `merge` and `sources`."""

    plan: Plan
    stamp: tuple[tuple[str, int, int], ...]

    def __hash__(self) -> int:
        return hash((self.plan.folders, self.plan.group_overrides, self.stamp))


def _stamp(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return path, modification time (ns) and size (bytes) of every YAML file, to detect changes."""
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
    """Return the files in the order in which they are merged; later files take precedence."""
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
    """Initialize Hydra for the plan and restore its previous state (of a notebook, for example) at the end."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.override_parser.types import Quote, QuotedString
    from hydra.core.singleton import Singleton
    from hydra.core.utils import JobRuntime
    from hydra.version import VersionBase

    with _LOCK, _primary_folder(plan) as primary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = [root for root in (shipped_folder(), *plan.folders) if root != primary]
        # Quoted with Hydra's own function, because its grammar would split a path at a comma.
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
    """Yield the folder whose config.yaml is Hydra's primary configuration.

    Experiments take precedence over project-wide defaults, but not over overrides. The defaults are therefore written
    to a copy of config.yaml: options to its defaults list, values to a file that is merged before `experiment`.
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
    """Return an override that chooses a group's option, quoted so that any file name is accepted."""
    from hydra.core.override_parser.types import Quote, QuotedString

    if option is None:
        return f"~{group}"
    names = [option] if isinstance(option, str) else option
    quoted = [QuotedString(name, Quote.single).with_quotes() for name in names]
    value = quoted[0] if isinstance(option, str) else f"[{','.join(quoted)}]"
    return f"{'+' if add else ''}{group}={value}"

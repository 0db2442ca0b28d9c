"""The only module, apart from its shortcuts and problems, that depends on Hydra's internals.

It composes the shipped and the user's folders without changing Hydra's global state.
"""

from __future__ import annotations

import os
import pickle
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.core.singleton import Singleton
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from hydra.version import VersionBase
from omegaconf import OmegaConf

from dlcli.config.folders import shipped_folder
from dlcli.config.hydra_problems import problem_of
from dlcli.config.hydra_shortcuts import shortcuts
from dlcli.config.yaml_file import read
from dlcli.errors import ConfigError
from dlcli.files.unfinished import scratch_folder

# Hydra keeps its state in singletons, so two threads must not compose at the same time.
_LOCK = threading.RLock()
_PROJECT = "dlcli_project_defaults"
# Hydra's launcher, sweeper and logging, which dlcli does not use. Without them composing takes a third less time.
_UNUSED = "env help hydra_help hydra_logging job_logging launcher output sweeper"
_WITHOUT = tuple(f"~hydra/{group}" for group in _UNUSED.split())


@dataclass(frozen=True)
class Composition:
    """The input of Hydra's composition: folders, project-wide defaults (options and values) and overrides of groups.

    `added` are the groups of options that are in no defaults list.
    """

    folders: tuple[Path, ...]
    project_options: Mapping[str, Any]
    project_values: Mapping[str, Any]
    group_overrides: tuple[str, ...]
    added: frozenset[str] = frozenset()


@dataclass(frozen=True)
class MergedFile:
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


def merge(composition: Composition, files: Sequence[Path] = ()) -> tuple[Composition, Any, dict[str, str]]:
    """Compose a configuration with Hydra.

    Overrides of groups that are in no defaults list get the prefix `+`, which Hydra requires; options of a dlcli.yaml
    for such groups are added to the list.

    Args:
        composition: what to compose.
        files: YAML files of the chosen options; a mistake in one of them is reported with its line.

    Returns:
        The composition as Hydra accepted it, the configuration (a DictConfig with unresolved interpolations), and
        the option of each group.

    Raises:
        ConfigError: Hydra cannot compose it.
    """
    try:
        accepted, config, choices = _merge(_Unchanged(composition, state_of_files(composition.folders)))
    except Exception as error:  # Hydra, OmegaConf and PyYAML each raise their own
        raise ConfigError(problem_of(error, files=files)) from error
    return accepted, pickle.loads(config), dict(choices)


@dataclass(frozen=True)
class _Unchanged:
    """A composition with the state of its files: the cache key of `merge` and `merged_files`."""

    composition: Composition
    stamp: tuple[tuple[str, int, int], ...]

    def __hash__(self) -> int:
        return hash((self.composition.folders, self.composition.group_overrides, self.stamp))


def state_of_files(folders: Sequence[Path]) -> tuple[tuple[str, int, int], ...]:
    """Return path, modification time (ns) and size (bytes) of each YAML file of the user, to detect changes.

    The files of the installation do not change within a process: `config.yaml` stands for them.
    """
    shipped = shipped_folder() / "config.yaml"
    found = shipped.stat()
    own = sorted(stamp for root in folders for stamp in _stamps(str(root)))
    return ((str(shipped), found.st_mtime_ns, found.st_size), *own)


def _stamps(folder: str) -> Iterator[tuple[str, int, int]]:
    """Yield the state of each YAML file in a folder and its subfolders; `Path.rglob` takes four times as long."""
    try:
        opened = os.scandir(folder)
    except OSError:  # a folder that cannot be read has no options
        return
    with opened as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _stamps(entry.path)
            elif entry.name.endswith(".yaml"):
                with suppress(OSError):  # a broken link, or a file that has just been deleted
                    yield entry.path, (at := entry.stat()).st_mtime_ns, at.st_size


@lru_cache(maxsize=64)
def _merge(unchanged: _Unchanged) -> tuple[Composition, bytes, dict[str, str]]:
    """Return what `merge` returns, which is cached while the files are unchanged.

    The configuration is pickled, which copies it faster (`hydra_shortcuts`). Further trials of a sweep, or further runs
    in a notebook, compose in a tenth of the time.
    """
    composition = unchanged.composition
    try:
        with _hydra(composition) as overrides:
            config = compose("config", overrides, return_hydra_config=True)
    except Exception as error:
        asked = composition.group_overrides
        named = tuple(f"+{text}" if _is_in_no_defaults_list(text, error) else text for text in asked)
        own = {group for group in composition.project_options if _is_in_no_defaults_list(group, error)}
        added = replace(composition, group_overrides=named, added=composition.added | own)
        if added == composition:
            raise
        return _merge(replace(unchanged, composition=added))
    chosen: Any = OmegaConf.to_container(config.hydra.runtime.choices)
    choices = {
        str(group): option if isinstance(option, str) else ",".join(option)
        for group, option in chosen.items()
        if option is not None and not group.startswith("hydra/")
    }
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return composition, pickle.dumps(config), choices


def _is_in_no_defaults_list(override: str, error: Exception) -> bool:
    group = override.partition("=")[0]
    return not group.startswith("+") and (
        f"Could not override '{group}'. No match in the defaults list" in str(error)
    )


def merged_files(composition: Composition) -> tuple[MergedFile, ...]:
    """Return the files in the order in which they are merged; later files take precedence."""
    return _sources(_Unchanged(composition, state_of_files(composition.folders)))


@lru_cache(maxsize=64)
def _sources(unchanged: _Unchanged) -> tuple[MergedFile, ...]:
    found = []
    for default in _defaults_list(unchanged.composition).defaults:
        if default.config_path == _PROJECT:
            found.append(MergedFile(None, ""))
            continue
        name = f"{default.config_path}.yaml"
        files = [
            root / name
            for root in (shipped_folder(), *unchanged.composition.folders)
            if (root / name).is_file()
        ]
        if files:
            found.append(MergedFile(files[0], default.package or ""))
    return tuple(found)


def choosing_files(composition: Composition) -> tuple[dict[str, str], dict[str, str]]:
    """Return the option of each group, and the file whose defaults list chooses it (`model/linear`).

    The file is empty for the command line; groups are left out if config.yaml chooses their option.
    """
    return _choosers(_Unchanged(composition, state_of_files(composition.folders)))


@lru_cache(maxsize=64)
def _choosers(unchanged: _Unchanged) -> tuple[dict[str, str], dict[str, str]]:
    found = _defaults_list(unchanged.composition).overrides
    files = {group: about.containing_config_path or "" for group, about in found.override_metadata.items()}
    return found.known_choices, files


def _defaults_list(composition: Composition) -> Any:
    with _hydra(composition) as overrides:
        loader: Any = GlobalHydra.instance().config_loader()
        return loader.compute_defaults_list("config", overrides, RunMode.RUN)


@contextmanager
def _hydra(composition: Composition) -> Iterator[list[str]]:
    """Initialize Hydra for the composition; on exit, restore its previous state, such as that of a notebook."""
    with _LOCK, _primary_folder(composition) as primary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = [root for root in (shipped_folder(), *composition.folders) if root != primary]
        # Quoted with Hydra's own function, because its grammar would split a path at a comma.
        paths = ",".join(QuotedString(f"file://{root}", Quote.single).with_quotes() for root in search)
        saved = {
            kind: Singleton._instances.pop(kind, None) for kind in (GlobalHydra, VersionBase, JobRuntime)
        }
        try:
            with shortcuts(), initialize_config_dir(str(primary), job_name="dlcli", version_base="1.3"):
                yield [f"hydra.searchpath=[{paths}]", *_WITHOUT, *composition.group_overrides]
        finally:
            for kind, instance in saved.items():
                Singleton._instances.pop(kind, None)
                if instance is not None:
                    Singleton._instances[kind] = instance


@contextmanager
def _primary_folder(composition: Composition) -> Iterator[Path]:
    """Yield the folder whose config.yaml is Hydra's primary configuration.

    Experiments take precedence over project-wide defaults, but not over overrides. The defaults are therefore written
    to a copy of config.yaml and a file that is merged before `experiment`: options to the defaults list of the former,
    in whose order they are merged, and to that of the latter, so that they replace the choices of earlier files, such
    as a dataset's; values to the latter.
    """
    if not composition.project_options and not composition.project_values:
        yield shipped_folder()
        return
    config = read(shipped_folder() / "config.yaml")
    added = [{group: composition.project_options[group]} for group in sorted(composition.added)]
    chosen = [
        {f"override /{group}": option}
        for group, option in composition.project_options.items()
        if group not in composition.added and group != "experiment" and option is not None
    ]
    defaults: list[Any] = []
    for entry in config["defaults"]:
        if isinstance(entry, dict) and "experiment" in entry:
            defaults += [*added, _PROJECT]
        defaults.append(
            {g: composition.project_options.get(g, option) for g, option in entry.items()}
            if isinstance(entry, dict)
            else entry
        )
    config["defaults"] = defaults
    with scratch_folder() as folder:
        _write(folder / "config.yaml", config)
        content = {"defaults": chosen, **_nest(composition.project_values)}
        _write(folder / f"{_PROJECT}.yaml", content, "# @package _global_\n")
        yield folder


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
    if option is None:
        return f"~{group}"
    names = [option] if isinstance(option, str) else option
    quoted = [QuotedString(name, Quote.single).with_quotes() for name in names]
    value = quoted[0] if isinstance(option, str) else f"[{','.join(quoted)}]"
    return f"{'+' if add else ''}{group}={value}"

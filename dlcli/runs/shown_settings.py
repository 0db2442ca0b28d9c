"""The settings of an experiment as params of MLflow, abbreviated as on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.build import TARGET
from dlcli.config.own_section import own_section
from dlcli.tracking.mlflow_inputs import flatten

# Settings of where and how a run is recorded and executed, which do not affect its result.
_NOT_SHOWN = ("runs_dir", "run_name", "experiment_name", "tracking", "executor")


def shown_settings(
    config: Mapping[str, Any], choices: Mapping[str, str], folders: Sequence[Path]
) -> dict[str, str]:
    """Return the settings by dotted key. Those without a value are left out.

    A class is shown by the option that chose it (`model`: `mlp`), or by its own name if no option did.

    Args:
        config: the configuration.
        choices: the chosen option of each group.
        folders: the user's conf folders.
    """
    settings = {key: value for key, value in config.items() if key not in _NOT_SHOWN}
    return dict(flatten(dict(_pairs(settings, "", choices, folders))))


def repeated_settings(recorded: Mapping[str, str], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the params of a run that repeats another one, given the other's params and the new configuration."""
    now = dict(flatten({key: value for key, value in config.items() if key not in _NOT_SHOWN}))
    kept = {key: text for key, text in recorded.items() if key.partition(".")[0] not in _NOT_SHOWN}
    return {key: now.get(key, text) for key, text in kept.items()}


def _pairs(
    node: Mapping[str, Any], group: str, choices: Mapping[str, str], folders: Sequence[Path]
) -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        below = f"{group}/{key}".lstrip("/")
        if isinstance(value, Mapping):
            if TARGET in value and below != "trainer":
                yield key, _name(value[TARGET], below, choices, folders)
            # A nested section has dotted keys, in addition to the key of its own option.
            rest = {name: inner for name, inner in value.items() if name != TARGET}
            for name, inner in _pairs(rest, below, choices, folders):
                yield f"{key}.{name}", inner
        elif value is not None and value != []:
            yield key, value


def _name(target: Any, group: str, choices: Mapping[str, str], folders: Sequence[Path]) -> str:
    option = choices.get(group)
    own = own_section(group, option, folders) if option else None
    if own is not None and own.content.get(TARGET) == target:
        return str(option)
    module, _, name = str(target).rpartition(".")
    return module.rpartition(".")[2] if name == "load" else name  # datasets are functions of this name

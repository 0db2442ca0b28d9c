"""What a sweep's words hold fixed, and what they vary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dlcli.errors import ConfigError
from dlcli.sweeps.dimension import Choice, Numbers, as_override, plain_text
from dlcli.sweeps.space import read_domain


def separate(overrides: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Overrides that hold for all trials, and those that stand for several values, by key; of one key the last."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create()
    fixed: list[str] = []
    varied: dict[str, str] = {}
    for text in overrides:
        try:
            parsed: Any = parser.parse_override(text)
        except Exception:  # composing says what is wrong with it
            fixed.append(text)
            continue
        key = parsed.key_or_group
        varied.pop(key, None)
        if parsed.is_sweep_override():
            fixed = [earlier for earlier in fixed if earlier.partition("=")[0] != key]
            varied[key] = text.partition("=")[2]
        else:
            fixed.append(text)
    return fixed, varied


def domains_of(varied: Mapping[str, str], folders: Sequence[Path]) -> dict[str, Choice | Numbers]:
    """What each key that the command line varies can be; reading the space says which of them cannot be read."""
    found: dict[str, Choice | Numbers] = {}
    for key, text in varied.items():
        with suppress(ConfigError):
            found[key] = read_domain(key, text, lambda group: group_options(group, folders))
    return found


def combined_space(
    section: Mapping[str, Any],
    varied: Mapping[str, str],
    domains: Mapping[str, Choice | Numbers],
    fixed: Sequence[str],
) -> dict[str, Any]:
    """The space of the configuration and of the command line, which has the last word on every key.

    What depends on a value that the command line settles is there without condition; what depends on one that it
    leaves out is not there.
    """
    settled = {key: value for key, _, value in (text.lstrip("+").partition("=") for text in fixed)}
    possible = {key: [*map(plain_text, d.values)] for key, d in domains.items() if isinstance(d, Choice)}

    def without(node: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.items():
            above, _, text = str(key).partition("=")
            if key in settled or key in varied:
                continue
            if not isinstance(value, Mapping):
                found[key] = value
            elif above in settled:
                found |= without(value) if text == settled[above] else {}
            elif text in possible.get(above, [text]):
                found[key] = without(value)
        return found

    return {**without(section), **varied}


def group_options(group: str, folders: Sequence[Path]) -> list[str]:
    """What a group can be: for `model=glob(*)`."""
    from dlcli.config.folders import options

    return list(options(group, folders))


def as_overrides(params: Mapping[str, Any]) -> list[str]:
    """A point as words."""
    return [as_override(key, value) for key, value in params.items()]


def with_task(fixed: Sequence[str], task: str) -> tuple[str, ...]:
    """What all trials share, the task too: it follows from the data, and need not be found out for each."""
    return (*fixed, *([] if any(text.startswith("task=") for text in fixed) else [f"task={task}"]))

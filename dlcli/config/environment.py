"""`${oc.env:NAME}`: values that come from the environment and are recorded as references.

A configuration in memory keeps such a reference as text; `dlcli.config.build` reads the variable when it builds the
object. So no file, process or message that receives a configuration contains the value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.own_keys import own_type
from dlcli.errors import ConfigError, CorruptRun, NotSet, Problem
from dlcli.gate.gate import current
from dlcli.sanitize.redact import KEPT_OUT, is_secret, is_secret_value, redact, register_secret

_CALL = re.compile(r"\$\{\s*oc\.env\s*:\s*([^,{}\s]+)")
_SIMPLE = re.compile(r"\$\{oc\.env:(\w+)\}")
_HAS_DEFAULT = re.compile(r"\$\{\s*oc\.env\s*:[^{}]*,")
_ANY_CALL = re.compile(r"\$\{([^{}:]*:?)")

# Sections whose keys dlcli reads itself instead of passing them to an object.
_READ_HERE = ("trainer", "cv", "executor", "tracking", "sweep")

# Keys that are paths: recorded as absolute paths, so that a run can be read from any working directory.
_PLACES = ("dataset.path", "dataset.root", "dataset.test_path", "dataset.val_path")


def reads_environment(text: Any) -> bool:
    """Return whether a value is text with a reference to an environment variable."""
    return isinstance(text, str) and _CALL.search(text) is not None


def variables(config: Any) -> set[str]:
    """Return the names of the variables that a configuration reads."""
    if isinstance(config, Mapping):
        return set().union(*map(variables, config.values()))
    if isinstance(config, list | tuple):
        return set().union(*map(variables, config))
    return set(_CALL.findall(config)) if isinstance(config, str) else set()


def missing_variables(text: str) -> list[str]:
    """Return the names of the variables that a text reads and that are not set."""
    return [name for name in _CALL.findall(text) if name not in os.environ]


def values_of(config: Any) -> dict[str, str]:
    """Return the variables that a configuration reads and that are set, with their values."""
    return {name: os.environ[name] for name in sorted(variables(config)) if name in os.environ}


def check_may_read(names: set[str], where: str) -> None:
    """Check that the active gate, if there is one, allows reading these variables.

    Raises:
        CorruptRun: The gate does not allow it.
    """
    gate = current()
    if gate is not None and not gate.may_read(names):
        raise CorruptRun(
            f"{where} would read the environment ({', '.join(sorted(names))})",
            gate.place,
            "It could send what it reads to its author. If you trust the run, add --trust.",
        )


def from_environment(text: str, where: str) -> Any:
    """Return a text's value with its environment references replaced.

    Raises:
        ConfigError: A variable is not set, or the text contains other interpolations.
        CorruptRun: The gate does not allow the recorded configuration to read these variables.
    """
    from omegaconf import OmegaConf

    others = {name for name in _ANY_CALL.findall(text) if name.strip() not in ("oc.env:", "oc.decode:")}
    if others:
        raise ConfigError(f"{text} reads more than the environment", where, "Write the value itself.")
    check_may_read(variables(text), where)
    missing = missing_variables(text)
    if not missing and _SIMPLE.sub("", text).find("${") < 0:  # the common case: OmegaConf's parser is slow
        value = _SIMPLE.sub(lambda call: os.environ[call[1]], text)
        register_if_secret(where, value, text)
        return value
    try:
        value = OmegaConf.create({"value": text})["value"]
    except Exception as error:  # OmegaConf wraps what the resolver raises
        raise unset(missing, where, str(error)) from None
    register_if_secret(where, value, text)
    return value


def register_if_secret(key: str, value: Any, written: str) -> bool:
    """Return whether a value is secret by its key, its variable or its content; a secret is registered for masking."""
    names = variables(written)
    of_secret_key = is_secret_value(key, value)
    is_hidden = of_secret_key or redact(str(value)) != str(value) or any(map(_is_secret_variable, names))
    if is_hidden:
        for name in names:
            register_secret(os.environ.get(name, ""))
    defaulted = [name for name in names if name not in os.environ]
    if of_secret_key or any(map(_is_secret_variable, defaulted)):
        register_secret(value)
    return is_hidden


def _is_secret_variable(name: str) -> bool:
    return is_secret(name) or name.startswith(KEPT_OUT)


def unset(missing: Sequence[str], where: str, reason: str = "") -> ConfigError:
    """Return the error for a key that cannot be read from the environment.

    Args:
        missing: Names of the variables that are not set.
        where: The key.
        reason: The resolver's message, used when no variable is missing.
    """
    if not missing:
        return ConfigError(f"cannot be read from the environment: {redact(reason)}", where)
    name = missing[0]
    if name.startswith(KEPT_OUT):
        return NotSet(
            "was given in plain text, so its value was not recorded",
            where,
            f"Set it again: export {name}=VALUE. Next time write '{where}=${{oc.env:NAME}}'.",
        )
    hint = f"Set it: export {name}=VALUE"
    if is_secret(where) or is_secret(name):
        hint += "\nDefaults of secrets are not used, because they would be recorded."
    return NotSet(f"reads the environment variable {name}, which is not set", where, hint)


def check_set(config: Any, key: str = "") -> list[Problem]:
    """Return a problem for each key that reads a variable which is not set and has no default."""
    if isinstance(config, Mapping):
        return [p for name, item in config.items() for p in check_set(item, f"{key}.{name}".lstrip("."))]
    if isinstance(config, list):
        return [p for at, item in enumerate(config) for p in check_set(item, f"{key}.{at}")]
    missing = (
        missing_variables(config) if reads_environment(config) and not _HAS_DEFAULT.search(config) else []
    )
    return list(unset(missing, key).problems) if missing else []


def stays_open(key: str) -> bool:
    """Return whether a key is an argument of an object, so that its reference is read when the object is built."""
    section, _, rest = key.partition(".")
    own = getattr(own_type(section), "__dataclass_fields__", {})
    return (
        bool(rest)
        and section not in _READ_HERE
        and key not in _PLACES
        and rest not in own
        and (not rest.endswith("_target_"))
    )

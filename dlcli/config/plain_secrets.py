"""Move secrets that were given in plain text to the environment of this process and its children.

The configuration holds `${oc.env:DLCLI_SECRET_KEY}` in their place. A run with `model.api_key=X` trains, its record
does not contain X, and it can be resumed after the variable is set again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from dlcli.config.environment import reads_environment, stays_open
from dlcli.errors import Problem
from dlcli.sanitize.redact import (
    KEPT_OUT,
    MASK,
    is_secret,
    is_secret_value,
    register_secret,
    replaced,
    secret_variables,
    without_secret_defaults,
)


def move_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with each secret replaced by a reference to an environment variable."""
    found: dict[str, Any] = _without_secrets(config, "", below_secret=False)
    return found


def unrecorded_keys(config: Any, key: str = "") -> list[str]:
    """Return the keys of a configuration whose values are not recorded."""
    if isinstance(config, Mapping):
        return [
            k for name, item in config.items() for k in unrecorded_keys(item, f"{key}.{name}".lstrip("."))
        ]
    if isinstance(config, list):
        return [k for at, item in enumerate(config) for k in unrecorded_keys(item, f"{key}.{at}")]
    return [key] if isinstance(config, str) and f"${{oc.env:{KEPT_OUT}" in config else []


def masked_values(config: Any, key: str = "") -> list[Problem]:
    """Return a problem for each value that is a mask, which was copied from a record or a message."""
    if isinstance(config, Mapping):
        return [p for name, item in config.items() for p in masked_values(item, f"{key}.{name}".lstrip("."))]
    if isinstance(config, list):
        return [p for at, item in enumerate(config) for p in masked_values(item, f"{key}.{at}")]
    is_masked = isinstance(config, str) and (
        (config == MASK and is_secret(key)) or re.search(r"://\*\*\*@|\b(?:Bearer|Basic) \*\*\*", config)
    )
    if not is_masked:
        return []
    hint = f"Set the value itself, as '{key}=${{oc.env:NAME}}' with an environment variable of yours."
    return [Problem(f"holds {MASK}, the placeholder of a secret that was removed", key, hint)]


def written_words(words: Sequence[str]) -> list[str]:
    """Return overrides in a form that may be recorded, with references in place of secrets."""
    return [_written(word) for word in words]


def words_text(words: Sequence[str]) -> str:
    """Return the content of `overrides.txt`: an override per line, one with line breaks as a JSON string."""
    lines = [json.dumps(word) if {"\n", "\r"} & {*word} else word for word in written_words(words)]
    return "".join(f"{line}\n" for line in lines)


def recorded_words(text: str) -> list[str]:
    """Return the overrides in the content of `overrides.txt`.

    Raises:
        ValueError: A line is no valid JSON string.
    """
    # Not `splitlines`, which also splits at line breaks of Unicode within an override.
    lines = text.removesuffix("\n").split("\n") if text else []
    return [str(json.loads(line)) if line.startswith('"') else line for line in lines]


def _written(word: str) -> str:
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    word, value = f"{key}{equals}{without_secret_defaults(value, name)}", without_secret_defaults(value, name)
    variable = _variable(name)
    if equals and is_secret_value(name, value.strip("\"'")) and variable in os.environ:
        return f"{key}={_read(variable, is_text=not _is_number(value))}"
    by_value = {text: known for known, text in os.environ.items() if known.startswith(KEPT_OUT)}
    if not stays_open(name):  # keys such as the run's name are recorded with the mask, not with a reference
        by_value = {}
    return replaced(
        word, lambda secret: _read(by_value[secret]) if secret in by_value else MASK, secret_variables()
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[+-]?\d+", text) is not None


def _without_secrets(value: Any, key: str, *, below_secret: bool) -> Any:
    below_secret = below_secret or (is_secret(key) and isinstance(value, Mapping | list))
    if isinstance(value, Mapping):
        return {
            name: _without_secrets(item, f"{key}.{name}".lstrip("."), below_secret=below_secret)
            for name, item in value.items()
        }
    if isinstance(value, list):
        return [
            _without_secrets(item, f"{key}.{at}", below_secret=below_secret) for at, item in enumerate(value)
        ]
    if "." not in key or key.endswith("_target_") or reads_environment(value):
        return value
    if is_secret_value(key, value) or (below_secret and isinstance(value, str) and value):
        return _moved(value, key)
    if isinstance(value, str) and stays_open(key):
        count = iter(range(1, 1000))
        return replaced(value, lambda secret: _moved(secret, key, next(count)), ())
    return value


def _moved(value: Any, key: str, number: int = 1) -> str:
    name = _variable(key) + (f"_{number}" if number > 1 else "")
    os.environ[name] = str(value)
    register_secret(value)
    return _read(name, is_text=isinstance(value, str))


def _variable(key: str) -> str:
    return KEPT_OUT + re.sub(r"\W", "_", key).upper()


def _read(variable: str, *, is_text: bool = True) -> str:
    read = f"${{oc.env:{variable}}}"
    return read if is_text else f"${{oc.decode:{read}}}"

"""Restore references to the environment in a resolved configuration, which is recorded with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from dlcli.config.environment import reads_environment, register_if_secret, stays_open
from dlcli.config.own_keys import Root
from dlcli.config.resolve import ENVIRONMENT, resolve
from dlcli.sanitize.redact import without_secret_defaults


def as_written(config: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Return `values` (a resolved DictConfig) with references to the environment restored as they were written.

    References to other keys are followed: `${dataset.user}` becomes the text of that key. Values that are not text
    stay resolved, and so do keys that dlcli reads itself, unless the key or its value is secret.
    """
    if ENVIRONMENT not in str(OmegaConf.to_container(config, resolve=False)):
        return values
    written, _ = resolve(config, environment=_itself)
    found: dict[str, Any] = _merged(values, written, "")
    return found


def _merged(value: Any, written: Any, key: str) -> Any:
    if isinstance(value, Mapping) and isinstance(written, Mapping):
        return {
            name: _merged(item, written.get(name), f"{key}.{name}".lstrip("."))
            for name, item in value.items()
        }
    if isinstance(value, list) and isinstance(written, list) and len(value) == len(written):
        return [_merged(*pair, f"{key}.{at}") for at, pair in enumerate(zip(value, written, strict=True))]
    if not isinstance(value, str) or not reads_environment(written):
        return value
    is_hidden = register_if_secret(key, value, written)
    if stays_open(key) or (is_hidden and key not in Root.__dataclass_fields__):
        return without_secret_defaults(written, key)
    return value


def _itself(name: str, *default: Any) -> str:
    return f"${{{ENVIRONMENT}:{','.join([name, *map(_in_grammar, default)])}}}"


def _in_grammar(default: Any) -> str:
    if default is None:
        return "null"
    if reads_environment(default):
        return str(default)
    return "'" + str(default).replace("\\", "\\\\").replace("'", "\\'") + "'"

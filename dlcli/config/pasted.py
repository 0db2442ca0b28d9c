"""Settings in messages, in a form that can be pasted into a shell."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from typing import Any

# Words that Hydra's grammar reads as other types.
_TYPED = re.compile(r"(?i)null|true|false|nan|[-+]?inf|[-+]?[\d.][\d._]*(e[-+]?\d+)?")


def pasted(key: str, value: Any) -> str:
    """Return the setting `KEY=VALUE` as one word of a shell, in which Hydra's grammar reads this value.

    Args:
        key: the key.
        value: a text, number or boolean, or a list or a dictionary of them.
    """
    if isinstance(value, Mapping) and not all(map(_is_name, value)):
        lines = "; ".join(f"{json.dumps(name, ensure_ascii=False)}: {item}" for name, item in value.items())
        return f"{key}=FILE.yaml with the line {lines}"
    word = f"{key}={_written(value)}"
    return word if re.fullmatch(r"[\w./=+:@%-]+", word, re.ASCII) else shlex.quote(word)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_name(name)}: {_written(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if not isinstance(value, str):
        return f"{value:g}"
    if re.fullmatch(r"[A-Za-z_][\w./-]*|[\w-]+", value, re.ASCII) and not _TYPED.fullmatch(value):
        return value
    text = re.sub(r'(\\*)"', r'\1\1\\"', value)
    ends = len(text) - len(text.rstrip("\\"))
    return f'"{text}{ends * chr(92)}"'


def _is_name(name: str) -> bool:
    """Return whether Hydra's grammar has a form for a name as a key of a dictionary."""
    return bool(re.fullmatch(r"[\w /+.$%*@?|()\[\]{},:=\\-]+", name, re.ASCII)) and name == name.strip()


def _name(name: str) -> str:
    return re.sub(r"([,:()\[\]{}=\\])", r"\\\1", name)

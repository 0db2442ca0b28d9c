"""Quote overrides and commands for messages, so that they can be pasted into a shell for any name.

Hydra's grammar and the shell both interpret quotes, blanks and brackets, and OmegaConf interprets `${`. Every message
that shows a setting with a user's name in it is therefore made here; `tests/config/test_shown_commands.py` runs them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlcli.config.plain_secrets import written_words
from dlcli.formatting import shell_line

# Words that the grammar does not interpret as text.
_NO_TEXTS = ("null", "true", "false", "nan", "inf")

# Characters that the grammar allows in a key of a mapping, which cannot be quoted, and those that need a backslash.
_KEY = re.compile(r"[A-Za-z_/\-\\+.$%*@?|()\[\]{}:=, ][\w/\-\\+.$%*@?|()\[\]{}:=, ]*", re.ASCII)
_ESCAPED = re.compile(r"[\\()\[\]{}:=, ]")


def pasted(key: str, value: Any) -> str:
    """Return the override `key=value` as one word for a shell: `'dataset.drop=[a, b]'`."""
    return shell_line(override(key, value))


def pasted_for_column(key: str, name: str, value: Any) -> str:
    """Return the override that sets a key for one column.

    If Hydra's grammar does not allow the column's name as a key of a mapping, return the override for all columns, with
    a remark that says so.
    """
    return pasted(key, {name: value}) if is_key(name) else f"{pasted(key, value)} (for all columns)"


def dlcli_line(*words: str) -> str:
    """Return the shell command `dlcli WORDS`, which can be pasted; secrets in the words are replaced."""
    return shell_line("dlcli", *written_words(words))


def folder_options(conf_dirs: Sequence[Path], runs_dir: Path | None) -> list[str]:
    """Return the options of a command that name its conf folders and its folder of runs."""
    named = [word for folder in conf_dirs for word in ("-C", str(folder))]
    return [*named, *(["--runs-dir", str(runs_dir)] if runs_dir else [])]


def override(key: str, value: Any) -> str:
    """Return the override that sets a key to a value: a text, a number, a list or a mapping.

    Texts are quoted where necessary, so that `null` and `${x}` remain texts.
    """
    return f"{key}={_in_grammar(value)}"


def assignment(key: str, text: str) -> str:
    """Return the override that sets a key to a text that a user has typed; `${...}` remains an interpolation."""
    return f"{key}={_text(text)}"


def quoted(text: str, quote: str = "'") -> str:
    r"""Quote a text (a path with spaces, commas or quotes, for example) so that the grammar reads it literally.

    Quotes within the text, and backslashes before a quote, are escaped by a backslash; other backslashes are not.
    """
    escaped = re.sub(
        rf"(\\*)({quote}|$)", lambda found: found[1] * 2 + (f"\\{quote}" if found[2] else ""), text
    )
    return f"{quote}{escaped}{quote}"


def is_key(name: str) -> bool:
    """Return whether the grammar allows this key in a mapping; a mapping with other keys is written as JSON text."""
    return bool(_KEY.fullmatch(name)) and name.strip() == name and not _is_other(name)


def as_text(text: str) -> str:
    """Quote a text for the grammar, with the quotes that need the fewest escapes once a shell's quotes are added."""
    return quoted(text, "'" if '"' in text else '"')


def _in_grammar(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(_literal(value))
    if isinstance(value, Mapping):
        if not all(map(is_key, value)):  # `dataset.types` takes a mapping as text
            return quoted(_literal(json.dumps(dict(value), ensure_ascii=False)))
        pairs = (f"{_ESCAPED.sub(_escape, name)}: {_in_grammar(item)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_in_grammar, value))}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def _text(text: str) -> str:
    is_word = re.fullmatch(r"(?=.*\w)[A-Za-z_./][\w./-]*", text, re.ASCII)
    return text if is_word and not _is_other(text) else as_text(text)


def _is_other(text: str) -> bool:
    """Return whether the grammar reads a text as null, a boolean or a number."""
    try:
        float(text)
    except ValueError:
        return text.lower() in _NO_TEXTS
    return True


def _literal(text: str) -> str:
    r"""Escape `${`, which OmegaConf would replace, by a backslash; backslashes before it are doubled."""
    return re.sub(r"(\\*)\$\{", lambda found: f"{found[1] * 2}\\${{", text)


def _escape(found: re.Match[str]) -> str:
    return f"\\{found[0]}"

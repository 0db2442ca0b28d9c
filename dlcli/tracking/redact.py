"""Secrets taken out of what is recorded or shown."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

MASK = "***"

_SECRET = r"(?:(?:ssl)?password|passwd|passphrase|token|secret|credentials?|api[_-]?key|access[_-]?key|secret[_-]?key)"
_KEY = re.compile(rf"(?:^|[._+~-]|\b){_SECRET}$", re.IGNORECASE)
_PAIR = re.compile(
    rf"""((?:^|[\W_]){_SECRET}["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&}}\]'"]+)""", re.IGNORECASE
)
# A password may hold a raw slash or @: rather mask too much than too little.
_USERINFO = re.compile(r"""([A-Za-z][\w+.-]*://)(?:[^\s/?#'"@:]*:(?!\d+(?:/|$))[^\s'"]*|[^\s/?#'"@]+)@""")


def is_secret(key: str) -> bool:
    """Whether a key (`dataset.password`, `--api-key`) names a secret."""
    return _KEY.search(key) is not None


def redact(text: str) -> str:
    """Text without the values of `password=...` and the like, and without the user part of URLs."""
    return _PAIR.sub(rf"\g<1>{MASK}", _USERINFO.sub(rf"\g<1>{MASK}@", text))


def redact_value(key: str, value: str) -> str:
    """A setting's value as it may be recorded."""
    return MASK if is_secret(key) else redact(value)


def redact_command(argv: Sequence[str]) -> str:
    """A command line that can be read and, but for its secrets, pasted."""
    words: list[str] = []
    hide_next = False
    for word in argv:
        key, equals, _ = word.partition("=")
        if hide_next:
            words.append(MASK)
        elif equals and is_secret(key):
            words.append(f"{key}={MASK}")
        else:
            words.append(redact(word))
        hide_next = not hide_next and word.startswith("-") and not equals and is_secret(word)
    return shlex.join(words)

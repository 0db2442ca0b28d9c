"""Escaping of control characters in text that is written to a terminal."""

from __future__ import annotations

import re

# C0 except tab and line feed, DEL and C1; characters that reorder or hide text: zero-width characters, direction marks,
# line and paragraph separators, tags; and lone surrogates, which represent undecodable bytes of a file name.
_CONTROL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_TEXT = re.compile(f"[{_CONTROL}]")
_IN_NAME = re.compile(f"[{_CONTROL}\t\n]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(text: str) -> str:
    """Return text with control characters escaped (`\\x1b`, `\\r`, `\\u202e`), except line feeds and tabs."""
    return text if text.isascii() and text.isprintable() else _IN_TEXT.sub(_escape, text)


def visible_name(text: str) -> str:
    """Return a single line, such as a name or a cell, with line feeds and tabs escaped as well."""
    return text if text.isascii() and text.isprintable() else _IN_NAME.sub(_escape, text)


def visible_json(text: str) -> str:
    """Return a JSON text with control characters in its strings as `\\uXXXX`: it is parsed to the same value."""
    return text if text.isascii() else _IN_TEXT.sub(_json_escape, text)


def shortened(text: str, at_most: int) -> str:
    """Return at most `at_most` characters of a text; the middle is replaced by a note on how much was omitted."""
    if len(text) <= at_most:
        return text
    note = f" ... ({len(text) - at_most:,} characters omitted) ... "
    room = max(0, at_most - len(note))
    note = f" ... ({len(text) - room:,} characters omitted) ... "
    tail = room // 4
    return f"{text[: room - tail]}{note}{text[len(text) - tail :]}"[: max(at_most, len(note))]


def _json_escape(found: re.Match[str]) -> str:
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

"""Text from data, files and users' code as it may reach a terminal: control characters are shown, not obeyed."""

from __future__ import annotations

import re

# C0 but for tab and line feed, DEL and C1; then what reorders or hides text: zero-width characters, marks of direction,
# line and paragraph separators, tags; and halves of surrogate pairs, which a file name's undecodable bytes become.
_CONTROL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    r"\ud800-\udfff\U000e0000-\U000e007f"
)
_IN_TEXT = re.compile(f"[{_CONTROL}]")
_IN_NAME = re.compile(f"[{_CONTROL}\t\n]")
_SHORT = {"\t": r"\t", "\n": r"\n", "\r": r"\r"}


def visible(text: str) -> str:
    """Text of lines, all other control characters as escapes: `\\x1b`, `\\r`, `\\u202e`. Backslashes stay."""
    return text if text.isascii() and text.isprintable() else _IN_TEXT.sub(_escape, text)


def visible_name(text: str) -> str:
    """The same for a name or a cell, which has one line: line feeds and tabs are shown, too."""
    return text if text.isascii() and text.isprintable() else _IN_NAME.sub(_escape, text)


def shortened(text: str, at_most: int) -> str:
    """A text of at most so many characters; a longer one loses its middle, where it says how much that was."""
    if len(text) <= at_most:
        return text
    said = f" ... ({len(text) - at_most:,} characters left out) ... "
    room = max(0, at_most - len(said))
    left_out = len(text) - room
    said = f" ... ({left_out:,} characters left out) ... "
    tail = room // 4
    return f"{text[: room - tail]}{said}{text[len(text) - tail :]}"[: max(at_most, len(said))]


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if code < 0x100:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"

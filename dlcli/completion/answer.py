"""Answer a shell's request for completion: from the words of its command line to lines that it can show."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from dlcli.completion.candidates import Candidate, candidates
from dlcli.sanitize.escapes import visible_name

# All characters except letters, digits and those without a meaning for the shell inside a word. (`~` has a meaning, but
# is the first character of some overrides.)
_SPECIAL = re.compile(r"[^\w@%+=:,./~-]")
_SPECIAL_IN_QUOTES = re.compile(r'[$`"\\!]')


def answer(shell: str) -> None:
    """Print one candidate per line. Bash passes the command line and its word breaks, other shells pass the words."""
    try:
        if shell == "bash":
            line, breaks = sys.argv[1], sys.argv[2]
            *words, current = split(line)
            quote = open_quote(line)
            lines = [rest(found.value, current, breaks, quote) for found in candidates(words[1:], current)]
        else:
            *words, current = sys.argv[1:]
            lines = [_with_text(found) for found in candidates(words, current)]
        lines = [line for line in lines if visible_name(line.replace("\t", " ")) == line.replace("\t", " ")]
    except Exception:  # a traceback would only disrupt the user's command line
        return
    sys.stdout.write("".join(f"{line}\n" for line in lines))


def split(line: str) -> Sequence[str]:
    """Split a command line into words; the last one (possibly empty) is being typed. Quotes may be unclosed."""
    words, word, quote, typed = [], "", "", False
    characters = iter(line)
    for character in characters:
        if quote:
            word, quote = (word, "") if character == quote else (word + character, quote)
        elif character in "'\"":
            quote, typed = character, True
        elif character == "\\":
            word, typed = word + next(characters, ""), True
        elif character.isspace():
            words += [word] if word or typed else []
            word, typed = "", False
        else:
            word += character
    return [*words, word]


def open_quote(line: str) -> str:
    """Return the quote that is open at the end of a command line, or an empty text."""
    quote, characters = "", iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            next(characters, "")
        elif quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
    return quote


def rest(candidate: str, current: str, breaks: str, quote: str = "") -> str:
    """Return the text that bash has to insert. Bash splits words at `=`, and replaces only the part after it.

    Special characters of the shell are escaped, because names of runs and columns may come from an untrusted source.
    """
    at = max((current.rfind(mark) for mark in "=:" if mark in breaks), default=-1)
    text = candidate[at + 1 :]
    if quote == "'":
        return text.replace("'", "'\\''")
    special = _SPECIAL_IN_QUOTES if quote else _SPECIAL
    return special.sub(r"\\\g<0>", text)


def _with_text(found: Candidate) -> str:
    text = re.sub(r"\s+", " ", found.text)
    return f"{found.value}\t{text}" if text else found.value

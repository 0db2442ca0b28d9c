"""Read the comments of a YAML file: its header and the comment above each key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dlcli.config.yaml_file import lines


@dataclass(frozen=True)
class Comments:
    """The comments of a file: its `header`, and for each dotted key the comment directly above it."""

    header: str
    keys: dict[str, str]

    @property
    def summary(self) -> str:
        """The header's first sentence."""
        return re.split(r"(?<=[.!?])\s|\n", self.header, maxsplit=1)[0]


def comments(file: Path) -> Comments:
    """Read a file's comments. A header directly above the first key is also that key's explanation."""
    at = lines(file)
    text = file.read_text(encoding="utf-8").splitlines()
    top = next((number for number, line in enumerate(text) if not line.startswith("#")), len(text))
    header = [line for line in text[:top] if not line.startswith("# @package")]
    return Comments(
        _running(header),
        {key: _running(_above(text, line)) for key, line in at.items() if not key.startswith("defaults.")},
    )


def _above(text: list[str], line: int) -> list[str]:
    """Return the comment lines directly above a line (numbered from 1)."""
    first = line - 1
    while first > 0 and text[first - 1].lstrip().startswith("#"):
        first -= 1
    return text[first : line - 1]


def _running(block: list[str]) -> str:
    """Join comment lines into paragraphs; indented lines (an example to copy) keep their line breaks."""
    found = ""
    for line in block:
        bare = line.strip().removeprefix("#")
        if not bare.strip():
            found += "\n\n"
        elif bare.startswith("   "):
            found += f"\n{bare.rstrip()}"
        else:
            found += ("" if not found or found.endswith("\n") else " ") + bare.strip()
    return re.sub(r"\n{3,}", "\n\n", found).strip()

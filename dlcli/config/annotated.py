"""Print a composed configuration as YAML, each value followed by a comment with its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from dlcli.config.compose import Composed
from dlcli.config.folders import shipped_folder
from dlcli.config.provenance import nearest
from dlcli.files.paths import display

# Maximum column of the origins. A longer value shifts only the origin on its own line.
_WIDEST = 48


def annotated(composed: Composed) -> str:
    """Return the configuration as valid YAML, with `# FILE:LINE` or `# command line` after each value.

    Shipped files are written as `dlcli:model/mlp.yaml`; the first line gives the path of their folder.
    """
    shipped = display(shipped_folder())
    known = composed.origins()
    rows = [
        (text, nearest(key, known).replace(f"{shipped}/", "dlcli:"))
        for key, text in _rows(composed.config, "", "")
    ]
    width = min(_WIDEST, max(len(text) for text, origin in rows if origin))
    lines = [f"{text:<{width}}  # {origin}" if origin else text for text, origin in rows]
    return "\n".join([f"# dlcli: is {shipped}/", *lines])


def _rows(node: Mapping[str, Any], prefix: str, indent: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted key (empty for a section's own line) and the text of each line."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield "", f"{indent}{inline(key)}:"
            yield from _rows(value, f"{prefix}{key}.", f"{indent}  ")
        else:
            yield f"{prefix}{key}", f"{indent}{inline(key)}: {inline(value)}"


def inline(value: Any) -> str:
    """Return a value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")

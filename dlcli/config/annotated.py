"""A composed configuration as YAML, with the place that each value came from behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from dlcli.config.compose import Composed
from dlcli.config.folders import shipped_folder
from dlcli.config.provenance import nearest
from dlcli.files.paths import display

# Columns beyond which a value pushes its place aside instead of moving all others.
_WIDEST = 48


def annotated(composed: Composed) -> str:
    """YAML that can be read back; each value has `# FILE:LINE` or `# command line` behind it.

    Shipped files are written `dlcli:model/mlp.yaml`, and the first line says where they lie.
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
    """Dotted key (empty for a section's own line) and text of each line."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield "", f"{indent}{inline(key)}:"
            yield from _rows(value, f"{prefix}{key}.", f"{indent}  ")
        else:
            yield f"{prefix}{key}", f"{indent}{inline(key)}: {inline(value)}"


def inline(value: Any) -> str:
    """A value as YAML on one line."""
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10**9, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")

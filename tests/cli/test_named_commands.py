"""The commands that messages suggest exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

import dlcli
from dlcli.cli.app import app

# After a colon or semicolon, or as code, a command stands, unless a sentence begins there: `; dlcli records the rest`.
NAMED = re.compile(r"(?:[:;(`]\s*|\n\s*|\b[Tt]ry |\bwith )dlcli (runs [a-z]+|[a-z]\w*)")

VERBS = ("lists", "shows")


def messages() -> Iterator[tuple[str, str]]:
    """Yield the texts in dlcli's code that are not docstrings, with their places."""
    for file in Path(dlcli.__file__).parent.rglob("*.py"):
        tree = ast.parse(file.read_text())
        statements = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in statements:
                yield f"{file.name}:{node.lineno}", node.value


def test_every_command_that_a_message_names_exists() -> None:
    named: dict[str, str] = {}
    for place, text in messages():
        for word in NAMED.findall(text):
            if word.startswith("runs") or not word.endswith("s"):
                named.setdefault(word, place)
    assert {"train", "show"} <= set(named) and any(word.startswith("runs ") for word in named), named
    for word, place in named.items():
        words = word.split()
        if words[0] == "runs" and words[-1] in VERBS:  # in a sentence: `dlcli runs lists them`
            words = words[:1]
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0, (word, place)

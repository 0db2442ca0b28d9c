"""The texts that a language model generated after epochs, as a table of the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dlcli.errors import CorruptRun
from dlcli.files.paths import is_file
from dlcli.gate.documents import read_text
from dlcli.page.blocks import Cell, Figures
from dlcli.tracking.history import TEXTS_BY_EPOCH

_MOST_BYTES = 1 << 22


def read_texts_by_epoch(run_dir: Path) -> tuple[tuple[int, str, str], ...]:
    """Return epoch, prompt and text of each generated text; none if the run has no such file.

    Raises:
        CorruptRun: The file cannot be read.
    """
    file = run_dir / TEXTS_BY_EPOCH
    if not is_file(file):
        return ()
    found = []
    for number, line in enumerate(read_text(file, _MOST_BYTES, "the file").rstrip("\n").split("\n"), start=1):
        try:
            one = json.loads(line)
            found.append((int(one["epoch"]), str(one["prompt"]), str(one["text"])))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = "has other lines than a run writes"
            raise CorruptRun(reason, f"{file}:{number}", "Copy the folder again.") from error
    return tuple(found)


def table_of_texts(texts: Sequence[tuple[int, str, str]]) -> Figures | None:
    """Return the table of generated texts, the last epoch first; None without texts."""
    if not texts:
        return None
    rows = sorted(texts, key=lambda one: -one[0])
    with_prompts = any(prompt for _, prompt, _ in rows)
    heading = ("epoch", "prompt", "text") if with_prompts else ("epoch", "text")
    shown: tuple[tuple[Cell, ...], ...] = tuple(one if with_prompts else (one[0], one[2]) for one in rows)
    last = sum(one[0] == rows[0][0] for one in rows)
    return Figures("texts", "Texts that the model generated after epochs", heading, shown, many=last)

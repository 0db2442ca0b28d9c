"""Make the pictures of the terminal that the documentation shows: make bench ARGS="terminal_pictures FOLDER".

Each command runs in FOLDER in a terminal of 100 columns. Its output, with the last state of its progress bars, is
written as an SVG to docs/pictures/.
"""

from __future__ import annotations

import os
import pty
import re
import shlex
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDTH = 100
COMMANDS = {
    "terminal-train": "dlcli train dataset=iris model=mlp --name flowers",
    "terminal-folds": "dlcli train dataset=iris model=mlp cv=stratified_kfold cv.folds=10 --name stratified",
}
_MOVE = re.compile(r"\x1b\[(\d*)([A-Za-z])|\x1b\[\?\d+[hl]|\r\n|\n|\r")


def main(folder: str = "build/pictures") -> None:
    """Run the commands and write their pictures."""
    PICTURES.mkdir(exist_ok=True)
    Path(folder).mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    for name, command in COMMANDS.items():
        (PICTURES / f"{name}.svg").write_text(_picture(command, _rows(_output(command))), encoding="utf-8")


def _output(command: str) -> str:
    """Return what a command writes to a terminal."""
    words = [sys.executable, "-m", *shlex.split(command)]
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ |= {"COLUMNS": str(WIDTH), "LINES": "50", "TERM": "xterm-256color"}
        os.execv(words[0], words)
    found = b""
    try:
        while some := os.read(terminal, 1 << 16):
            found += some
    except OSError:  # the program has ended
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    return found.decode()


def _rows(output: str) -> list[str]:
    """Return the rows on the screen after all movements of the cursor, with their colours."""
    rows, row, end = [""], 0, 0
    for step in _MOVE.finditer(output):
        rows[row] += output[end : step.start()]
        end = step.end()
        count, kind = int(step[1] or 1), step[2] or step[0]
        if kind in ("\n", "\r\n"):
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif kind == "A":
            row = max(0, row - count)
        elif kind == "K":
            rows[row] = ""
        elif kind == "m":
            rows[row] += step[0]
    rows[row] += output[end:]
    return rows


def _picture(command: str, rows: list[str]) -> str:
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    console.print(f"$ {command}", highlight=False)
    console.print(Text.from_ansi("\n".join(rows).rstrip()))
    svg = console.export_svg(title="dlcli")
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)  # no request to another host


if __name__ == "__main__":
    main(*sys.argv[1:])

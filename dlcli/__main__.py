"""`dlcli` and `python -m dlcli`."""

import os

from dlcli.process.program import open_closed_streams, run_program
from dlcli.sanitize.presentable import present_process


def main() -> None:
    """Answer a shell that asks for completions, else run the program."""
    open_closed_streams()  # before any file is opened
    if shell := os.environ.get("_DLCLI_COMPLETE"):
        from dlcli.completion.answer import answer

        answer(shell)
    else:
        present_process()  # before typer, which keeps the hook for exceptions that it finds
        from dlcli.cli.app import main as program

        run_program(program)


if __name__ == "__main__":
    main()

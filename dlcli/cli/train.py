"""`dlcli train`."""

from __future__ import annotations

from dlcli.cli.common import ConfDirs, Json, Overrides, RunsDir, session
from dlcli.paths import display


def train(
    overrides: Overrides = None, conf_dir: ConfDirs = None, runs_dir: RunsDir = None, json: Json = False
) -> None:
    """Train an experiment and record it.

    Without arguments: handwritten digits, a small CNN, Adam. Any part is chosen with overrides, such as
    `dataset=mnist model=mlp optimizer.lr=0.01 trainer.max_epochs=5`.
    """
    with session(json) as terminal:
        from dlcli import runner
        from dlcli.cli.progress import TerminalObserver

        with TerminalObserver(terminal, "dlcli train") as observer:
            result = runner.train(overrides or (), conf_dir or (), runs_dir=runs_dir, observer=observer)
        if json:
            terminal.document(result.to_json())
            return
        terminal.results(result.metrics, title=f"{result.run_name}, best epoch", baselines=result.baselines)
        for message in result.messages:
            terminal.note(message)
        terminal.note(f"Recorded in {display(result.run_dir)}")
        terminal.note(f"Look at it with: {runner.ui_command(result)}")

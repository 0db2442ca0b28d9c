"""Show runs that were imported or pushed."""

from __future__ import annotations

from collections.abc import Sequence

from dlcli.config.next_command import next_command
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.runs.arrival import Arrived
from dlcli.runs.handing_on import PushedRun
from dlcli.sanitize.presentable import presentable_name
from dlcli.terminal.console import Terminal


def tell_arrived(terminal: Terminal, arrived: Arrived) -> None:
    """Print the imported runs; or the JSON document."""
    for note in arrived.notes:
        terminal.warning(note)
    if terminal.json:
        about = {
            name: [{"run_id": x.run_id, "run_name": x.run_name, "run_dir": str(x.run_dir)} for x in ledgers]
            for name, ledgers in (("runs", arrived.new), ("there", arrived.known))
        }
        terminal.document({"status": "OK", "runs_dir": str(arrived.runs_dir), **about})
        return
    for ledger in arrived.new:
        if ledger.parent_id is None:
            terminal.note(f"{presentable_name(ledger.run_name)}: {display(ledger.run_dir)}")
    if arrived.known:
        terminal.note(f"{counted(len(arrived.known), 'run')} with the same record: nothing to do.")
    if arrived.new:
        first = arrived.new[0]
        line = next_command("runs", "show", first.run_id[:8], runs_dir=arrived.runs_dir)
        terminal.note(f"{counted(len(arrived.new), 'run')} added. Look at one: {line}")


def tell_pushed(terminal: Terminal, pushed: Sequence[PushedRun], where: str) -> None:
    """Print the pushed runs; or the JSON document."""
    if terminal.json:
        runs = [
            {"run_id": x.ledger.run_id, "run_name": x.ledger.run_name, "id_there": x.run_id, "sent": x.sent}
            for x in pushed
        ]
        terminal.document({"status": "OK", "to": where, "runs": runs})
        return
    sent = [x for x in pushed if x.sent != "there"]
    there = len(pushed) - len(sent)
    beside = f"; {counted(there, 'run')} {'was' if there == 1 else 'were'} there already" if there else ""
    terminal.note(f"{counted(len(sent), 'run')} pushed to {where}{beside}")

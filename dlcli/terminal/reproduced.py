"""Show the comparison of a run with its repetition."""

from __future__ import annotations

from dlcli.comparison.reproduction import Reproduction
from dlcli.result import Result
from dlcli.terminal.console import Terminal
from dlcli.terminal.outcome import tell_outcome


def tell_reproduction(terminal: Terminal, result: Result, found: Reproduction) -> None:
    """Print the new run's result and the comparison; or the JSON document."""
    if terminal.json:
        terminal.document({**result.to_json(), "reproduction": found.to_json()})
        return
    tell_outcome(terminal, result, False)
    terminal.note(f"Compared with {found.run_name} ({found.run_id[:8]}):")
    for sentence in found.verdict:
        terminal.sentence(f"  {sentence}")
    if found.differences and (changed := [*(found.code or ()), *found.environment]):
        what = "; ".join(change.words() for change in changed[:10])
        terminal.sentence(f"  What differs otherwise: {what}.")

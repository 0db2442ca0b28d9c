"""`dlcli doctor`."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby

import typer

from dlcli.cli.common import Json, RunsDir, session


def doctor(runs_dir: RunsDir = None, json: Json = False) -> None:
    """Examine this machine: versions, accelerators, threads, the store, disk, and installed extras.

    The exit code is 1 if something prevents dlcli from working.
    """
    with session(json) as terminal:
        from dlcli.checks.machine import examine
        from dlcli.runner import runs_directory

        findings = list(examine(runs_directory(runs_dir)))
        works = all(finding.state != "wrong" for finding in findings)
        if json:
            status = "OK" if works else "FAILED"
            terminal.document({"status": status, "findings": [asdict(finding) for finding in findings]})
        else:
            for topic, found in groupby(findings, lambda finding: finding.topic):
                terminal.panel(
                    topic,
                    {f.name: "  ".join(filter(None, [_mark(f.state) + f.found, f.hint])) for f in found},
                )
            terminal.note(
                "dlcli works on this machine."
                if works
                else "Something prevents dlcli from working: see above."
            )
        if not works:
            raise typer.Exit(1)


def _mark(state: str) -> str:
    return {"fine": "", "doubtful": "? ", "wrong": "! "}[state]

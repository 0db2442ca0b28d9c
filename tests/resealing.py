"""Recompute the digests of a changed run, as an attacker could: for tests of the remaining protection."""

from __future__ import annotations

import json
from pathlib import Path

from dlcli.tracking.digests import digest
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.manifest import MANIFEST_FILE


def reseal(run_dir: Path) -> None:
    """Let the digests of a run, its model and its checkpoints be those of the files as they are."""
    for folder in (run_dir / "model", run_dir / "checkpoints"):
        if (folder / MANIFEST_FILE).exists():
            document = json.loads((folder / MANIFEST_FILE).read_text())
            there = [name for name in document["sha256"] if (folder / name).exists()]
            document["sha256"] = {name: [digest((folder / name).read_bytes())] for name in there}
            (folder / MANIFEST_FILE).write_text(json.dumps(document))
    document = json.loads((run_dir / "ledger.json").read_text())
    recorded, document["digests"] = document["digests"], None
    (run_dir / "ledger.json").write_text(json.dumps(document))
    code = [path.relative_to(run_dir).as_posix() for path in run_dir.glob("code/**/*.py")]
    names = [name for name in (*recorded, *code, "conf_dirs.txt") if (run_dir / name).exists()]
    digests = {name: [digest((run_dir / name).read_bytes())] for name in names if name != "ledger.json"}
    Ledger.load(run_dir).update(digests=digests)

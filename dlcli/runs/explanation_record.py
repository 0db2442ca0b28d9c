"""`explanation.json` in a run's folder: the result of `dlcli explain`, for `dlcli report`.

It has no digest, since it is written after the run; its content is therefore treated as untrusted text and numbers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.files.disk import write_errors
from dlcli.gate.documents import read_text
from dlcli.tracking.ledger import Ledger, atomic_write

EXPLANATION_FILE = "explanation.json"
SALIENCY_PICTURE = "saliency"

_BYTES = 8 << 20


def results_digest(ledger: Ledger) -> str:
    """Return a digest of a run's metrics, which change when it is resumed."""
    return hashlib.sha256(json.dumps(sorted(ledger.metrics.items())).encode()).hexdigest()[:16]


def write_explanation(ledger: Ledger, document: Mapping[str, Any]) -> Path:
    """Write the file atomically, and return it."""
    file = ledger.run_dir / EXPLANATION_FILE
    with write_errors(file):
        atomic_write(file, json.dumps({**document, "of_results": results_digest(ledger)}, indent=1))
    return file


def read_explanation(ledger: Ledger) -> dict[str, Any] | None:
    """Return the content of the file; None if the run has not been explained.

    Raises:
        CorruptRun: The file is a link, too large, or not a JSON object.
    """
    file = ledger.run_dir / EXPLANATION_FILE
    if file.is_symlink():  # it may lead to a private file
        raise _damaged(file, "is a link")
    if not file.exists():
        return None
    text = read_text(file, _BYTES, "the explanation")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _damaged(file, "is not JSON") from error
    if not isinstance(found, dict):
        raise _damaged(file, "is not an object")
    return found


def _damaged(file: Path, why: str) -> CorruptRun:
    return CorruptRun(f"the explanation {why}", str(file), "Remove it; dlcli explain writes it again.")

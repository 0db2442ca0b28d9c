"""The ledger: what a run is and how far it got, as JSON that is never half written.

`ledger.json` in a run's folder is the truth; MLflow is a projection of it. Only the process that records a run
writes its ledger.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from dlcli.errors import CorruptRun
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import sweep, unfinished
from dlcli.gate.documents import read_json
from dlcli.sanitize.redact import redact_all
from dlcli.tracking.connection import DATABASE, default_store, sqlite_file

SCHEMA_VERSION = 2
LEDGER_FILE = "ledger.json"

# Parts of paths: what a folder says must lead to no other one.
_ID = re.compile(r"[\w-]+")

Kind = Literal["run", "cv", "fold", "sweep", "trial", "refit"]
Status = Literal["SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED"]


def atomic_write(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace `path` by `content` so that a reader sees the old or the new file, whatever happens meanwhile.

    Raises DiskFull where there is no room (the old file stays) and InputError where the folder cannot be
    written. `durable=False` leaves out the fsync: enough against a kill, not against a power cut. The folder is made
    where it is missing, but none above it: a runs folder that was moved away meanwhile is not made again.
    """
    data = content.encode() if isinstance(content, str) else content
    with write_errors(path.parent):
        path.parent.mkdir(exist_ok=True)
        sweep(path.parent)
        with unfinished(path) as temporary:
            with temporary.open("wb", buffering=0) as file:
                view = memoryview(data)
                while view:  # a disk that fills up writes the part that fits, and only then refuses
                    view = view[file.write(view) :]
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)


def encode_number(value: float) -> float | str:
    """A number as strict JSON, which has no word for NaN and infinities: strings, which `float` reads."""
    value = float(value)
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")


def now() -> str:
    """The time as the ledger writes it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_ms(timestamp: str) -> int:
    """A ledger's time as MLflow wants it: milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


@dataclass
class Ledger:
    """One run's ledger.

    `artifact_uri` is null where the run's folder is the artifact folder, and `tracking_uri` where the store is that of
    the runs folder: neither says where the folder lies, so that it can be moved. `projected` says what MLflow has
    already. `token` names the run from before it had an ID. `former_runs_dir` is where a run's folder lay that was
    recorded by schema 1, whose `config.yaml` does not say so. `digests` has those of the folder's files
    (`dlcli.tracking.digests`); null where the run began without any.
    """

    run_dir: Path
    run_id: str
    run_name: str
    experiment: str
    kind: Kind
    token: str
    tracking_uri: str | None = None
    parent_id: str | None = None
    artifact_uri: str | None = None
    status: Status = "SCHEDULED"
    created_at: str = field(default_factory=now)
    started_at: str | None = None
    ended_at: str | None = None
    pid: int | None = None
    host: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    projected: dict[str, Any] = field(default_factory=dict)
    former_runs_dir: str | None = None
    digests: dict[str, list[str]] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @classmethod
    def load(cls, run_dir: Path) -> Ledger:
        """Read a run's ledger; raises CorruptRun where it is missing, damaged, or newer than this dlcli."""
        path = run_dir / LEDGER_FILE
        document = read_json(path, "the run's ledger")
        version = document.pop("schema_version", None)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            hint = "Install a newer dlcli to read it."
            raise CorruptRun(f"written by a newer dlcli (ledger schema {version})", str(path), hint)
        digests = document.get("digests")
        own = digests.pop(LEDGER_FILE, None) if isinstance(digests, dict) else None
        if isinstance(digests, dict) and version != 1 and own != [_digest(document)]:
            hint = "Copy the folder anew, or take it from a backup."
            raise CorruptRun(
                "the run's ledger is not as it was written: its SHA-256 differs", str(path), hint
            )
        if version == 1:
            _without_its_place(document)
        known = {f.name: f for f in fields(cls) if f.name != "run_dir"}
        kept = {name: value for name, value in document.items() if name in known}
        wrong = [name for name, value in kept.items() if not _is(value, str(known[name].type))]
        wrong += [
            name for name in ("run_id", "token", "parent_id") if not _ID.fullmatch(str(kept.get(name) or "-"))
        ]
        try:
            if not isinstance(version, int) or wrong:
                raise ValueError(f"{', '.join(wrong) or 'schema_version'} is not what it must be")
            kept["metrics"] = {str(k): float(v) for k, v in document["metrics"].items()}
            return cls(run_dir=run_dir, **kept)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            hint = "Copy the folder anew, or take it from a backup."
            raise CorruptRun("the run's ledger lacks what it must have", str(path), hint) from error

    @property
    def runs_dir(self) -> Path:
        """The folder of all runs in which this one lies: its folder is RUNS_DIR/EXPERIMENT/RUN_ID/artifacts."""
        above = self.run_dir.parents
        return above[min(2, len(above) - 1)]

    @property
    def is_in_place(self) -> bool:
        """Whether the folder lies as one of a runs folder does; a copy of it alone can be read, not gone on with."""
        return self.run_dir.name == "artifacts" and self.run_dir.parent.name == self.run_id

    def sibling(self, run_id: str) -> Path:
        """The folder of another run of the same experiment. Raises CorruptRun where the ID could not be one."""
        if not _ID.fullmatch(str(run_id)):
            hint = "Take the folder from a backup."
            raise CorruptRun(
                f"the run's ledger names no run: {run_id!r}", str(self.run_dir / LEDGER_FILE), hint
            )
        return self.run_dir.parents[1] / run_id / "artifacts"

    @property
    def store_uri(self) -> str:
        """The store, without a password."""
        return self.tracking_uri or default_store(self.runs_dir)

    def update(self, *, durable: bool = True, **changes: Any) -> None:
        """Set fields and write the file. Fields keep their new values even where the disk refuses."""
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, value)
            atomic_write(self.run_dir / LEDGER_FILE, self._to_json(), durable=durable)

    def add_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags and write the file."""
        self.update(tags={**self.tags, **tags})

    @property
    def unfinished(self) -> bool:
        """Whether the run has no end yet."""
        return self.status in ("SCHEDULED", "RUNNING")

    @property
    def seconds(self) -> float:
        """From where it was last begun to its end; 0 where it has not ended, or was never begun."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return (to_ms(self.ended_at) - to_ms(self.started_at)) / 1000

    def _to_json(self) -> str:
        document = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "run_dir"}
        document["metrics"] = {k: encode_number(v) for k, v in self.metrics.items()}
        document["result"] = redact_all(self.result)
        if self.digests is not None:
            document["digests"] = {**self.digests, LEDGER_FILE: [_digest(document)]}
        return json.dumps({"schema_version": SCHEMA_VERSION, **document}, indent=2, default=str) + "\n"


def _without_its_place(document: dict[str, Any]) -> None:
    """Schema 1 had absolute paths: that of the runs folder, and that of the store in it."""
    document["former_runs_dir"] = former = document.pop("runs_dir", None)
    uri = document.get("tracking_uri")
    file = sqlite_file(uri) if isinstance(uri, str) else None
    if file is not None and isinstance(former, str) and file == Path(former) / DATABASE:
        document["tracking_uri"] = None


def _is(value: Any, kind: str) -> bool:
    """Whether a value of the document is of a field's type, such as `str | None`."""
    if value is None:
        return kind.endswith("| None")
    if kind in ("Kind", "Status"):
        return value in get_args(Kind if kind == "Kind" else Status)
    if kind.startswith("dict"):
        return isinstance(value, dict)
    return isinstance(value, int if kind.startswith("int") else str)


def _digest(document: Mapping[str, Any]) -> str:
    """That of a ledger's content, without itself: one flipped bit would change a figure."""
    return hashlib.sha256(json.dumps(document, default=str).encode()).hexdigest()

"""The ledger: identity, state and results of a run, as JSON that is written atomically.

`ledger.json` in a run's folder is authoritative; MLflow is a projection of it. Only the process that records a run
writes its ledger.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from dlcli.errors import CorruptRun
from dlcli.files.disk import write_errors
from dlcli.files.file_state import file_state
from dlcli.files.unfinished import replace_atomically
from dlcli.gate.documents import read_json
from dlcli.sanitize.redact import redact_all, redact_texts
from dlcli.tracking.connection import DATABASE, default_store, sqlite_file
from dlcli.tracking.ledger_shape import invalid_fields

SCHEMA_VERSION = 2
LEDGER_FILE = "ledger.json"

# IDs are used in paths, and must not lead to another folder.
_ID = re.compile(r"[\w-]+")

_encode = json.JSONEncoder(default=str).encode

# Path to the number of times that this process has written it: the clock of a file system may be too coarse to tell.
_writes: dict[Path, int] = {}

Kind = Literal["run", "cv", "fold", "sweep", "trial", "refit", "ensemble"]
Status = Literal["SCHEDULED", "RUNNING", "FINISHED", "FAILED", "KILLED"]


def atomic_write(path: Path, content: bytes | str, *, durable: bool = True) -> None:
    """Replace a file atomically: a reader sees the old or the new content, also after a kill.

    A missing folder of the file is created, but not its parents, since a runs folder that was moved away must not be
    created again.

    Args:
        path: path of the file.
        content: the new content.
        durable: whether to call fsync, without which a power failure (not a kill) may lose the change.

    Raises:
        DiskFull: There is no space left; the old file is kept.
        InputError: The folder is not writable.
    """
    data = content.encode() if isinstance(content, str) else content
    with write_errors(path.parent):
        try:
            replace_atomically(path, data, durable=durable)
        except FileNotFoundError:
            path.parent.mkdir(exist_ok=True)
            replace_atomically(path, data, durable=durable)


def write_new(path: Path, content: bytes | str) -> None:
    """Write a new file, which a kill may leave incomplete.

    Raises:
        DiskFull: There is no space left.
        InputError: The file exists, or the folder is not writable.
    """
    with write_errors(path.parent), path.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def encode_number(value: float) -> float | str:
    """Return a number for strict JSON: NaN and infinities become strings that `float` accepts."""
    value = float(value)
    return value if math.isfinite(value) else {"nan": "NaN", "inf": "Infinity"}.get(str(value), "-Infinity")


def now() -> str:
    """Return the current time in the ledger's format: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def to_ms(timestamp: str) -> int:
    """Convert a ledger's time to MLflow's: milliseconds since 1970."""
    return round(datetime.fromisoformat(timestamp).timestamp() * 1000)


@dataclass
class Ledger:
    """The ledger of one run.

    Attributes:
        run_dir: the run's folder; not written to the file.
        run_id: ID of the run.
        run_name: name of the run.
        experiment: name of the experiment.
        kind: kind of run.
        token: identifies the run before it has an ID.
        tracking_uri: address of the store; None for the store of the runs folder, so that the folder can be moved.
        parent_id: ID of the parent run.
        artifact_uri: location of the artifacts in MLflow; None for the run's folder, so that it can be moved.
        status: status of the run.
        created_at: time of creation.
        started_at: time of the last start or resumption.
        ended_at: time of the end.
        earlier_s: seconds of the calls before the last start, if the run was resumed.
        pid: process ID of the recording process.
        host: name of its machine.
        metrics: final metrics.
        tags: tags.
        error: why the run failed.
        result: further results.
        about: description of data and model for users: `panel` (label to text), `profile` of the data, `warnings`, and
            for an ensemble the `words` of its command.
        projected: progress of the projection to MLflow.
        former_runs_dir: the recorded runs folder of a run of schema 1, whose `config.yaml` does not contain it.
        digests: digests of the folder's files (`dlcli.tracking.digests`); None for runs of versions without digests.
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
    earlier_s: float = 0.0
    pid: int | None = None
    host: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    result: dict[str, Any] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    projected: dict[str, Any] = field(default_factory=dict)
    former_runs_dir: str | None = None
    digests: dict[str, list[str]] | None = None

    def __post_init__(self) -> None:
        self._lock = threading.Lock()

    @classmethod
    def load(cls, run_dir: Path) -> Ledger:
        """Read a run's ledger; raises CorruptRun if it is missing, damaged, or newer than this dlcli."""
        path = run_dir / LEDGER_FILE
        if (state := file_state(path)) is None:
            return cls(run_dir=run_dir, **cls._read(path))
        return cls(run_dir=run_dir, **json.loads(_read_once(path, (*state, _writes.get(path, 0)))))

    @classmethod
    def _read(cls, path: Path) -> dict[str, Any]:
        """Return the fields in a ledger's file; raises CorruptRun as `load` does."""
        document = read_json(path, "the run's ledger")
        version = document.pop("schema_version", None)
        if isinstance(version, int) and version > SCHEMA_VERSION:
            hint = "Install a newer version of dlcli."
            raise CorruptRun(f"written by a newer dlcli (ledger schema {version})", str(path), hint)
        digests = document.get("digests")
        own = digests.pop(LEDGER_FILE, None) if isinstance(digests, dict) else None
        # Ledgers of schema 1 have no digests; with digests, the version was changed.
        if isinstance(digests, dict) and (version == 1 or own != [_digest(document)]):
            hint = "Copy the folder again, or restore it from a backup."
            raise CorruptRun("the run's ledger was changed: SHA-256 mismatch", str(path), hint)
        if version == 1:
            _remove_location(document)
        known = {f.name: f for f in fields(cls) if f.name != "run_dir"}
        kept = {name: value for name, value in document.items() if name in known}
        wrong = [name for name, value in kept.items() if not _is(value, str(known[name].type))]
        wrong += [
            name
            for name in ("run_id", "token", "parent_id")
            if kept.get(name) is not None and not _ID.fullmatch(str(kept[name]))
        ]
        wrong += [] if wrong else invalid_fields(document)
        try:
            if not isinstance(version, int) or wrong:
                raise ValueError(f"{', '.join(wrong) or 'schema_version'} is invalid")
            kept["metrics"] = {str(k): float(v) for k, v in document["metrics"].items()}
            cls(run_dir=path.parent, **kept)  # a TypeError for a missing field
            return kept
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            hint = "Copy the folder again, or restore it from a backup."
            which = f": {', '.join(wrong)}" if wrong else ""
            raise CorruptRun(f"the run's ledger is invalid{which}", str(path), hint) from error

    @property
    def runs_dir(self) -> Path:
        """The runs folder: a run's folder is RUNS_DIR/EXPERIMENT/RUN_ID/artifacts."""
        above = self.run_dir.parents
        return above[min(2, len(above) - 1)]

    @property
    def is_in_place(self) -> bool:
        """Whether the folder is at its place in a runs folder; otherwise the run can be read, but not resumed."""
        return self.run_dir.name == "artifacts" and self.run_dir.parent.name == self.run_id

    def sibling(self, run_id: str) -> Path:
        """Return the folder of another run of the same experiment; raises CorruptRun if the ID is invalid."""
        if not _ID.fullmatch(str(run_id)):
            hint = "Restore the folder from a backup."
            raise CorruptRun(
                f"the run's ledger contains an invalid run ID: {run_id!r}",
                str(self.run_dir / LEDGER_FILE),
                hint,
            )
        return self.run_dir.parents[1] / run_id / "artifacts"

    @property
    def store_uri(self) -> str:
        """Address of the store, without a password."""
        return self.tracking_uri or default_store(self.runs_dir)

    def update(self, *, durable: bool = True, **changes: Any) -> None:
        """Set fields and write the file. The fields keep their new values even if writing fails."""
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, value)
            path = self.run_dir / LEDGER_FILE
            _writes[path] = _writes.get(path, 0) + 1
            atomic_write(path, self._to_json(), durable=durable)

    def set(self, **changes: Any) -> None:
        """Set fields, which the next `update` writes."""
        with self._lock:
            for name, value in changes.items():
                setattr(self, name, value)

    def snapshot(self) -> Ledger:
        """Return a consistent copy of the fields, for a thread that reads while another thread updates."""
        with self._lock:
            return copy.copy(self)

    def add_tags(self, tags: Mapping[str, str], *, durable: bool = True) -> None:
        """Set tags and write the file."""
        self.update(durable=durable, tags={**self.tags, **tags})

    @property
    def unfinished(self) -> bool:
        """Whether the run has not ended."""
        return self.status in ("SCHEDULED", "RUNNING")

    @property
    def seconds(self) -> float:
        """Seconds from the last start to the end; 0 before the end, or if the clock was set back."""
        if self.started_at is None or self.ended_at is None:
            return 0.0
        return max(0.0, (to_ms(self.ended_at) - to_ms(self.started_at)) / 1000)

    def _to_json(self) -> str:
        document = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "run_dir"}
        document["metrics"] = {k: encode_number(v) for k, v in self.metrics.items()}
        document["result"] = redact_all(self.result)
        # Keys in the profile are names of columns and classes, not of settings.
        named, profile = {**self.about}, self.about.get("profile")
        named.pop("profile", None)
        document["about"] = redact_all(named) | (
            {"profile": redact_texts(profile)} if profile is not None else {}
        )
        if self.digests is not None:
            document["digests"] = {**self.digests, LEDGER_FILE: [_digest(document)]}
        return _lines({"schema_version": SCHEMA_VERSION, **document}) + "\n"


@lru_cache(maxsize=64)  # a dozen readers want the ledger of a trial while it lives
def _read_once(path: Path, state: tuple[int, ...]) -> str:
    """Return the fields as JSON, since results that users receive hold the dictionaries that are made of it."""
    return json.dumps(Ledger._read(path))


def _remove_location(document: dict[str, Any]) -> None:
    """Remove the absolute paths of the runs folder and of the store in it, which schema 1 contained."""
    document["former_runs_dir"] = former = document.pop("runs_dir", None)
    uri = document.get("tracking_uri")
    file = sqlite_file(uri) if isinstance(uri, str) else None
    if file is not None and isinstance(former, str) and file == Path(former) / DATABASE:
        document["tracking_uri"] = None


def _is(value: Any, kind: str) -> bool:
    """Return whether a value of the document has the type of a field, such as `str | None`."""
    if value is None:
        return kind.endswith("| None")
    if kind in ("Kind", "Status"):
        return value in get_args(Kind if kind == "Kind" else Status)
    if kind.startswith("dict"):
        return isinstance(value, dict)
    if kind == "float":
        return isinstance(value, int | float) and math.isfinite(value) and value >= 0
    return isinstance(value, int if kind.startswith("int") else str)


def _digest(document: Mapping[str, Any]) -> str:
    """Return the digest of a ledger's content, which detects a flipped bit in a metric, for example."""
    return hashlib.sha256(_encode(document).encode()).hexdigest()


def _lines(document: Mapping[str, Any], depth: int = 0) -> str:
    """Return a document as JSON with one line for each field and for each entry of a field.

    `json.dumps(indent=2)` takes several times as long, because its encoder is written in Python.
    """
    pad = "  " * (depth + 1)

    def text(value: Any) -> str:
        return _lines(value, depth + 1) if value and isinstance(value, dict) and not depth else _encode(value)

    entries = ",\n".join(f"{pad}{_encode(name)}: {text(value)}" for name, value in document.items())
    return f"{{\n{entries}\n{pad[2:]}}}"

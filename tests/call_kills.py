"""SIGKILL within the n-th system call, resume, and compare: `python -m tests.call_kills train,refit 20`.

The kinds are train, refit, folds, sweep, predict, export, evaluate and tag; without arguments, each of them 10 times.
In turn, the command and its child process are killed, or the child only. A run that is resumed must end
with the metrics and weights of an uninterrupted one, a file must be as if it were written the first time, and
nothing half made may be left.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from dlcli.process import supervision
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from tests.processes import run, start
from tests.store_kills import half_made

_CALLS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate", "fcntl.flock")
_TABLE = ["dataset=table", "dataset.path=rows.csv", "dataset.target=y", "run_name=victim", "callbacks=none"]
_NET = [*_TABLE, "model=mlp", "model.hidden=4", "model.dropout=0.2", "trainer.accelerator=cpu"]
_SHORT = [*_NET, "trainer.max_epochs=3"]  # checkpoints are held back, as in any short run


@dataclass(frozen=True)
class Kind:
    """A command that is killed, and the command that goes on after it. A prepared run is there before."""

    words: Sequence[str]
    again: Sequence[str]
    prepared: bool = False
    output: str | None = None


def _twice(words: Sequence[str], output: str | None = None) -> Kind:
    """Return the kind of a command on the prepared run that is repeated after the kill."""
    return Kind(words, words, prepared=True, output=output)


KINDS = {
    "train": Kind(["train", *_SHORT], ["resume", "victim"]),
    "refit": Kind(["train", *_SHORT, "cv.refit=true"], ["resume", "victim"]),
    "folds": Kind(["train", *_SHORT, "cv=kfold", "cv.folds=2", "cv.refit=true"], ["resume", "victim"]),
    "sweep": Kind(
        ["sweep", *_SHORT, "optimizer.lr=0.01,0.1", "sweep.sampler.startup_trials=2"], ["resume", "victim"]
    ),
    "predict": _twice(["predict", "victim", "rows.csv", "--output", "out.csv"], "out.csv"),
    "export": _twice(["export", "victim", "--output", "out.pt2"], "out.pt2.json"),
    "evaluate": _twice(["eval", "victim", "--file", "rows.csv", "--json"]),
    "tag": _twice(["runs", "tag", "victim", "team=red"]),
}


def _watch(place: Path, moment: int, alone: bool) -> None:
    """Note each call that touches the folder, and die within the n-th; `alone` spares the supervising parent."""
    calls = count(1)

    def look(event: str, arguments: tuple[object, ...]) -> None:
        path = str(arguments[0]) if arguments else ""
        if event not in _CALLS or not (event == "fcntl.flock" or path.startswith(f"{place}/")):
            return
        number = next(calls)
        if moment == 0:
            (place.parent / f"{place.name}.count").write_text(str(number))
        elif number == moment:
            (place.parent / f"{place.name}.moment").write_text(f"{event} {path}")
            if supervision._line is not None and not alone:
                os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)


def _folder(base: Path, name: str, kind: Kind, made: Path | None) -> Path:
    place = base / name
    place.mkdir()
    draw = random.Random(0)
    rows = (f"{draw.random():.3f},{draw.choice('pqr')},{draw.choice('uv')}\n" for _ in range(60))
    (place / "rows.csv").write_text("a,b,y\n" + "".join(rows))
    if kind.prepared and made is not None:
        shutil.copytree(made / "runs", place / "runs", symlinks=True)
        run(["runs"], place)
        run(
            ["compare", "victim", "other"], place
        )  # moves the store's addresses, which no kill shall fall into
    return place


def result(place: Path, kind: Kind) -> Any:
    """Return what a command has made, without what differs between two runs."""
    if kind.output:
        text = (place / kind.output).read_text()
        return (
            {k: v for k, v in json.loads(text).items() if k in ("inputs", "outputs")}
            if "{" in text[:1]
            else text
        )
    found = [Ledger.load(file.parent) for file in (place / "runs").glob(f"*/*/artifacts/{LEDGER_FILE}")]
    assert {ledger.status for ledger in found} <= {"FINISHED"}, [(x.kind, x.status) for x in found]
    times = ("latency", "system/", "time")
    return sorted(
        (
            ledger.kind,
            ledger.tags.get("team", ""),
            sorted((k, v) for k, v in ledger.metrics.items() if not any(word in k for word in times)),
            _bytes(ledger.run_dir / "model" / "weights.safetensors"),
        )
        for ledger in found
    )


def _bytes(file: Path) -> bytes:
    return file.read_bytes() if file.exists() else b""


def untouched(base: Path, name: str, kind: Kind, made: Path | None) -> tuple[Any, int]:
    """Return the result of an uninterrupted command, and its number of calls."""
    place = _folder(base, name, kind, made)
    process = start(kind.words, place, partial(_watch, place, 0, False))
    _, err = process.communicate()
    assert process.returncode == 0, err
    return result(place, kind), int((base / f"{name}.count").read_text())


def kill_and_go_on(
    base: Path, name: str, kind: Kind, made: Path | None, reference: Any, moment: int, alone: bool
) -> str:
    """Kill at a moment, go on and compare; returns what was going on."""
    place = _folder(base, name, kind, made)
    process = start(kind.words, place, partial(_watch, place, moment, alone))
    process.communicate()
    noted = place.parent / f"{name}.moment"
    what = _about(place, noted.read_text()) if noted.exists() else "not killed"
    there = [Ledger.load(file.parent) for file in (place / "runs").glob(f"*/*/artifacts/{LEDGER_FILE}")]
    is_known = kind.prepared or any(ledger.run_name == "victim" for ledger in there)
    again = list(kind.again) if is_known else list(kind.words)
    if again[0] == "resume" and all(ledger.status == "FINISHED" for ledger in there):
        again = ["eval", "victim"]  # it was done
    done = run(again, place)
    assert done.returncode == 0, (what, again, done.stdout, done.stderr)
    assert result(place, kind) == reference, what
    left = [*half_made(place / "runs"), *place.glob(".*.tmp")]
    assert not left, (what, left)
    shutil.rmtree(place)
    return what


def _about(place: Path, noted: str) -> str:
    """Return what a killed command was doing, from the file that it touched and the runs that had not ended."""
    running = {
        ledger.kind
        for file in (place / "runs").glob(f"*/*/artifacts/{LEDGER_FILE}")
        if (ledger := Ledger.load(file.parent)).status == "RUNNING"
    }
    kind = next((kind for kind in ("refit", "fold", "trial", "run", "cv", "sweep") if kind in running), "")
    path = noted.partition(" ")[2]
    parts = {
        "checkpoints": "checkpoint",
        "metrics.jsonl": "epoch",
        "model": "end",
        "plots": "end",
        "mlflow.db": "store",
    }
    names = Path(path).parts
    part = next((what for name, what in parts.items() if any(n.startswith(name) for n in names)), "record")
    return f"{kind or 'no run'}: {part}"


def main() -> None:
    names = sys.argv[1].split(",") if len(sys.argv) > 1 else list(KINDS)
    number = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    chance = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    table: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        made = _folder(base, "made", KINDS["train"], None)
        if any(KINDS[name].prepared for name in names):
            for run_name in ("victim", "other"):
                done = run(["train", *_SHORT, f"run_name={run_name}"], made)
                assert done.returncode == 0, done.stderr
        for name in names:
            kind = KINDS[name]
            reference, calls = untouched(base, f"{name}-0", kind, made)
            for turn in range(1, number + 1):
                moment = chance.randint(1, calls)
                what = kill_and_go_on(base, f"{name}-{turn}", kind, made, reference, moment, turn % 3 == 0)
                table[f"{name}, {what}"] += 1
                print(f"{name} {turn}/{number}: call {moment} of {calls} ({what}): the same end", flush=True)
    for what, times in sorted(table.items()):
        print(f"| {what} | {times} | {times} |")


if __name__ == "__main__":
    main()

"""Whole processes of dlcli beside what users of other libraries would write for the same work, in pairs.

CPU and wall time count imports and all child processes. `make bench ARGS=peers` measures every row and writes the table
in docs/examples-and-measurements.md; `ARGS="peers decode step"` measures some rows, `ARGS="peers ten_folds.loop"` a
row beside one peer, and `ARGS="peers 5 decode"` takes 5 pairs of each instead of 3. Lines that are not measured anew
remain. Keras, skorch and Ludwig are installed with pip into environments of their own in `runs/bench-peers`, where the
data lies as well; a peer that cannot be installed is left out, and the reason is printed. BENCH_THREADS is the number
of threads, by default 1.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from bench import _budget as budget
from bench._budget import Figures, Limit, Pair, Verdict
from bench._docs_table import Line, replaced
from bench._environments import NotInstalled
from bench._peer_data import NoData, made
from bench._rows import OWN, ROWS, Peer, Row
from bench._whole import ProcessFailed, whole
from dlcli.formatting import counted

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "runs" / "bench-peers"
PAGE = ROOT / "docs" / "examples-and-measurements.md"
WARM_UP = "import torch, pytorch_lightning, mlflow"
"""What a first process reads, so that no measured one reads it from the disk."""
REASONS = (NotInstalled, NoData, ProcessFailed)
"""Why a peer or a row is left out."""


def main(*words: str) -> None:
    numbers = [int(word) for word in words if word.isdecimal()]
    rows = chosen([word for word in words if not word.isdecimal()])
    print(conditions())
    for row in rows:
        lines = list(measured(row, numbers[-1] if numbers else budget.PAIRS))
        for line in lines:
            print(line, flush=True)
        order = [(one.work, peer.label) for one in ROWS for peer in one.peers]
        PAGE.write_text(replaced(PAGE.read_text(), order, lines))
    print(f"written into {PAGE.relative_to(ROOT)}")


def check(*words: str) -> int:
    """Compare rows with the budget, by default those that are quick; return 1 if one is slower or fails, else 0."""
    limits = budget.read_budget(budget.FILE.read_text())
    pairs = [(row, peer) for row in chosen(words) for peer in row.peers if words or peer.name == row.quick]
    print(conditions(), flush=True)
    started, failed = time.monotonic(), []
    for row, peer in pairs:
        name = f"{row.name}.{peer.name}"
        if name not in limits:
            print(f"{name:20}left out: {budget.FILE.name} has no [{name}]")
            continue
        try:
            verdict, sentence = checked(row, peer, limits[name])
        except (NotInstalled, NoData) as error:
            print(f"{name:20}left out: {error}")
            continue
        except ProcessFailed as error:
            verdict, sentence = Verdict.FAILED, str(error)
        failed += [name] if verdict is not Verdict.WITHIN else []
        print(f"{name:20}{verdict.value:8}{sentence}", flush=True)
    took = f"{counted(len(pairs), 'row')} in {time.monotonic() - started:.0f} s"
    print(f"{took}; slower than the budget, or failed: {', '.join(failed) or 'none'}")
    return int(bool(failed))


def checked(row: Row, peer: Peer, limit: Limit) -> tuple[Verdict, str]:
    """Measure pairs until the limit can be judged."""
    pairs: list[Pair] = []
    with Place() as place:
        while True:
            ours, theirs = place.time(Peer("dlcli", "", row.words, OWN, row.less)), place.time(peer)
            pairs.append((ours, theirs))
            ratios = budget.ratios(pairs, limit.clock)
            if (verdict := limit.verdict(ratios)) is not Verdict.AGAIN:
                return verdict, limit.told(ratios)


def measured(row: Row, pairs: int) -> Iterator[Line]:
    """Measure dlcli and all peers of a row in turn, and yield a line for each peer.

    A peer that fails is left out from then on, with the reason.
    """
    ours: list[Figures] = []
    theirs: dict[str, list[Figures]] = {peer.name: [] for peer in row.peers}
    versions, loads = {}, []
    with Place() as place:
        for number in range(pairs):
            loads.append(os.getloadavg()[0])
            try:
                ours.append(place.time(Peer("dlcli", "", row.words, OWN, row.less)))
            except REASONS as error:
                print(f"{row.name} left out: {error}")
                return
            for peer in [peer for peer in row.peers if peer.name in theirs]:
                try:
                    theirs[peer.name].append(place.time(peer))
                    versions[peer.name] = peer.environment.versions(PLACE)
                except REASONS as error:
                    del theirs[peer.name]
                    print(f"{row.name}.{peer.name} left out: {error}")
            print(f"{row.name}: pair {number + 1} of {pairs}", file=sys.stderr, flush=True)
    for peer in row.peers:
        if peer.name in theirs:
            both = list(zip(ours, theirs[peer.name], strict=True))
            yield Line(row.work, peer.label, versions[peer.name], both, statistics.mean(loads))


class Place:
    """A folder that commands run in, removed at the end."""

    def __enter__(self) -> Place:
        PLACE.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(dir=PLACE, prefix="work-"))
        self._warm: set[str] = set()
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def time(self, peer: Peer) -> Figures:
        """Run a command, and the one that is subtracted from it; return the CPU and wall seconds.

        Raises:
            NotInstalled, NoData, ProcessFailed: there are no figures.
        """
        python = peer.environment.python(PLACE)
        if python not in self._warm:
            self._warm.add(python)
            whole([python, "-c", WARM_UP if python == sys.executable else ""], self._folder, threads())
        figures = self._run(python, peer.words)
        if peer.less:
            shorter = self._run(python, peer.less)
            figures = {clock: figures[clock] - shorter[clock] for clock in figures}
        return figures

    def _run(self, python: str, words: Sequence[str]) -> Figures:
        runs = Path(tempfile.mkdtemp(dir=self._folder, prefix="runs-"))
        names = {name for word in words for _, name, _, _ in string.Formatter().parse(word) if name}
        known = {"runs": runs, "work": self._folder, "scripts": Path(__file__).with_name("_scripts")}
        paths = {name: known[name] if name in known else made(name, PLACE) for name in names}
        environment = threads() | ({"PYTHONPATH": str(ROOT)} if python == sys.executable else {})
        figures = whole([python, *(word.format(**paths) for word in words)], self._folder, environment)
        shutil.rmtree(runs, ignore_errors=True)
        return figures


def threads() -> dict[str, str]:
    """Return the environment of a measured process: a fixed number of threads, and no settings of dlcli."""
    kept = {
        key: word for key, word in os.environ.items() if not key.startswith(("DLCLI_", "MLFLOW_", "PYTHON"))
    }
    count = os.environ.get("BENCH_THREADS", "1")
    return kept | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TF_CPP_MIN_LOG_LEVEL": "3"}


def chosen(names: Sequence[str]) -> list[Row]:
    """Return the rows of the names; `ROW.PEER` is a row with one of its peers."""
    known = {row.name: row for row in ROWS}
    known |= {f"{row.name}.{peer.name}": replace(row, peers=(peer,)) for row in ROWS for peer in row.peers}
    if wrong := [name for name in names if name not in known]:
        sys.exit(f"there is no row {wrong[0]}: {', '.join(known)}")
    return [known[name] for name in names] if names else list(ROWS)


def conditions() -> str:
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = "; the machine is busy: wall times are too long, and ratios vary more" if load > cores / 2 else ""
    count = os.environ.get("BENCH_THREADS", "1")
    threaded = f"{count} thread{'' if count == '1' else 's'}"
    python = f"Python {platform.python_version()}"
    return f"{platform.machine()}, {cores} cores, {threaded} a process, {python}, load {load:.1f}{busy}"

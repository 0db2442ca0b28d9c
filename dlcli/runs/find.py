"""RUN: from what a user calls a run to its folder."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from dlcli.errors import CorruptRun, RunNotFound, StoreError
from dlcli.files.paths import display, is_folder, typed
from dlcli.runs.fetch import fetch_run
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

_SHORTEST_PREFIX = 4
_SHOWN = 5


class Found(NamedTuple):
    """A run's folder (`.../artifacts`); `note` tells the user what was chosen where there was a choice."""

    run_dir: Path
    note: str = ""


def find_run(ref: str, runs_dir: Path) -> Found:
    """The run that a user means.

    `ref` is a folder's path (the run's, or its `artifacts`), `last`, `best` or `best:EXPERIMENT`, a run ID or its
    unique beginning, or a run's name, of which the newest counts. Folders on disk are looked at first; a run that is
    in the store alone is fetched from there. Raises RunNotFound, which names what is near.
    """
    runs_dir = runs_dir.resolve()
    if path := _folder(ref):
        return Found(path)
    damaged: list[str] = []
    ledgers = sorted(_ledgers(runs_dir, damaged), key=lambda ledger: ledger.created_at, reverse=True)
    if ref == "last":
        return _but_for(damaged, _last(ledgers, runs_dir))
    if ref == "best" or ref.startswith("best:"):
        return _but_for(damaged, _best(ref.removeprefix("best").removeprefix(":"), ledgers, runs_dir))
    matches = [ledger for ledger in ledgers if ledger.run_id == ref]
    if not matches and (named := [ledger for ledger in ledgers if ledger.run_name == ref]):
        note = (
            f"{len(named)} runs are called {ref}: the newest is {named[0].run_id}." if len(named) > 1 else ""
        )
        return Found(named[0].run_dir, note)
    if not matches and len(ref) >= _SHORTEST_PREFIX:
        matches = [ledger for ledger in ledgers if ledger.run_id.startswith(ref)]
    if len(matches) > 1:
        shown = ", ".join(f"{ledger.run_id[:12]} ({ledger.run_name})" for ledger in matches[:_SHOWN])
        raise RunNotFound(f"{len(matches)} runs begin with {ref}: {shown}", "RUN", "Give more of the ID.")
    if matches:
        return Found(matches[0].run_dir)
    hint = _near(ref, ledgers)
    if any(ledger.run_id.startswith(ref) for ledger in ledgers):
        hint = f"The beginning of an ID needs {_SHORTEST_PREFIX} characters."
    try:
        if fetched := fetch_run(ref, runs_dir):
            return Found(fetched, f"{ref} was fetched from the store.")
    except StoreError as error:
        hint = f"{hint} It may be in the store, but: {error.problems[0].message}.".strip()
    raise RunNotFound(f"there is no run {ref} in {display(runs_dir)}", "", hint)


def _folder(ref: str) -> Path | None:
    path = typed(ref)
    for folder in (path, path / "artifacts"):
        if (folder / LEDGER_FILE).is_file():
            return _in_its_runs_folder(folder)
    if is_folder(path) and ("/" in ref or ref.startswith(".")):
        below = [folder.parent.parent for folder in sorted(path.glob(f"**/artifacts/{LEDGER_FILE}"))]
        hint = f"Name one of the {len(below)} below it: {below[0]}" if below else ""
        raise RunNotFound("this folder is no run's", str(path), hint or f"A run's holds {LEDGER_FILE}.")
    return None


def _in_its_runs_folder(folder: Path) -> Path:
    """A run's folder with the true path of its runs folder: what that has links to below itself is in it."""
    whole = Path(os.path.abspath(folder))  # noqa: PTH100 - it keeps links
    if len(whole.parents) > 2 and whole.exists() and whole.samefile(folder):
        runs_dir = whole.parents[2]
        return runs_dir.resolve() / whole.relative_to(runs_dir)
    return folder.resolve()


def _but_for(damaged: Sequence[str], found: Found) -> Found:
    """Of runs that cannot be read nobody knows whether they are newer, or better."""
    if not damaged:
        return found
    return found._replace(note=f"{found.note} Left out, since its ledger is damaged: {', '.join(damaged)}")


def _ledgers(runs_dir: Path, damaged: list[str]) -> Iterator[Ledger]:
    for path in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"):
        try:
            yield Ledger.load(path.parent)
        except CorruptRun:  # one damaged folder must not hide the others; by its path it is named
            damaged.append(display(path.parent))


def _last(ledgers: list[Ledger], runs_dir: Path) -> Found:
    newest = next((ledger for ledger in ledgers if ledger.parent_id is None), None)
    if newest is None:
        raise RunNotFound("there is no run yet", str(runs_dir), "Start one: dlcli train")
    return Found(newest.run_dir, f"last is {newest.run_name} ({newest.run_id}).")


def _best(experiment: str, ledgers: list[Ledger], runs_dir: Path) -> Found:
    sweeps = [
        x
        for x in ledgers  # those within a cross-validation look for their fold alone
        if x.kind == "sweep" and x.parent_id is None and experiment in ("", x.experiment)
    ]
    if not sweeps:
        scope = f" in experiment {experiment}" if experiment else ""
        hint = "best is the best trial of a sweep; name the run itself, or last."
        raise RunNotFound(f"there is no sweep{scope}", str(runs_dir), hint)
    sweep = sweeps[0]
    # The refitted winner where there is one: it has seen more rows, and the final test rows are left for it.
    best = sweep.result.get("refit_run_id") or sweep.result.get("best_run_id")
    found = next((ledger for ledger in ledgers if ledger.run_id == best), None)
    if found is None:
        raise RunNotFound(f"the sweep {sweep.run_name} has no best trial yet", str(sweep.run_dir), "")
    return Found(found.run_dir, f"best of {sweep.run_name} is {found.run_name} ({found.run_id}).")


def _near(ref: str, ledgers: list[Ledger]) -> str:
    """Names and IDs that a user may have meant."""
    names = dict.fromkeys([ledger.run_name for ledger in ledgers] + [ledger.run_id for ledger in ledgers])
    near = (
        difflib.get_close_matches(ref, names, n=3) or [x.run_name for x in ledgers if ref in x.run_name][:3]
    )
    if near:
        return f"Did you mean {' or '.join(near)}?"
    newest = [ledger.run_name for ledger in ledgers if ledger.parent_id is None][:_SHOWN]
    return (
        f"The newest runs are {', '.join(newest)}."
        if newest
        else "There is no run yet. Start one: dlcli train"
    )

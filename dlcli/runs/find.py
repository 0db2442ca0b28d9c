"""Find the folder of a run by the user's reference RUN."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dlcli.config.next_command import next_command
from dlcli.errors import CorruptRun, RunNotFound, StoreError
from dlcli.files.paths import display, is_folder, kind_at, typed
from dlcli.formatting import shell_line
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.fetch import fetch_run
from dlcli.runs.registered_versions import ADDRESS, version_at
from dlcli.tracking.by_name import followed
from dlcli.tracking.ledger import LEDGER_FILE, Ledger
from dlcli.tracking.trash import TRASH

_SHORTEST_PREFIX = 4
_SHOWN = 5
_DEPTH = 5  # maximum depth of the search for runs below a folder


class FoundRun(NamedTuple):
    """A run's folder (`.../artifacts`); `note` tells the user which run was chosen if there were several."""

    run_dir: Path
    note: str = ""


def find_run(ref: str, runs_dir: Path, *, fetch: bool = True) -> FoundRun:
    """Find the run that a user refers to.

    Folders on disk are searched first; a run that is only in the store is fetched from there.

    Args:
        ref: path of the run's folder or of its `artifacts`, `last`, `best`, `best:EXPERIMENT`, a run ID or its unique
            beginning, a run's name, which stands for the newest run of that name, or a version of a registered model
            (`models:/NAME@ALIAS`, `models:/NAME/3`, or the newest of `models:/NAME`).
        runs_dir: the runs folder in use.
        fetch: whether to also look for the run in the store.

    Raises:
        RunNotFound: There is no such run, or there are several. The hint suggests similar names.
    """
    runs_dir = runs_dir.resolve()
    if ref.startswith(ADDRESS):
        return _registered(ref, runs_dir, fetch=fetch)
    if path := _folder(ref):
        return FoundRun(path)
    damaged: list[str] = []
    ledgers = sorted(_ledgers(runs_dir, damaged), key=lambda ledger: ledger.created_at, reverse=True)
    if ref == "last":
        return _without(damaged, _last(ledgers, runs_dir))
    if ref == "best" or ref.startswith("best:"):
        return _without(damaged, _best(ref.removeprefix("best").removeprefix(":"), ledgers, runs_dir))
    matches = [ledger for ledger in ledgers if ledger.run_id == ref]
    if not matches and (named := [ledger for ledger in ledgers if ledger.run_name == ref]):
        note = (
            f"{len(named)} runs are named {ref}: the newest is {named[0].run_id}." if len(named) > 1 else ""
        )
        return FoundRun(named[0].run_dir, note)
    if not matches and len(ref) >= _SHORTEST_PREFIX:
        matches = [ledger for ledger in ledgers if ledger.run_id.startswith(ref)]
    if len(matches) > 1:
        shown = ", ".join(f"{ledger.run_id[:12]} ({ledger.run_name})" for ledger in matches[:_SHOWN])
        raise RunNotFound(f"{len(matches)} run IDs begin with {ref}: {shown}", "RUN", "Give more of the ID.")
    if matches:
        return FoundRun(matches[0].run_dir)
    hint = _near(ref, ledgers, runs_dir)
    if any(ledger.run_id.startswith(ref) for ledger in ledgers):
        hint = f"Give at least {_SHORTEST_PREFIX} characters of the ID."
    if any(ref in (one.run_id, one.run_name) for one in _ledgers(runs_dir / TRASH, [])):
        words = ["--", ref] if ref.startswith("-") else [ref]
        hint = f"It is in the trash: {next_command('runs', 'restore', *words, runs_dir=runs_dir)}"
    try:
        if fetch and (fetched := fetch_run(ref, runs_dir)):
            is_new = all(ledger.run_dir != fetched for ledger in ledgers)
            return FoundRun(fetched, f"{ref} was fetched from the store." if is_new else "")
    except StoreError as error:
        hint = f"{hint} It may be in the store, but: {error.problems[0].message}.".strip()
    except RunNotFound as error:
        if not damaged:
            raise
        hint = error.problems[0].message  # the store may have the run whose ledger is damaged
    message = f"there is no run {ref} in {display(runs_dir)}"
    if damaged:
        hint = f"It may be one whose ledger cannot be read: {', '.join(damaged)}\n{hint}".strip()
    raise RunNotFound(message, "", hint)


def _registered(address: str, runs_dir: Path, *, fetch: bool) -> FoundRun:
    """Return the run of a version of a registered model."""
    version = version_at(address, runs_dir)
    try:
        found = find_run(version.run_id, runs_dir, fetch=fetch)
    except RunNotFound as error:
        problem = error.problems[0]
        raise RunNotFound(
            f"the run of {version.words()} is missing: {problem.message}", address, problem.hint
        ) from error
    run = Ledger.load(found.run_dir)
    note = f"{address} is {version.words()}: {run.run_name} ({run.run_id})."
    return FoundRun(found.run_dir, note if version.version else found.note)


def _folder(ref: str) -> Path | None:
    path = typed(ref)
    for folder in (path, path / "artifacts"):
        place = kind_at(folder / LEDGER_FILE)
        if place == "file":
            return _in_its_runs_folder(folder)
        if place == "refused":
            hint = "Change the permissions of its folders, or use a copy."
            raise RunNotFound("cannot be opened: permission denied", str(folder / LEDGER_FILE), hint)
    if is_folder(path) and ("/" in ref or ref.startswith(".")):
        below = sorted(_runs_below(path))
        hint = f"It contains {len(below)} runs; give the path of one: {below[0]}" if below else ""
        raise RunNotFound(
            "this is not a run's folder", str(path), hint or f"A run's folder contains {LEDGER_FILE}."
        )
    return None


def _runs_below(path: Path) -> Iterator[Path]:
    """Yield the runs below a folder: a runs folder, a project, or any other folder, even the root."""
    for depth in range(_DEPTH):
        with suppress(OSError):  # special folders, such as those in /proc
            for file in path.glob(f"{'*/' * depth}artifacts/{LEDGER_FILE}"):
                if TRASH not in file.parts:
                    yield file.parent.parent


def _in_its_runs_folder(folder: Path) -> Path:
    """Return a run's folder below its resolved runs folder, without following links below the runs folder.

    Links in `by-name` are followed, since they lead to a run in the same runs folder.
    """
    absolute = followed(Path(os.path.abspath(folder)))  # noqa: PTH100 - it keeps links
    if len(absolute.parents) > 2 and absolute.exists() and absolute.samefile(folder):
        runs_dir = absolute.parents[2]
        return runs_dir.resolve() / absolute.relative_to(runs_dir)
    return folder.resolve()


def _without(damaged: Sequence[str], found: FoundRun) -> FoundRun:
    """Add a note about runs that cannot be read, which might be newer or better than the one found."""
    if not damaged:
        return found
    return found._replace(note=f"{found.note} Ignored because of damaged ledgers: {', '.join(damaged)}")


def _ledgers(runs_dir: Path, damaged: list[str]) -> Iterator[Ledger]:
    for path in runs_dir.glob(f"*/*/artifacts/{LEDGER_FILE}"):
        try:
            yield Ledger.load(path.parent)
        except CorruptRun:  # one damaged folder must not hide the others; it is reported by its path
            damaged.append(display(path.parent))


def _last(ledgers: list[Ledger], runs_dir: Path) -> FoundRun:
    newest = next((ledger for ledger in ledgers if ledger.parent_id is None), None)
    if newest is None:
        raise RunNotFound("there is no run yet", str(runs_dir), how_to_begin(runs_dir))
    return FoundRun(newest.run_dir, f"last is {newest.run_name} ({newest.run_id}).")


def _best(experiment: str, ledgers: list[Ledger], runs_dir: Path) -> FoundRun:
    sweeps = [
        x
        for x in ledgers  # sweeps within a cross-validation only search for one fold
        if x.kind == "sweep" and x.parent_id is None and experiment in ("", x.experiment)
    ]
    if not sweeps:
        scope = f" in experiment {experiment}" if experiment else ""
        hint = "best is the best trial of a sweep; give a run's name or ID, or last."
        raise RunNotFound(f"there is no sweep{scope}", str(runs_dir), hint)
    sweep = sweeps[0]
    if sweep.status == "FINISHED" and members_in(sweep):
        return FoundRun(sweep.run_dir, f"best of {sweep.run_name} is its ensemble ({sweep.run_id}).")
    # Prefer the refitted winner: it was trained on more rows, and can be tested on the final test rows.
    best = sweep.result.get("refit_run_id") or sweep.result.get("best_run_id")
    found = next((ledger for ledger in ledgers if ledger.run_id == best), None)
    if found is None:
        raise RunNotFound(f"the sweep {sweep.run_name} has no best trial yet", str(sweep.run_dir), "")
    return FoundRun(found.run_dir, f"best of {sweep.run_name} is {found.run_name} ({found.run_id}).")


def how_to_begin(runs_dir: Path) -> str:
    """Return a hint for a runs folder without runs, which names that of a folder above if it has runs."""
    place = Path(os.path.abspath(runs_dir))  # noqa: PTH100 - it keeps links
    for above in place.parents[1:]:
        runs = above / place.name
        if next(runs.glob(f"*/*/artifacts/{LEDGER_FILE}"), None) is not None:
            return (
                f"{runs} has runs: run the command in {above}, or add {shell_line('--runs-dir', str(runs))}."
            )
    return "Start one: dlcli train"


def _near(ref: str, ledgers: list[Ledger], runs_dir: Path) -> str:
    """Return a hint with names and IDs similar to the given one."""
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
        else f"There is no run yet. {how_to_begin(runs_dir)}"
    )

"""The contents of a run's ledgers and files, read once, with a sentence for each that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.errors import CorruptRun
from dlcli.files.paths import display, is_file
from dlcli.gate.documents import read_text, yaml_text
from dlcli.inference.predictions_file import all_predictions
from dlcli.page.worst_rows import JudgedRows, judge_rows
from dlcli.runs.folder import recorded_epochs
from dlcli.runs.inventory import run_folders, with_true_status
from dlcli.runs.overview import Overview, overview
from dlcli.runs.recorded import read_config, read_split, read_words
from dlcli.sanitize.redact import redact_all
from dlcli.splits.split import test_words
from dlcli.tracking.digests import UNCHECKED, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

_ENVIRONMENT = "environment.txt"
_TEXTS = ("config.yaml", "overrides.txt", _ENVIRONMENT, "plots")  # what becomes a part of the page
_ENVIRONMENT_BYTES = 1 << 20
_MOST_FOLDS = 60  # whose learning curves are drawn


# Returns what a function reads, or the last argument if that cannot be read; the first one names it.
_Tried = Callable[[str, Callable[[], Any], Any], Any]


@dataclass(frozen=True)
class PartOfRun:
    """A fold, a trial or another run that belongs to a run.

    Attributes:
        ledger: its ledger.
        status: its status.
        sizes: rows of its split; empty if that cannot be read.
        epochs: the metrics of each of its epochs; empty if they cannot be read, or were not asked for.
    """

    ledger: Ledger
    status: str
    sizes: Mapping[str, int]
    epochs: tuple[Mapping[str, float], ...] = ()


@dataclass(frozen=True)
class Account:
    """Everything that the report of a run needs.

    Attributes:
        run: identity, status, results, messages, files, pictures and the command that repeats it.
        config: its configuration, without secrets; empty if it cannot be read.
        words: the overrides of its command, without secrets.
        sizes: rows of each part of its split; empty if it cannot be read.
        epochs: metrics of each epoch, of a single run.
        folds: its folds, the first seed first.
        trials: the runs of a sweep that has not ended, whose ledger does not list them yet.
        refitted: the run with the final model; None if there is none.
        judged: the worst rows and intervals on the held-out rows; None if there are no predictions.
        environment: the installed packages, one a line.
        missing: a sentence for each part that cannot be read, with the reason.
    """

    run: Overview
    config: dict[str, Any]
    words: tuple[str, ...]
    sizes: Mapping[str, int]
    epochs: tuple[Mapping[str, float], ...]
    folds: tuple[PartOfRun, ...]
    trials: tuple[PartOfRun, ...]
    refitted: PartOfRun | None
    judged: JudgedRows | None
    environment: str
    missing: tuple[str, ...] = field(default=())

    @property
    def ledger(self) -> Ledger:
        """The run's ledger."""
        return self.run.ledger

    @property
    def held_out(self) -> str:
        """The name of the rows on which the run is judged."""
        return f"{test_words(self.ledger.kind in ('fold', 'cv'))} rows"

    @property
    def seeds(self) -> list[int]:
        """Which training run of its split each fold is, from 0."""
        numbers = [fold.ledger.tags.get("dlcli.fold", "0") for fold in self.folds]
        return [numbers[:place].count(number) for place, number in enumerate(numbers)]

    def section(self, name: str) -> dict[str, Any]:
        """Return a section of the configuration; empty if there is none."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def about(self) -> dict[str, Any]:
        """The recorded description of the run's data and model; for a parent without one, that of its first part."""
        own = self.ledger.about
        parts = [*self.folds, *([self.refitted] if self.refitted else []), *self.trials]
        panels = [part.ledger.about["panel"] for part in parts if "panel" in part.ledger.about]
        return {"panel": panels[0], **own} if panels else own


def account_of(run_dir: Path, now: datetime) -> Account:
    """Return what a run's folder tells.

    Raises:
        CorruptRun: The ledger cannot be read. Anything else that cannot be read is named in `missing`.
    """
    missing: list[str] = []

    def tried(what: str, read: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return read()
        except CorruptRun as damage:
            problem = damage.problems[0]
            where = f"{display(Path(problem.where))} " if problem.where else ""
            missing.append(f"{what}: {where}{problem.message}.")
            return otherwise

    run = overview(run_dir, now)
    ledger = run.ledger
    links = [name for name in _TEXTS if (run_dir / name).is_symlink()]
    if links:  # they may lead to private files
        missing.append(f"Not read, since a run has no links: {', '.join(links)}.")
        run = replace(run, repeat=None)
    if ledger.digests is None:
        missing.append(UNCHECKED)
    config: dict[str, Any] = {}
    words: list[str] = []
    environment = ""
    if not links:
        config = tried("The configuration", lambda: read_config(ledger), config)
        if ledger.kind not in ("fold", "trial"):
            words = tried("The overrides", lambda: read_words(ledger), words)
            environment = tried("The environment", lambda: _environment(ledger), environment)
    sizes = tried("The split", lambda: read_split(ledger).sizes, {})
    single = ledger.kind in ("run", "fold", "refit", "trial")
    epochs: Sequence[Mapping[str, float]] = ()
    if single:
        epochs = tried("The learning curves", lambda: recorded_epochs(run_dir), epochs)
    folds, trials, refitted = _parts(ledger, tried)
    return Account(
        run,
        redact_all(config),
        tuple(redact_all(words)),
        sizes,
        tuple(epochs),
        folds,
        trials,
        refitted,
        tried("The predictions", lambda: _judged(ledger, refitted), None),
        environment,
        tuple(missing),
    )


def configuration_text(account: Account) -> str:
    """Return the whole configuration as YAML."""
    return yaml_text(account.config)


def _parts(
    ledger: Ledger, tried: _Tried
) -> tuple[tuple[PartOfRun, ...], tuple[PartOfRun, ...], PartOfRun | None]:
    """Return the folds, the trials that the ledger does not list, and the refitted run."""

    def load(run_id: str) -> Ledger | None:
        return Ledger.load(ledger.sibling(run_id))

    listed = [tried("A fold", partial(load, run_id), None) for run_id in ledger.result.get("folds", ())]
    refit_id = ledger.result.get("refit_run_id")
    refitted = tried("The refitted run", partial(load, refit_id), None) if refit_id else None
    folds, trials = [one for one in listed if one is not None], []
    if ledger.kind in ("cv", "sweep", "run") and not ledger.result:
        children = _children(ledger)
        folds, trials = ([one for one in children if one.kind == kind] for kind in ("fold", "trial"))
    curved = len(folds) <= _MOST_FOLDS
    return (
        tuple(_part(one, tried, curved) for one in folds),
        tuple(_part(one, tried, False) for one in trials),
        _part(refitted, tried, True) if refitted is not None else None,
    )


def _part(ledger: Ledger, tried: _Tried, curved: bool) -> PartOfRun:
    name = ledger.run_name
    ledger, status = with_true_status(ledger)
    sizes = tried(f"The split of {name}", lambda: read_split(ledger).sizes, {})
    epochs = (
        tried(f"The learning curves of {name}", lambda: recorded_epochs(ledger.run_dir), []) if curved else []
    )
    return PartOfRun(ledger, status, sizes, tuple(epochs))


def _children(parent: Ledger) -> list[Ledger]:
    """Return the ledgers of the runs that belong to a run, which has not ended in order, by their creation."""
    if not parent.is_in_place:
        return []
    found = []
    for folder in run_folders(parent.runs_dir):
        if folder.parents[1] == parent.run_dir.parents[1] and is_file(folder / LEDGER_FILE):
            with suppress(CorruptRun):
                ledger = Ledger.load(folder)
                if ledger.parent_id == parent.run_id and ledger.run_id != parent.run_id:
                    found.append(ledger)
    return sorted(found, key=lambda ledger: ledger.created_at)


def _judged(ledger: Ledger, refitted: PartOfRun | None) -> JudgedRows | None:
    if ledger.kind == "sweep":
        return _judged(refitted.ledger, None) if refitted is not None else None
    if not is_file(ledger.run_dir / "predictions.parquet") or ledger.status != "FINISHED":
        return None
    table = all_predictions(ledger.run_dir)
    part = "test"
    if "split" in table.columns:
        part = "test" if (table["split"] == "test").any() else "val"
        table = table[table["split"] == part]
    metrics = ledger.metrics if ledger.kind != "cv" else {}
    recorded = {
        name.removeprefix(f"{part}/"): value for name, value in metrics.items() if name.startswith(f"{part}/")
    }
    rows = "validation" if part == "val" else test_words(ledger.kind in ("fold", "cv"))
    try:
        return judge_rows(table, recorded, f"{rows} rows")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        # Columns of types that no run writes.
        reason = f"has other columns than a run writes ({type(error).__name__})"
        raise CorruptRun(
            reason, str(ledger.run_dir / "predictions.parquet"), "Copy the folder again."
        ) from error


def _environment(ledger: Ledger) -> str:
    """Return the list of installed packages."""
    check_recorded(ledger, _ENVIRONMENT)
    return read_text(ledger.run_dir / _ENVIRONMENT, _ENVIRONMENT_BYTES, "the list of packages")

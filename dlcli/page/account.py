"""Read a run's ledgers and files for its report, with a sentence for each that cannot be read."""

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
from dlcli.page.generated_texts import read_texts_by_epoch
from dlcli.page.worst_rows import JudgedRows, judge_rows
from dlcli.runs.ensemble_members import members_in
from dlcli.runs.explanation_record import read_explanation
from dlcli.runs.folder import recorded_epochs
from dlcli.runs.inventory import run_folders, with_true_status
from dlcli.runs.overview import Overview, overview
from dlcli.runs.recorded import read_config, read_split, read_words
from dlcli.sanitize.redact import redact_all
from dlcli.splits.split import name_of_test_rows
from dlcli.tracking.digests import UNCHECKED, check_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Ledger

_ENVIRONMENT = "environment.txt"
_TEXTS = ("config.yaml", "overrides.txt", _ENVIRONMENT, "plots")  # files that are shown on the page
_ENVIRONMENT_BYTES = 1 << 20
_MOST_FOLDS = 60  # maximum number of folds whose learning curves are drawn


# A function of (name, read, default): returns the result of `read`, or notes that `name` cannot be read and returns
# `default`.
_Tried = Callable[[str, Callable[[], Any], Any], Any]


@dataclass(frozen=True)
class ChildRun:
    """A child run: a fold, a trial or a refitted winner.

    Attributes:
        ledger: its ledger.
        status: its status.
        sizes: number of rows in each part of its split; empty if the split cannot be read.
        epochs: the metrics of each epoch; empty if they cannot be read, or are not needed.
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
        sizes: number of rows in each part of its split; empty if the split cannot be read.
        epochs: metrics of each epoch, if it is a single run.
        folds: its folds, sorted by seed.
        trials: the runs of a sweep that has not ended, whose ledger does not list them yet.
        refitted: the child run with the refitted model; None if there is none.
        judged: the worst rows and the intervals on the held-out rows; None without predictions.
        environment: the installed packages, one per line.
        generated: texts that a language model generated after epochs: epoch, prompt and text of each.
        explanation: the unchecked result of `dlcli explain`; None if the run has not been explained.
        missing: a sentence for each part that cannot be read, with the reason.
    """

    run: Overview
    config: dict[str, Any]
    words: tuple[str, ...]
    sizes: Mapping[str, int]
    epochs: tuple[Mapping[str, float], ...]
    folds: tuple[ChildRun, ...]
    trials: tuple[ChildRun, ...]
    refitted: ChildRun | None
    judged: JudgedRows | None
    environment: str
    generated: tuple[tuple[int, str, str], ...] = ()
    explanation: dict[str, Any] | None = None
    missing: tuple[str, ...] = field(default=())

    @property
    def ledger(self) -> Ledger:
        """The run's ledger."""
        return self.run.ledger

    @property
    def held_out(self) -> str:
        """The name of the rows on which the run is evaluated."""
        return f"{name_of_test_rows(self.ledger.kind in ('fold', 'cv'))} rows"

    @property
    def seeds(self) -> list[int]:
        """For each fold, the index of its training seed, from 0."""
        numbers = [fold.ledger.tags.get("dlcli.fold", "0") for fold in self.folds]
        return [numbers[:place].count(number) for place, number in enumerate(numbers)]

    def section(self, name: str) -> dict[str, Any]:
        """Return a section of the configuration; empty if there is none."""
        found = self.config.get(name)
        return found if isinstance(found, dict) else {}

    @property
    def about(self) -> dict[str, Any]:
        """The recorded description of data and model; for a parent without one, that of its first child run."""
        own = self.ledger.about
        parts = [*self.folds, *([self.refitted] if self.refitted else []), *self.trials]
        panels = [part.ledger.about["panel"] for part in parts if "panel" in part.ledger.about]
        return {"panel": panels[0], **own} if panels else own


def account_of(run_dir: Path, now: datetime) -> Account:
    """Return the account of the run in a folder.

    Raises:
        CorruptRun: The ledger cannot be read. Other files that cannot be read are named in `missing`.
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
        tried("The generated texts", lambda: read_texts_by_epoch(run_dir), ()),
        tried("The explanation", lambda: read_explanation(ledger), None),
        tuple(missing),
    )


def configuration_text(account: Account) -> str:
    """Return the whole configuration as YAML."""
    return yaml_text(account.config)


def _parts(
    ledger: Ledger, tried: _Tried
) -> tuple[tuple[ChildRun, ...], tuple[ChildRun, ...], ChildRun | None]:
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


def _part(ledger: Ledger, tried: _Tried, curved: bool) -> ChildRun:
    name = ledger.run_name
    ledger, status = with_true_status(ledger)
    sizes = tried(f"The split of {name}", lambda: read_split(ledger).sizes, {})
    epochs = (
        tried(f"The learning curves of {name}", lambda: recorded_epochs(ledger.run_dir), []) if curved else []
    )
    return ChildRun(ledger, status, sizes, tuple(epochs))


def _children(parent: Ledger) -> list[Ledger]:
    """Return the ledgers of the child runs of a run that did not finish, in the order of their creation."""
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


def _judged(ledger: Ledger, refitted: ChildRun | None) -> JudgedRows | None:
    if ledger.kind == "sweep" and not members_in(ledger):
        return _judged(refitted.ledger, None) if refitted is not None else None
    if not is_file(ledger.run_dir / "predictions.parquet") or ledger.status != "FINISHED":
        return None
    table = all_predictions(ledger.run_dir)
    part = "test"
    if "split" in table.columns:
        tested = table["split"] != "val"
        part = "test" if tested.any() else "val"
        table = table[tested] if tested.any() else table
    metrics = ledger.metrics if ledger.kind != "cv" else {}
    recorded = {
        name.removeprefix(f"{part}/"): value for name, value in metrics.items() if name.startswith(f"{part}/")
    }
    rows = "validation" if part == "val" else name_of_test_rows(ledger.kind in ("fold", "cv"))
    try:
        return judge_rows(table, recorded, f"{rows} rows")
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        # Columns of unexpected types.
        reason = f"has columns that a run does not write ({type(error).__name__})"
        raise CorruptRun(
            reason, str(ledger.run_dir / "predictions.parquet"), "Copy the folder again."
        ) from error


def _environment(ledger: Ledger) -> str:
    """Return the list of installed packages."""
    check_recorded(ledger, _ENVIRONMENT)
    return read_text(ledger.run_dir / _ENVIRONMENT, _ENVIRONMENT_BYTES, "the list of packages")

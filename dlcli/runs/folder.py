"""A run's folder as the driver writes it and as later commands read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.environment import reads_environment
from dlcli.config.next_command import next_command, resume_command
from dlcli.config.overrides import parse
from dlcli.config.recorded_config import check_sections
from dlcli.datasets.raw_rows import DATA_PATHS, load_current
from dlcli.errors import ConfigError, CorruptRun, DataError
from dlcli.files.paths import is_file, kind_at, resolved, typed
from dlcli.gate.documents import yaml_text
from dlcli.gate.gate import Gate
from dlcli.gate.vouching import Claim
from dlcli.result import Result
from dlcli.runs.divergence import divergence, way_out
from dlcli.runs.find import find_run
from dlcli.runs.recorded import check_user_code, code_owner, read_config, read_split
from dlcli.runs.recorded_choices import is_open, lookback_of_model, with_chosen
from dlcli.runs.recorded_paths import recorded_in, relocated
from dlcli.runs.retention import DROPPED, WEIGHTS_TAG
from dlcli.sanitize.redact import redact_all
from dlcli.splits.split import Part
from dlcli.tracking.digests import MODEL_MANIFEST, UNCHECKED, WINNER_FILE, check_recorded
from dlcli.tracking.history import HISTORY_FILE, OF_EPOCHS, is_recorded, read_history
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.mlflow_tags import STACK_TAG

if TYPE_CHECKING:
    import numpy as np

    from dlcli.datasets.data import Data
    from dlcli.inference.saved_model import SavedModel

_OF_A_SWEEP = f"""\
# A sweep: the settings shared by all trials. Keys of sweep.space are searched; where they occur elsewhere in this file,
# they have the first of their values. The winner's settings are in {WINNER_FILE}, once there is one.
"""

_BASELINE = "baseline/"

# Levels of nesting: a cross-validation has folds, a fold may have a sweep, the sweep has trials, and these have folds.
_LEVELS = 5


def absolute_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configuration with absolute paths of the data, the weights file and the runs folder.

    `relocated` can translate them after the runs folder has been moved, because all are recorded at the same time.
    """
    dataset = dict(config["dataset"])
    for key in DATA_PATHS:
        if isinstance(dataset.get(key), str):
            place = typed(dataset[key])
            if reads_environment(dataset[key]):
                continue
            # A path that does not exist may be the name of a dataset on a hub; `root` may be created later.
            if key == "root" or kind_at(place) != "nothing":
                dataset[key] = str(resolved(place))
    model, weights = config["model"], config["model"].get("weights")
    if isinstance(weights, str) and is_file(typed(weights)):
        model = {**model, "weights": str(resolved(typed(weights)))}
    found = {**config, "dataset": dataset, "model": model}
    if isinstance(runs_dir := config.get("runs_dir"), str):  # an unvalidated configuration may lack it
        found["runs_dir"] = str(resolved(Path(runs_dir)))
    return found


def config_text(config: Mapping[str, Any]) -> str:
    """Return the content of `config.yaml`: interpolations of the environment are kept, secrets are removed."""
    comment = _OF_A_SWEEP if "sweep" in config else ""
    return comment + yaml_text(redact_all(config))


def read_result(run_dir: Path, *, within: int = 0) -> Result:
    """Return a run's result from its ledger.

    Args:
        run_dir: folder of the run.
        within: level of nesting of the run.

    Raises:
        CorruptRun: The ledger cannot be read, or runs are nested too deeply.
    """
    if within > _LEVELS:
        raise CorruptRun("the run is a child run of itself", str(run_dir), "Copy the folder again.")
    ledger = Ledger.load(run_dir)
    folds = ledger.result.get("folds", ())
    chosen = ledger.result.get("chosen", [{}] * len(folds))
    return Result.of(
        ledger,
        run_dir,
        status=ledger.status,
        values={name: ledger.metrics[name] for name in ledger.result.get("metrics", ())},
        baselines={
            name.removeprefix(_BASELINE): value
            for name, value in ledger.metrics.items()
            if name.startswith(_BASELINE)
        },
        over=ledger.result.get("over", {}),
        duration_s=ledger.result.get("duration_s", 0.0),
        folds=tuple(
            replace(read_result(ledger.sibling(run_id), within=within + 1), params=params)
            for run_id, params in zip(folds, chosen, strict=True)
        ),
        trials=tuple(ledger.result.get("trials", ())),
        best=ledger.result.get("best"),
        front=tuple(ledger.result.get("front", ())),
        models=tuple(ledger.result.get("models", ())),
        members=tuple(one["run_id"] for one in ledger.result.get("members", ())),
        notices=tuple(ledger.result.get("notices", ())),
        messages=tuple(ledger.result.get("messages", ())),
        stack=ledger.tags.get(STACK_TAG, ""),
    )


def recorded_baselines(baselines: Mapping[str, float]) -> dict[str, float]:
    """Return the baselines under their names in the ledger; `read_result` reads them back."""
    return {f"{_BASELINE}{name}": value for name, value in baselines.items()}


def recorded_epochs(run_dir: Path, ledger: Ledger | None = None) -> list[dict[str, float]]:
    """Return the recorded metrics of each completed epoch: `train/...`, `val/...`, and those of a solver."""
    check_recorded(ledger or Ledger.load(run_dir), HISTORY_FILE)
    epochs: dict[int, dict[str, float]] = {}
    for line in read_history(run_dir):
        if figures := {k: v for k, v in line.metrics.items() if k.startswith(OF_EPOCHS)}:
            epochs.setdefault(line.step, {}).update(figures)
    return [epochs[epoch] for epoch in sorted(epochs)]


@dataclass(frozen=True)
class OpenedRun:
    """A run that a command has opened.

    Attributes:
        folder: the run's folder.
        ledger: its ledger.
        config: its configuration, with current paths.
        notes: notes for the user on how the run was found and opened.
        claim: the user's arguments about the folder, which determine its gate.
        was_cut_off: whether its process ended without recording its end.
        tuned: the facts that a cross-validation has tuned for the models of its folds together, of which this is one;
            they replace those that the model has tuned on its own validation rows.
    """

    folder: Path
    ledger: Ledger
    config: dict[str, Any]
    notes: tuple[str, ...]
    claim: Claim
    was_cut_off: bool = False
    tuned: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def gate(self) -> Gate:
        """The gate in which the run's model and data must be built."""
        return self.claim.to_read()

    def check_rows(self, data: Data, split_fingerprint: str | None = None) -> None:
        """Compare data, and optionally splits, with the run's recorded fingerprints.

        Raises:
            DataError: A fingerprint differs.
        """
        for what, fingerprint in (("data", data.fingerprint), ("split", split_fingerprint)):
            if fingerprint is not None and self.ledger.tags.get(f"dlcli.{what}_fingerprint") != fingerprint:
                raise DataError(
                    f"the {what} differs from that of the run: fingerprint mismatch",
                    where=data.source,
                    hint=f"Restore the original data, or give its location: {_places(self.config['dataset'])}",
                )

    def part_of(self, dataset: Mapping[str, Any], *parts: Part) -> tuple[Data, np.ndarray]:
        """Return the run's data, and the rows of the first of the given parts of its split that is not empty.

        Raises:
            DataError: The data differs from the run's, or all given parts are empty.
        """
        with self.gate.closed():
            data = load_current(dataset)
        self.check_rows(data)
        split = read_split(self.ledger, len(data))
        rows = next((rows for part in parts if len(rows := split.rows(part))), None)
        if rows is None:
            raise self._without_rows(" or ".join(parts))
        return data, rows

    def _without_rows(self, part: str) -> DataError:
        """Return the error for a missing part; for a trial of a sweep, the hint names the run that was tested."""
        parent = self.ledger.parent_id
        if part == "test" and self.ledger.kind in ("cv", "ensemble"):
            hint = "Folds are tested on their held-out rows (cv/...). For final test rows: cv.test_size=0.2"
            return DataError("the run has no final test rows", self.ledger.run_name, hint)
        if (
            part != "test"
            or self.ledger.kind != "trial"
            or not (parent and self.ledger.sibling(parent).is_dir())
        ):
            return DataError(f"the run has no {part} rows", self.ledger.run_name)
        ledger = Ledger.load(self.ledger.sibling(parent))
        if refitted := ledger.result.get("refit_run_id"):
            line = next_command("eval", refitted[:8], runs_dir=ledger.runs_dir)
            hint = f"The refitted winner was tested: {line}"
        else:
            line = next_command("eval", self.ledger.run_id[:8], "--split", "val", runs_dir=ledger.runs_dir)
            hint = f"No model was refitted (sweep.refit). Train with the command in the sweep's output, or: {line}"
        return DataError(
            "the run has no test rows: it is a trial, evaluated on validation rows",
            self.ledger.run_name,
            hint,
        )

    def load_model(self) -> SavedModel:
        """Load the run's model; user code in its folder is executed only if the user trusts it."""
        # Imported late, since it loads torch.
        from dlcli.inference.saved_model import load_model

        if self.ledger.tags.get(WEIGHTS_TAG) == DROPPED:
            raise CorruptRun(
                "the run's weights were not kept",
                where=str(self.folder),
                hint="Only the best runs of the group keep their weights (tracking.keep).",
            )
        if not (self.folder / "model").is_dir():
            raise self._without_model()
        with self.gate.closed():
            check_recorded(self.ledger, MODEL_MANIFEST)
            return load_model(self.folder / "model", trust=self.gate.is_open).retuned(self.tuned)

    def _without_model(self) -> CorruptRun:
        """Return the error for a run without a model, with a hint on where to find one."""
        ledger = self.ledger
        if is_recorded(self.folder):
            hint = "Only a finished run has a model. Wait for it; dlcli runs shows the status."
            return CorruptRun("the run has no model yet: it is still running", str(self.folder), hint)
        if diverged := divergence(ledger):
            hint = f"Resuming it would probably diverge again. {way_out(ledger, self.config)}"
            return CorruptRun(f"the run has no model, since its {diverged}", str(self.folder), hint)
        if ledger.status != "FINISHED":
            return CorruptRun(
                f"the run has no model ({ledger.status})",
                where=str(self.folder),
                hint=f"Only a finished run has a model. Resume it: {resume_command(ledger)}",
            )
        if ledger.kind == "sweep":
            best = ledger.result.get("refit_run_id") or ledger.result.get("best_run_id")
            return CorruptRun(
                "a sweep has no model of its own, but its trials do",
                where=str(self.folder),
                hint=f"The best one is {best}." if best else "",
            )
        return CorruptRun(
            "the run's model is missing", str(self.folder), "Copy the folder again, or train again."
        )


def open_run(
    run: str,
    runs_dir: Path,
    conf_dirs: Sequence[Path] = (),
    *,
    trust: bool = False,
    overrides: Sequence[str] = (),
) -> OpenedRun:
    """Find a run and open it.

    Args:
        run: the user's reference to it.
        runs_dir: the runs folder in use.
        conf_dirs: conf folders given by the user (`-C`); code beside them may be executed if it is unchanged.
        trust: whether the user trusts everything in the run's folder.
        overrides: the user's overrides, which may name folders for the data.

    Raises:
        RunNotFound: There is no such run.
        CorruptRun: The run cannot be read.
    """
    found = find_run(run, runs_dir)
    ledger = Ledger.load(found.run_dir)
    check_user_code(ledger)
    config = read_config(ledger)
    check_sections(config, found.run_dir / "config.yaml")
    then = ledger.runs_dir
    moved: list[str] = []
    if ledger.is_in_place:
        then = recorded_in(config, ledger.former_runs_dir, ledger.runs_dir)
        config, moved = relocated(config, then, ledger.runs_dir)
    if is_open(config["dataset"]):
        config = with_chosen(config, lookback_of_model(ledger))
    dataset = config.get("dataset")
    claim = Claim(
        found.run_dir,
        code_owner(ledger).run_dir if ledger.parent_id else None,
        runs_dir,
        then,
        tuple(conf_dirs),
        trust,
        frozenset(resolved(typed(word.partition("=")[2])) for word in overrides if "=" in word),
        dataset.get("root") if isinstance(dataset, dict) else None,
    )
    unchecked = UNCHECKED if ledger.digests is None else ""
    return OpenedRun(
        found.run_dir, ledger, config, tuple(filter(None, (found.note, unchecked, *moved))), claim
    )


def _places(dataset: Mapping[str, Any]) -> str:
    """Return the settings of a section `dataset` that locate the data, for a hint."""
    own = [key for key in DATA_PATHS if isinstance(dataset.get(key), str)] or ["root"]
    return ", ".join(f"dataset.{key}={'DIR' if key == 'root' else 'FILE'}" for key in own)


def with_overrides(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a run's configuration with another location of its data (`dataset.root=DIR`).

    Raises:
        ConfigError: An override changes anything else.
    """
    wrong = [
        text for text in overrides if not text.startswith(tuple(f"dataset.{key}=" for key in DATA_PATHS))
    ]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} would change the experiment",
            where="overrides",
            hint="Only the location of the data can be given: dataset.root=DIR, dataset.path=FILE.",
        )
    places = {word.partition("=")[0].removeprefix("dataset."): _place(word) for word in overrides}
    return absolute_paths({**config, "dataset": {**config["dataset"], **places}})


def _place(word: str) -> str | None:
    """Return the path in an override, parsed by Hydra's grammar; if that gives no text, the text after `=`."""
    settings, _ = parse([word])
    value = settings[0].value if settings else word
    return value if settings and (value is None or isinstance(value, str)) else word.partition("=")[2]

"""A run's folder: what the driver puts into it before the job, and what later commands find there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlcli.config.environment import reads_environment
from dlcli.config.next_command import next_command, resume_command
from dlcli.config.of_run import check_sections
from dlcli.datasets.raw_rows import DATA_PATHS
from dlcli.errors import ConfigError, CorruptRun, DataError
from dlcli.files.paths import is_file, look_at, typed, whole
from dlcli.gate.vouching import Claim
from dlcli.runs.recorded import check_vouched, read_config, read_split
from dlcli.runs.recorded_paths import recorded_in, relocated
from dlcli.runs.retention import DROPPED, WEIGHTS_TAG
from dlcli.tracking.digests import MODEL_MANIFEST, UNCHECKED, WINNER_FILE, check_recorded
from dlcli.tracking.history import is_recorded
from dlcli.tracking.ledger import Ledger

if TYPE_CHECKING:
    import numpy as np

    from dlcli.datasets.data import Data
    from dlcli.gate.gate import Gate
    from dlcli.inference.saved_model import SavedModel
    from dlcli.result import Result
    from dlcli.splits.split import Part

_OF_A_SWEEP = f"""\
# A sweep: what all its trials share. Keys of sweep.space are searched: elsewhere they stand with the first value that
# they can have. What the winner has is in {WINNER_FILE}, once there is one.
"""

_BASELINE = "baseline/"

# A cross-validation has folds, a fold may have a sweep, that has trials, and they have folds.
_LEVELS = 5


def absolute_paths(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with the dataset's paths made absolute, that of weights in a file, and the runs folder's.

    All of them are of one moment: where the runs folder lies elsewhere later, `relocated` finds the others from there.
    """
    dataset = dict(config["dataset"])
    for key in DATA_PATHS:
        if isinstance(dataset.get(key), str):
            place = typed(dataset[key])
            if reads_environment(dataset[key]):
                continue
            # What is not there may be a name on a hub; but a root may be yet to be made.
            if key == "root" or look_at(place) != "nothing":
                dataset[key] = str(whole(place))
    model, weights = config["model"], config["model"].get("weights")
    if isinstance(weights, str) and is_file(typed(weights)):
        model = {**model, "weights": str(whole(typed(weights)))}
    runs_dir = config["runs_dir"]
    if isinstance(runs_dir, str):  # in a draft it may be anything
        runs_dir = str(whole(Path(runs_dir)))
    return {**config, "dataset": dataset, "model": model, "runs_dir": runs_dir}


def config_text(config: Mapping[str, Any]) -> str:
    """The content of `config.yaml`: what reads the environment as it was written, and no secrets."""
    from dlcli.gate.documents import yaml_text
    from dlcli.sanitize.redact import redact_all

    said = _OF_A_SWEEP if "sweep" in config else ""
    return said + yaml_text(redact_all(config))


def read_result(run_dir: Path, *, within: int = 0) -> Result:
    """What a run was worth, as its ledger has it; one that is a part of others is so many levels below.

    Raises:
        CorruptRun: its ledger cannot be read, or parts nest without an end.
    """
    from dlcli.result import Result

    if within > _LEVELS:
        raise CorruptRun("the run is a part of itself", str(run_dir), "Copy the folder anew.")
    ledger = Ledger.load(run_dir)
    folds = ledger.result.get("folds", ())
    chosen = ledger.result.get("chosen", [{}] * len(folds))
    return Result(
        status=ledger.status,
        run_id=ledger.run_id,
        run_name=ledger.run_name,
        experiment=ledger.experiment,
        run_dir=run_dir,
        tracking_uri=ledger.store_uri,
        metrics={name: ledger.metrics[name] for name in ledger.result.get("metrics", ())},
        baselines={
            name.removeprefix(_BASELINE): value
            for name, value in ledger.metrics.items()
            if name.startswith(_BASELINE)
        },
        duration_s=ledger.result.get("duration_s", 0.0),
        folds=tuple(
            replace(read_result(ledger.sibling(run_id), within=within + 1), params=params)
            for run_id, params in zip(folds, chosen, strict=True)
        ),
        trials=tuple(ledger.result.get("trials", ())),
        best=ledger.result.get("best"),
        front=tuple(ledger.result.get("front", ())),
        messages=tuple(ledger.result.get("messages", ())),
    )


def recorded_baselines(baselines: Mapping[str, float]) -> dict[str, float]:
    """Baselines under the names that the ledger has them by; `read_result` reads them back."""
    return {f"{_BASELINE}{name}": value for name, value in baselines.items()}


def epochs_so_far(run_dir: Path) -> list[dict[str, float]]:
    """What a run recorded of the epochs that it has behind it: train/... and val/..., in their order."""
    from dlcli.tracking.history import HISTORY_FILE, read_history

    check_recorded(Ledger.load(run_dir), HISTORY_FILE)
    epochs: dict[int, dict[str, float]] = {}
    for line in read_history(run_dir):
        figures = {k: v for k, v in line.metrics.items() if k.startswith(("train/", "val/"))}
        if figures:
            epochs.setdefault(line.step, {}).update(figures)
    return [epochs[epoch] for epoch in sorted(epochs)]


@dataclass(frozen=True)
class OpenedRun:
    """A run that was found: its folder, ledger and configuration; `notes` tell how it was found.

    `claim` is what the user says of it. `was_cut_off` where its process was gone, and had not said so.
    """

    folder: Path
    ledger: Ledger
    config: dict[str, Any]
    notes: tuple[str, ...]
    claim: Claim
    was_cut_off: bool = False

    @cached_property
    def gate(self) -> Gate:
        """What its model and its data may name: whoever builds anything of them does so behind it."""
        return self.claim.to_read()

    def check_rows(self, data: Data, split_fingerprint: str | None = None) -> None:
        """Refuse rows that are not those of the run; or splits, where their fingerprint is given.

        Raises:
            DataError: they are not.
        """
        for what, fingerprint in (("data", data.fingerprint), ("split", split_fingerprint)):
            if fingerprint is not None and self.ledger.tags.get(f"dlcli.{what}_fingerprint") != fingerprint:
                raise DataError(
                    f"the {what} is not what the run was started with: its fingerprint differs",
                    where=data.source,
                    hint="Restore the data as it was, or name its place: dataset.root=DIR.",
                )

    def part_of(self, dataset: Mapping[str, Any], *parts: Part) -> tuple[Data, np.ndarray]:
        """The run's rows, and which of them are of a part of its split: the first of these that has any.

        Raises:
            DataError: they are not those of the run, or no part has any.
        """
        from dlcli.datasets.raw_rows import load_anew

        with self.gate.closed():
            data = load_anew(dataset)
        self.check_rows(data)
        split = read_split(self.ledger, len(data))
        rows = next((rows for part in parts if len(rows := split.rows(part))), None)
        if rows is None:
            raise self._without_rows(" or ".join(parts))
        return data, rows

    def _without_rows(self, part: str) -> DataError:
        """Why there are none, and what has some where a sweep's trial has not."""
        parent = self.ledger.parent_id
        if (
            part != "test"
            or self.ledger.kind != "trial"
            or not (parent and self.ledger.sibling(parent).is_dir())
        ):
            return DataError(f"the run has no {part} rows", self.ledger.run_name)
        ledger = Ledger.load(self.ledger.sibling(parent))
        if refitted := ledger.result.get("refit_run_id"):
            line = next_command("eval", refitted[:8], runs_dir=ledger.runs_dir)
            hint = f"The winner, refitted, was tested: {line}"
        else:
            line = next_command("eval", self.ledger.run_id[:8], "--split", "val", runs_dir=ledger.runs_dir)
            hint = f"Nothing was refitted (sweep.refit). Train it again, as the sweep said at its end, or: {line}"
        return DataError(
            "the run has no test rows: it is a trial, judged by validation rows", self.ledger.run_name, hint
        )

    def load_model(self) -> SavedModel:
        """The run's model, its own code run only where the user vouches for it."""
        from dlcli.inference.saved_model import load_model

        if self.ledger.tags.get(WEIGHTS_TAG) == DROPPED:
            raise CorruptRun(
                "the run's weights were not kept",
                where=str(self.folder),
                hint="Only the best of its siblings have theirs (tracking.keep).",
            )
        if not (self.folder / "model").is_dir():
            raise self._without_model()
        with self.gate.closed():
            check_recorded(self.ledger, MODEL_MANIFEST)
            return load_model(self.folder / "model", trust=self.gate.is_open)

    def _without_model(self) -> CorruptRun:
        """Why there is no model, and where one is."""
        ledger = self.ledger
        if is_recorded(self.folder):
            hint = "Only a finished run has one. Wait for it; dlcli runs shows which are done."
            return CorruptRun("the run has no model yet: it still runs", str(self.folder), hint)
        if ledger.status != "FINISHED":
            return CorruptRun(
                f"the run has no model ({ledger.status})",
                where=str(self.folder),
                hint=f"Only a finished run has one. Go on with it: {resume_command(ledger)}",
            )
        if ledger.kind == "cv" or ledger.result.get("folds"):
            folds = self._folds_with_weights()
            name = f"Name a fold: {', '.join(folds[:3])}{', ...' if folds[3:] else ''}. " if folds else ""
            nested = self.config["cv"]["_target_"].endswith(".Nested")  # takes no cv.refit
            command = "dlcli sweep" if nested else "dlcli train ... cv.test_size=0.2 cv.refit=true"
            return CorruptRun(
                "a cross-validation has a model for each of its folds, and none of its own",
                where=str(self.folder),
                hint=f"{name}A final model of all their rows: {command}",
            )
        if ledger.kind == "sweep":
            best = ledger.result.get("refit_run_id") or ledger.result.get("best_run_id")
            return CorruptRun(
                "a sweep has models of its trials, and none of its own",
                where=str(self.folder),
                hint=f"The best one's is {best}." if best else "",
            )
        return CorruptRun(
            "the run's model is gone", str(self.folder), "Copy the folder anew, or train it again."
        )

    def _folds_with_weights(self) -> list[str]:
        """Names of the folds whose weights were kept, as far as they lie beside this run."""
        folders = [self.ledger.sibling(run_id) for run_id in self.ledger.result.get("folds", ())]
        return [
            Ledger.load(folder).run_name
            for folder in folders
            if (folder / "model" / "weights.safetensors").is_file()
        ]


def open_run(
    run: str,
    runs_dir: Path,
    conf_dirs: Sequence[Path] = (),
    *,
    trust: bool = False,
    overrides: Sequence[str] = (),
) -> OpenedRun:
    """Find a run and read what it is.

    Args:
        run: as a user names it.
        runs_dir: the runs folder in use.
        conf_dirs: those that the user has named (`-C`): code beside them may run where it is unchanged.
        trust: whether the user vouches for all that the folder says.
        overrides: the user's own words, of which some name places for data.

    Raises:
        RunNotFound: there is no such run.
        CorruptRun: it cannot be read.
    """
    from dlcli.runs.find import find_run

    found = find_run(run, runs_dir)
    ledger = Ledger.load(found.run_dir)
    check_vouched(ledger)
    config = read_config(ledger)
    check_sections(config, found.run_dir / "config.yaml")
    then = ledger.runs_dir
    moved: list[str] = []
    if ledger.is_in_place:
        then = recorded_in(config, ledger.former_runs_dir, ledger.runs_dir)
        config, moved = relocated(config, then, ledger.runs_dir)
    dataset = config.get("dataset")
    claim = Claim(
        found.run_dir,
        ledger.sibling(ledger.parent_id) if ledger.parent_id else None,
        runs_dir,
        then,
        tuple(conf_dirs),
        trust,
        frozenset(whole(typed(word.partition("=")[2])) for word in overrides if "=" in word),
        dataset.get("root") if isinstance(dataset, dict) else None,
    )
    unchecked = UNCHECKED if ledger.digests is None else ""
    return OpenedRun(
        found.run_dir, ledger, config, tuple(filter(None, (found.note, unchecked, *moved))), claim
    )


def with_overrides(config: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A run's configuration with other places for its data (`dataset.root=DIR`): nothing else may change."""
    wrong = [
        text for text in overrides if not text.startswith(tuple(f"dataset.{key}=" for key in DATA_PATHS))
    ]
    if wrong:
        raise ConfigError(
            f"{wrong[0]} would make it another experiment",
            where="overrides",
            hint="Only the data's place can be given: dataset.root=DIR, dataset.path=FILE.",
        )
    places = {word.partition("=")[0].removeprefix("dataset."): _place(word) for word in overrides}
    return absolute_paths({**config, "dataset": {**config["dataset"], **places}})


def _place(word: str) -> str | None:
    """The path of an override, in Hydra's grammar; what that has no text for is taken as it stands."""
    from dlcli.config.overrides import parse

    settings, _ = parse([word])
    value = settings[0].value if settings else word
    return value if settings and (value is None or isinstance(value, str)) else word.partition("=")[2]

"""Find and create the child runs of a parent run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlcli.assembly.automatic import recorded_choices
from dlcli.assembly.finder_run import FOUND_KEYS
from dlcli.checks.extension import find_length_problems
from dlcli.config.metric_section import GROUP, with_chosen_metrics
from dlcli.datasets.raw_rows import DATA_PATHS
from dlcli.errors import CorruptRun
from dlcli.gate.seal import seal_change
from dlcli.gate.vouching import CONFIG_FILE, new_seal
from dlcli.runs.folder import config_text
from dlcli.runs.recorded import SPLIT_FILE, read_config, read_config_text
from dlcli.runs.recorded_paths import recorded_in, relocated
from dlcli.splits.split import Split
from dlcli.tracking.amend import amend
from dlcli.tracking.digests import replace_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Kind, Ledger
from dlcli.tracking.mlflow_tags import FOUND_TAG
from dlcli.tracking.store import Store

PLACE_TAG = "dlcli.place"

_CONFIG = "the run's configuration"

_FORMER = "former "

# Sections, and keys within sections, that do not affect the result of a training run.
_WHERE = frozenset(
    {"executor", "tracking", "runs_dir", "run_name", "experiment_name", "cv", "sweep", "baseline"}
)
# The lookback is part of the fingerprint of the rows, which is compared as well; earlier versions recorded `auto`.
_WHERE_IN = {"dataset": (*DATA_PATHS, "lookback"), "trainer": ("accelerator", "devices")}


@dataclass
class Children:
    """The child runs of a parent, identified by their places: `fold 3`, `fold 3 seed 1`, `refit`.

    A place is a tag of its run, so that resuming the parent finds the run again.
    """

    store: Store
    parent: Ledger
    known: dict[str, Path]
    _texts: dict[int, tuple[dict[str, Any], str]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, parent: Ledger) -> Children:
        """Find the existing child runs of a parent in its current folder."""
        return cls(store, parent, families(parent).get(parent.run_id, {}))

    def run_dir(
        self,
        place: str,
        kind: Kind,
        config: dict[str, Any],
        split: Split,
        params: Mapping[str, Any],
        tags: Mapping[str, str],
        files: Mapping[str, str | bytes] = MappingProxyType({}),
    ) -> Path:
        """Return the folder of the run at a place; the run is created, with `files` in its folder, if there is none."""
        if place not in self.known:
            text = {CONFIG_FILE: self._text(config)}
            self.known[place] = self.store.create_run(
                experiment=self.parent.experiment,
                run_name=f"{self.parent.run_name}-{place.replace(' ', '-')}",
                kind=kind,
                params=params,
                tags={
                    **recorded_choices(self.parent.tags, config),
                    **tags,
                    PLACE_TAG: place,
                    "dlcli.split_fingerprint": split.fingerprint,
                },
                parent_id=self.parent.run_id,
                files={**text, **new_seal(text), SPLIT_FILE: split.to_bytes(), **files},
                later=True,
            )
        return self.known[place]

    def settled(self, place: str, config: dict[str, Any]) -> dict[str, Any]:
        """Return the configuration with the value that the finder of the run at a place has found."""
        found = Ledger.load(self.known[place]).tags.get(FOUND_TAG)
        if not found:
            return config
        name, ledger = found.partition("=")[0], Ledger.load(self.known[place])
        if name not in FOUND_KEYS:
            raise CorruptRun(
                f"the tag {FOUND_TAG} names {name}", str(ledger.run_dir), "Copy the folder again."
            )
        section, key = name.split(".")
        recorded = read_config(ledger)
        if not isinstance(recorded.get(section), Mapping) or key not in recorded[section]:
            raise CorruptRun(f"has no {name}", str(ledger.run_dir / CONFIG_FILE), "Copy the folder again.")
        return {**config, section: {**config[section], key: recorded[section][key]}, "finder": {}}

    def is_done(self, place: str, config: dict[str, Any]) -> bool:
        """Return whether the run at a place has finished with this configuration."""
        if Ledger.load(self.known[place]).status != "FINISHED":
            return False
        if self._recorded_text(place) == self._text(config):
            return True
        return what_is_trained(self._recorded(place)) == what_is_trained(config)

    def continues(self, place: str, config: dict[str, Any]) -> bool:
        """Return whether the run at a place can continue with a configuration, which may have more epochs."""
        recorded = self._recorded(place)
        before, after = (what_is_trained(c) for c in (recorded, config))
        same_length = {
            **before,
            "trainer": {**before["trainer"], "max_epochs": after["trainer"]["max_epochs"]},
        }
        return same_length == after and not any(find_length_problems(recorded, config))

    def retire(self, place: str) -> None:
        """Free a place: its run stays in the record, and a new run can be created there."""
        amend(self.store, self.known.pop(place), {PLACE_TAG: f"{_FORMER}{place}"})

    def _recorded(self, place: str) -> dict[str, Any]:
        """Return a child's recorded configuration, with its paths relocated to the current folders."""
        config, parent = read_config(Ledger.load(self.known[place])), self.parent
        then = recorded_in(config, parent.former_runs_dir, parent.runs_dir)
        return relocated(config, then, parent.runs_dir)[0]

    def configure(self, place: str, config: dict[str, Any]) -> None:
        """Replace the configuration of the run at a place, for example to train longer."""
        if self._recorded_text(place) != self._text(config):
            ledger = Ledger.load(self.known[place])
            # The status changes in the same write. Otherwise a run that is killed before its training begins would
            # count as finished with the new configuration.
            status = "KILLED" if ledger.status == "FINISHED" else ledger.status
            text = self._text(config)
            seal_change(ledger.run_dir, CONFIG_FILE, self._recorded_text(place), text)
            replace_recorded(ledger, {CONFIG_FILE: text}, status=status)

    def _recorded_text(self, place: str) -> str:
        return read_config_text(Ledger.load(self.known[place]))

    def _text(self, config: dict[str, Any]) -> str:
        # Cached for all children that share a configuration, because PyYAML takes milliseconds for it. The cache holds
        # a reference to the configuration, so that its identity is not reused.
        if id(config) not in self._texts:
            self._texts[id(config)] = config, config_text(config)
        return self._texts[id(config)][1]


def families(member: Ledger) -> dict[str, dict[str, Path]]:
    """Return the child runs in a run's experiment folder, as a mapping of parent ID to place to folder.

    All runs of an experiment are in one folder.
    """
    found: dict[str, dict[str, Path]] = {}
    for file in member.run_dir.parents[1].glob(f"*/artifacts/{LEDGER_FILE}"):
        try:
            ledger = Ledger.load(file.parent)
        except CorruptRun:
            continue
        if ledger.parent_id is not None and PLACE_TAG in ledger.tags:
            found.setdefault(ledger.parent_id, {})[ledger.tags[PLACE_TAG]] = file.parent
    return found


def descendants(member: Ledger) -> list[Ledger]:
    """Return the ledgers of a run's children and of all their descendants."""
    known, found, pending = families(member), [], [member.run_id]
    while pending:
        below = [Ledger.load(folder) for folder in known.get(pending.pop(), {}).values()]
        found += below
        pending += [ledger.run_id for ledger in below]
    return found


def what_is_trained(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a configuration that determines the result of training, without paths and resources.

    Configurations of earlier versions without metrics are compared with the task's default metrics.
    """
    if "metrics" not in config["task"] and not config.get(GROUP):
        config = {**with_chosen_metrics(dict(config), ())[0]}
    trained = {GROUP: {}} | {key: value for key, value in config.items() if key not in _WHERE}
    for section, keys in _WHERE_IN.items():
        trained[section] = {key: value for key, value in config[section].items() if key not in keys}
    return trained

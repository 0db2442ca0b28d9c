"""Child runs: those that are there already, and new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dlcli.assembly.finder_run import FOUND_TAG
from dlcli.datasets.raw_rows import DATA_PATHS
from dlcli.errors import CorruptRun
from dlcli.gate.vouching import CONFIG_FILE
from dlcli.runs.folder import config_text
from dlcli.runs.recorded import SPLIT_FILE, read_config, read_config_text
from dlcli.runs.recorded_paths import recorded_in, relocated
from dlcli.splits.split import Split
from dlcli.tracking.digests import replace_recorded
from dlcli.tracking.ledger import LEDGER_FILE, Kind, Ledger
from dlcli.tracking.store import Store

PLACE_TAG = "dlcli.place"

_CONFIG = "the run's configuration"

_WHERE = frozenset({"executor", "tracking", "runs_dir", "run_name", "experiment_name", "cv", "sweep"})
_WHERE_IN = {"dataset": DATA_PATHS, "trainer": ("accelerator", "devices")}


@dataclass
class Children:
    """The child runs of a parent, each known by its place: `fold 3`, `fold 3 seed 1`, `refit`.

    A place keeps its run: who resumes finds it again.
    """

    store: Store
    parent: Ledger
    known: dict[str, Path]
    _texts: dict[int, tuple[dict[str, Any], str]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store, parent: Ledger) -> Children:
        """Those of a parent, wherever they are by now."""
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
        """The folder of the run at a place; makes the run, with these `files` in its folder, where there is none."""
        if place not in self.known:
            self.known[place] = self.store.create_run(
                experiment=self.parent.experiment,
                run_name=f"{self.parent.run_name}-{place.replace(' ', '-')}",
                kind=kind,
                params=params,
                tags={**tags, PLACE_TAG: place, "dlcli.split_fingerprint": split.fingerprint},
                parent_id=self.parent.run_id,
                files={CONFIG_FILE: self._text(config), SPLIT_FILE: split.to_bytes(), **files},
            )
        return self.known[place]

    def settled(self, place: str, config: dict[str, Any]) -> dict[str, Any]:
        """The configuration with what a finder has found for the run at a place: it need not look again."""
        found = Ledger.load(self.known[place]).tags.get(FOUND_TAG)
        if not found:
            return config
        section, key = found.partition("=")[0].split(".")
        recorded = read_config(Ledger.load(self.known[place]))
        return {**config, section: {**config[section], key: recorded[section][key]}, "finder": {}}

    def is_done(self, place: str, config: dict[str, Any]) -> bool:
        """Whether the run at a place has finished with this configuration."""
        if Ledger.load(self.known[place]).status != "FINISHED":
            return False
        if self._recorded_text(place) == self._text(config):
            return True
        return what_is_trained(self._recorded(place)) == what_is_trained(config)

    def _recorded(self, place: str) -> dict[str, Any]:
        """A child's configuration, its paths as they are now."""
        config, parent = read_config(Ledger.load(self.known[place])), self.parent
        then = recorded_in(config, parent.former_runs_dir, parent.runs_dir)
        return relocated(config, then, parent.runs_dir)[0]

    def configure(self, place: str, config: dict[str, Any]) -> None:
        """Give the run at a place another configuration, such as one that trains longer."""
        if self._recorded_text(place) != self._text(config):
            ledger = Ledger.load(self.known[place])
            # Unfinished with the same stroke: what is killed before its training begins must not pass for done.
            status = "KILLED" if ledger.status == "FINISHED" else ledger.status
            replace_recorded(ledger, {CONFIG_FILE: self._text(config)}, status=status)

    def _recorded_text(self, place: str) -> str:
        return read_config_text(Ledger.load(self.known[place]))

    def _text(self, config: dict[str, Any]) -> str:
        # Written once for all children that share it: PyYAML takes milliseconds.
        if id(config) not in self._texts:
            self._texts[id(config)] = config, config_text(config)  # held, lest another get the same identity
        return self._texts[id(config)][1]


def families(member: Ledger) -> dict[str, dict[str, Path]]:
    """Of all runs beside a run: those that belong to another, as the other's ID to place to folder.

    All of an experiment's runs lie in one folder.
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
    """The ledgers of all runs that belong to a run, and of those that belong to these."""
    known, found, left = families(member), [], [member.run_id]
    while left:
        below = [Ledger.load(folder) for folder in known.get(left.pop(), {}).values()]
        found += below
        left += [ledger.run_id for ledger in below]
    return found


def what_is_trained(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what says where and how a training runs: equal ones give the same result."""
    trained = {key: value for key, value in config.items() if key not in _WHERE}
    for section, keys in _WHERE_IN.items():
        trained[section] = {key: value for key, value in config[section].items() if key not in keys}
    return trained

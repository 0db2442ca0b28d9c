"""Tell which settings of a resumed search's models differ from those of its earlier trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from dlcli.assembly.finder_run import FOUND_KEYS
from dlcli.config.former_settings import completed
from dlcli.cross_validation.children import descendants, what_is_trained
from dlcli.errors import DlcliError
from dlcli.gate.documents import read_json
from dlcli.runs.recorded import read_config
from dlcli.runs.recorded_paths import recorded_in, relocated
from dlcli.runs.trial_words import TRIAL_FILE
from dlcli.sweeps.dimension import plain_text
from dlcli.sweeps.plan import SweepPlan
from dlcli.tracking.digests import check_recorded
from dlcli.tracking.ledger import Ledger


def settings_of_today(plan: SweepPlan, search: Ledger) -> dict[str, list[str]]:
    """Return model to `key=value (was value)` for each setting that new trials have and its first trial did not have.

    The first point's model is left out: it is compared with the configuration of the search. Models without a trial
    that can be read have no settings to compare.

    Args:
        plan: the plan of the resumed search.
        search: the search, or the cross-validation whose folds are searched.
    """
    if "model" not in plan.space.first:
        return {}
    found: dict[str, list[str]] = {}
    seen = {plan.space.first["model"]}
    trials = [ledger for ledger in descendants(search) if ledger.kind == "trial"]
    for trial in sorted(trials, key=lambda ledger: ledger.started_at or ""):
        # A lost or damaged trial is reported where it is read; another trial of the model may be there.
        with suppress(DlcliError):
            check_recorded(trial, TRIAL_FILE)
            params = read_json(trial.run_dir / TRIAL_FILE, "the trial's settings").get("params")
            if not isinstance(params, dict) or (model := params.get("model")) is None or model in seen:
                continue
            if told := _differing(plan.trial_config(params), _recorded(trial)):
                found[model] = told
            seen.add(model)
    return found


def _recorded(trial: Ledger) -> dict[str, Any]:
    config = read_config(trial)
    return relocated(config, recorded_in(config, trial.former_runs_dir, trial.runs_dir), trial.runs_dir)[0]


def _differing(now: Mapping[str, Any], was: Mapping[str, Any]) -> list[str]:
    # A finder's value is recorded in place of the finder.
    left_out = ("finder", *FOUND_KEYS) if now.get("finder") else ()
    trained = what_is_trained(now)
    then = completed(what_is_trained(was), trained)
    return [text for key, text in _changes(trained, then) if not key.startswith(left_out)]


def _changes(now: Mapping[str, Any], was: Mapping[str, Any], section: str = "") -> Iterator[tuple[str, str]]:
    for name in sorted(now.keys() | was.keys()):
        one, other, key = now.get(name), was.get(name), f"{section}{name}"
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _changes(one, other, f"{key}.")
        elif one != other:
            yield key, f"{key}={plain_text(one)} (was {plain_text(other)})"

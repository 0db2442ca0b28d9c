"""The overrides that repeat a trial or the refit of a sweep as a separate run."""

from __future__ import annotations

from dlcli.config.kept_words import kept_words
from dlcli.config.pasted import override
from dlcli.errors import CorruptRun
from dlcli.gate.documents import read_json
from dlcli.runs.recorded import read_words
from dlcli.tracking.digests import check_recorded
from dlcli.tracking.ledger import Ledger

# File in a trial's folder with its number and settings as JSON.
TRIAL_FILE = "trial.json"

# Overrides that concern the search, and not a training run.
OF_THE_SWEEP = ("sweep.", "sweep/", "sweep=", "effort=", "executor", "tracking.keep=", "run_name=")


def words_of_child(sweep: Ledger, child: Ledger) -> list[str]:
    """Return the overrides of a trial or a refit, without those that concern the search only.

    Raises:
        CorruptRun: the recorded overrides or settings have changed, or cannot be read.
    """
    if child.kind != "trial":
        return read_words(child)
    check_recorded(child, TRIAL_FILE)
    params = read_json(child.run_dir / TRIAL_FILE, "the trial's settings").get("params")
    if not isinstance(params, dict):
        raise CorruptRun("the trial's settings are not a mapping", str(child.run_dir / TRIAL_FILE))
    fixed = [word for word in read_words(sweep) if not word.lstrip("+~").startswith(OF_THE_SWEEP)]
    # Recorded overrides of searched keys have several values, which only a sweep accepts.
    fixed = [word for word in fixed if word.lstrip("+").partition("=")[0].replace("/", ".") not in params]
    point = [override(key, value) for key, value in params.items()]
    return [*kept_words(fixed, point)[0], *point]

"""`dlcli resume`: continue or extend a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from dlcli.config.next_command import resume_command
from dlcli.cross_validation.children import descendants
from dlcli.cross_validation.chosen_settings import searches_in_folds
from dlcli.cross_validation.cross_validate import cross_validate
from dlcli.distributed.ranks import leading
from dlcli.events import Listener, Note, ignore
from dlcli.experiment import plan_estimation
from dlcli.job import take_part
from dlcli.result import Result
from dlcli.resumption import NOTHING_LEFT, how_far, open_whole, plan_resumption
from dlcli.runner import runs_directory
from dlcli.runner.recording import recording
from dlcli.runs.code_changes import changed_code, words_of_change
from dlcli.runs.folder import read_result
from dlcli.sweeps.replanning import plan_again, plan_nested_again
from dlcli.sweeps.run_sweep import run_sweep
from dlcli.tracking.resume_target import store_for_resuming, switch_store
from dlcli.tracking.store import Store, open_store


def resume(
    run: str,
    overrides: Sequence[str] = (),
    conf_dirs: Sequence[Path] = (),
    runs_dir: Path | None = None,
    listen: Listener = ignore,
    trust: bool = False,
) -> Result:
    """Continue a run that was stopped, or extend a finished one, in the same runs and without repeating work."""
    with leading(take_part):
        opened = open_whole(run, runs_directory(runs_dir), conf_dirs, trust=trust, overrides=overrides)
        uri = store_for_resuming(opened.ledger, resume_command(opened.ledger, *overrides))
        gate, folders = opened.claim.to_resume(opened.config)
        with gate.closed():
            resumption = plan_resumption(opened, overrides)
            if resumption is None:
                return replace(read_result(opened.folder), messages=(NOTHING_LEFT,))
            gate.admit_all(resumption.config)  # before anything is read or built
            if changed := changed_code(opened.folder, resumption.config, folders):
                resumption = replace(resumption, code=changed)
                listen(Note(words_of_change(changed)))
            carry_out: Callable[[Path, Store], Result]
            if opened.ledger.kind == "sweep":
                carry_out = partial(run_sweep, plan_again(resumption, folders, listen), listen=listen)
            elif searches_in_folds(resumption.config):
                nested = plan_nested_again(resumption, folders, listen)
                carry_out = partial(cross_validate, nested.estimation, listen=listen, search=nested)
            else:
                estimation = plan_estimation(resumption.config, folders)
                opened.check_rows(estimation.data, estimation.fingerprint)
                carry_out = partial(cross_validate, estimation, listen=listen)
            with open_store(opened.ledger.runs_dir, uri) as store:
                moved = switch_store(store, [opened.ledger, *descendants(opened.ledger)])
                resumption.record()  # only after all checks have passed
                for note in filter(None, [*opened.notes, *store.notes, moved, how_far(opened)]):
                    listen(Note(note))
                with recording(opened.folder, store, listen):
                    return carry_out(opened.folder, store)

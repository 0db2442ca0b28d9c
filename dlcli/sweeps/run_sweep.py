"""Run or continue a sweep, up to the refit of its best trial."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, partial
from pathlib import Path

from dlcli.config.build import build
from dlcli.config.next_command import next_command, resume_command
from dlcli.cross_validation.fold_summary import mean_baselines
from dlcli.datasets.notices import Notice, as_plain, notice_metrics, of_runs, sentences
from dlcli.errors import DiskFull, ExecutorError, Interrupted, TrainingError
from dlcli.events import Listener, Note, SweepPlanned, TrialEnded
from dlcli.executors.executor import Executor, execute_last
from dlcli.executors.stack_account import record_stacks
from dlcli.executors.time_limits import Limits
from dlcli.executors.workers import Workers
from dlcli.files.disk import disk_errors
from dlcli.files.paths import display
from dlcli.formatting import counted
from dlcli.inference.evaluation import choose_device
from dlcli.result import Result
from dlcli.runs.folder import read_result, recorded_baselines
from dlcli.runs.recorded import read_config_text
from dlcli.runs.retention import drop_weights, has_weights
from dlcli.sweeps.by_model import by_model, why_it_won
from dlcli.sweeps.driver import Driver
from dlcli.sweeps.final_model import make_final_model
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.records import Records, undefined_in_folds
from dlcli.sweeps.study import Study
from dlcli.sweeps.sweep_report import import_plots, write_sweep_report
from dlcli.sweeps.sweep_summary import best_so_far, describe_sweep, messages, why_failed
from dlcli.sweeps.trial import BEST_TAG, Trial
from dlcli.tracking.amend import amend
from dlcli.tracking.digests import WINNER_FILE, forget_results
from dlcli.tracking.ledger import Ledger, atomic_write
from dlcli.tracking.recorder import Recorder
from dlcli.tracking.store import Store


def run_sweep(
    plan: SweepPlan,
    run_dir: Path,
    store: Store,
    listen: Listener,
    *,
    system_metrics: bool = True,
    executor: Executor | None = None,
) -> Result:
    """Run the remaining trials, refit the best one, and record the sweep's result in its own run.

    Args:
        plan: the sweep.
        run_dir: the folder of the sweep's run.
        store: creates the runs of the trials.
        listen: receives the events.
        system_metrics: False leaves out system metrics, even if the configuration asks for them.
        executor: an open executor; None opens the configured one.

    Raises:
        TrainingError: too many trials failed, or all of them did; the sweep is recorded as FAILED.
        Interrupted: the sweep is recorded as KILLED, and can be resumed.
    """
    started = time.monotonic()
    system_metrics = system_metrics and build(plan.config["tracking"], where="tracking").system_metrics
    with Recorder(run_dir, system_metrics=system_metrics) as recorder, disk_errors(run_dir):
        records = Records(store, recorder.ledger, plan.estimation, plan.objectives)
        standing = Standing(records.read(), plan.objectives)
        with _noting_how_to_resume(recorder.ledger, plan, standing), ExitStack() as searching:
            study, driver, workers = _search(plan, records, standing, recorder, listen, executor, searching)
            best = standing.best
            if workers is None or best is None or driver.is_stopped_by_failures:
                searching.close()
            if best is None or driver.is_stopped_by_failures:
                raise _no_winner(standing, plan, driver, recorder.ledger)
            forget_results(recorder.ledger)
            _tag_best(store, standing)
            recorder.tag("dlcli.best_command", plan.command(best.params))

            @cache
            def report() -> tuple[dict[str, float], list[str], list[Notice]]:
                store.project(now=True)
                return write_sweep_report(run_dir, plan, study, standing)

            # Written before the end of the refit, which may fail or be stopped although the search has finished.
            run = None
            if workers is None:
                report()
            else:
                run = partial(execute_last, executor=workers, listen=listen, meanwhile=report)
            values = zip(plan.objectives, best.values, strict=True)
            figures = {f"best/{objective.metric}": value for objective, value in values}
            trained = [read_result(folder) for folder in records.existing_folds(best)]
            guesses = mean_baselines(trained)
            final = make_final_model(plan, records, run_dir, standing, listen, run)
            importances, lacking, missing = report()
            folds = len(plan.estimation.splits)
            resume = None if driver.is_complete else resume_command(recorder.ledger)
            parts = [f", fold {n}" for n in range(len(trained))] if len(trained) > 1 else [""]
            told = {f"trial {best.number}{n}": run.notices for n, run in zip(parts, trained, strict=True)}
            notices = [*of_runs({**told, **final.notices}), *missing]
            own = sentences(notices, plan.experiment.data.told)
            why = why_it_won(plan, standing, records)
            undefined = undefined_in_folds([run.values for run in trained])
            lines = [*messages(plan, standing, final.messages, resume, why), *undefined, *own, *lacking]
            if folds > 1 and recorder.ledger.parent_id is None and "members" not in final.result:
                words = ("predict", recorder.ledger.run_name, "FILE", "--use", "folds")
                line = next_command(*words, runs_dir=recorder.ledger.runs_dir)
                lines.append(f"The mean of the models of its {folds} folds predicts with: {line}")
            lines += record_stacks(
                recorder,
                plan.config_of_jobs,
                plan.experiment.data,
                [folder for trial in standing.having("finished") for folder in records.existing_folds(trial)],
                jobs=plan.total * folds,
                limit="a time limit of the sweep" if plan.is_limited else "",
                otherwise="no other trial began at the same time"
                if study.is_independent(plan.total - 1)
                else "their settings followed from results of others",
            )
            recorder.tag("mlflow.note.content", "\n".join(lines))
            winner = read_config_text(Ledger.load(final.run or best.run_dir))
            atomic_write(run_dir / WINNER_FILE, winner)
            recorder.finish(
                {
                    **figures,
                    **final.metrics,
                    **recorded_baselines({**guesses, **final.baselines}),
                    **notice_metrics(notices),
                },
                step=len(standing.trials),
                result={
                    "metrics": [*figures, *final.metrics],
                    "over": dict(final.over),
                    "messages": lines,
                    "notices": as_plain([*plan.left_out, *notices]),  # the panel shows the former
                    "duration_s": round(recorder.ledger.earlier_s + time.monotonic() - started, 3),
                    "trials": [trial.to_json() for trial in standing.trials],
                    "best": {**best.to_json(), "command": plan.command(best.params), "folds": folds},
                    "importances": importances,
                    "models": [one.to_json() for one in by_model(plan, standing)],
                    "out_of_time": not driver.is_complete,
                    "front": [trial.number for trial in standing.front],
                    "refit_run_id": None,
                    "members": [],
                    "selection": {},
                    **final.result,
                    **({"best_folds": [run.run_id for run in trained]} if folds > 1 else {}),
                },
            )
            store.project(now=True)
    return read_result(run_dir)


def _search(
    plan: SweepPlan,
    records: Records,
    standing: Standing,
    recorder: Recorder,
    listen: Listener,
    executor: Executor | None,
    searching: ExitStack,
) -> tuple[Study, Driver, Workers | None]:
    """Run the remaining trials.

    Returns:
        The study, the driver, and the worker processes if a refit can run in one of them.
    """
    keeper = _Keeper(plan, records, standing, recorder, listen)
    keeper.tidy(standing.trials)
    keeper.catch_up()
    config = plan.config
    study = Study(
        plan.space,
        plan.objectives,
        plan.sampler,
        config["sweep"]["pruner"],
        config["seed"],
        len(records.folds),
        config["trainer"].get("max_epochs") or 1,
        standing.trials,
        plan.total,
    )
    description = describe_sweep(plan, recorder.ledger.run_dir)
    recorder.describe(description)
    listen(SweepPlanned(description, plan.total, plan.objectives[0], list(standing.trials)))
    driver = Driver(plan, study, records, standing, listen, keeper.ended, import_plots)
    workers = None
    if not driver.is_complete:
        opening = getattr(build(config["executor"], where="executor"), "opening", "")
        if opening and executor is None:
            listen(Note(opening))
        opened = executor or searching.enter_context(open_executor(plan))
        driver.run(opened)
        is_on_cpu = choose_device(config["trainer"]["accelerator"]).type == "cpu"
        if isinstance(opened, Workers) and opened is not executor and is_on_cpu:
            workers = opened
    return study, driver, workers


def open_executor(plan: SweepPlan) -> Executor:
    """Return the executor of a sweep's trials."""
    executor: Executor = build(plan.config["executor"], where="executor").open(
        plan.config_of_jobs,
        plan.estimation.data,
        max(plan.slots, plan.together),
        apart=plan.is_limited or Limits.of(plan.config).any_of_time,
    )
    return executor


class _Keeper:
    """Updates the sweep's record and removes weights when a trial ends."""

    def __init__(
        self,
        plan: SweepPlan,
        records: Records,
        standing: Standing,
        recorder: Recorder,
        listen: Listener,
    ) -> None:
        self._records = records
        self._standing = standing
        self._recorder = recorder
        self._listen = listen
        self._keep = plan.kept
        self._kept: set[int] = set()

    def ended(self, trial: Trial) -> None:
        """Record a trial that has ended, and remove weights that are no longer needed."""
        best = self._standing.best
        self._log(trial, best)
        before = [other for other in self._standing.trials if other.number in self._kept]
        self.tidy([trial, *before])
        self._listen(TrialEnded(trial, best))

    def catch_up(self) -> None:
        """Record trials that had ended when the sweep was killed; existing records are unchanged."""
        best = self._standing.best
        for trial in self._standing.having("finished"):
            self._log(trial, best)

    def _log(self, trial: Trial, best: Trial | None) -> None:
        figures = {"sweep/value": trial.values[0]} if trial.state == "finished" else {}
        if best is not None:
            figures["sweep/best"] = best.values[0]
            if best is trial:
                ledger = self._recorder.ledger
                ledger.update(result={**ledger.result, "best_run_id": best.run_id}, durable=False)
        if figures:
            self._recorder.log(figures, step=trial.number)

    def tidy(self, trials: list[Trial]) -> None:
        """Remove the weights of ended trials that are not among the best."""
        kept = self._standing.ranked[: self._keep]
        self._kept = {trial.number for trial in kept}
        folders = {folder for trial in kept for folder in self._records.existing_folds(trial)}
        for trial in trials:
            if trial.state != "running" and trial.run_id:
                for folder in self._records.existing_folds(trial):
                    if folder not in folders and has_weights(folder):
                        drop_weights(self._records.store, folder)


def _tag_best(store: Store, standing: Standing) -> None:
    """Tag the best trials, and remove the tag from trials that were the best before the sweep was extended."""
    best = {trial.number for trial in standing.front}
    for trial in standing.having("finished"):
        tagged = Ledger.load(trial.run_dir).tags.get(BEST_TAG) == "true"
        if tagged != (trial.number in best):
            amend(store, trial.run_dir, {BEST_TAG: str(trial.number in best).lower()})


@contextmanager
def _noting_how_to_resume(ledger: Ledger, plan: SweepPlan, standing: Standing) -> Iterator[None]:
    """Add notes to an exception that stops the sweep: its progress, and how to resume it.

    One after the trials, such as of the refit, has notes of its own, which the command is added to.
    """
    resume = f"Resume it: {resume_command(ledger)}"
    try:
        yield
    except (Interrupted, DiskFull, ExecutorError) as stop:
        done, best = len(standing.having("finished")), standing.best
        progress = f"{done} of {plan.total} trials are done." + (
            f" {best_so_far(plan, best)}" if best else ""
        )
        kept = f"The results are kept in {display(ledger.run_dir)}"
        stop.__notes__ = [progress, kept, resume]
        raise
    except Exception as error:
        if standing.best is not None and "dlcli resume" not in str(error):
            error.add_note(resume)
        raise


def _no_winner(standing: Standing, plan: SweepPlan, driver: Driver, ledger: Ledger) -> TrainingError:
    """Return the error of a sweep without a best trial: too many or all trials failed, or the time was too short."""
    failed, best = standing.having("failed"), standing.best
    why = why_failed(standing)
    so_far = f"{best_so_far(plan, best)} " if best else ""
    if driver.is_stopped_by_failures:
        more = f"sweep.max_failures={2 * len(failed)}"
        return TrainingError(
            f"{counted(len(failed), 'trial')} of {len(standing.trials)} failed.{why}",
            "sweep.max_failures",
            f"{so_far}Resume with: {resume_command(ledger, more)}",
        )
    if driver.is_complete:
        return TrainingError(
            f"no trial finished: {len(failed)} of {len(standing.trials)} failed.{why}", "sweep"
        )
    return TrainingError(
        f"sweep.timeout passed before any trial finished.{why}",
        "sweep.timeout",
        f"Resume without a limit, or with a longer one: {resume_command(ledger, 'sweep.timeout=null')}",
    )

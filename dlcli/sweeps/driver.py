"""The main loop of a sweep: free slots start the next trials; failed trials do not stop the sweep."""

from __future__ import annotations

import math
import signal
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from dlcli.config.timespan import in_words
from dlcli.errors import (
    ConfigError,
    DiskFull,
    DlcliError,
    ExecutorError,
    Interrupted,
    Pruned,
    TrainingError,
    in_own_code,
)
from dlcli.events import EpochDone, Event, Listener, Note, TrialEvent, TrialStarted
from dlcli.executors.executor import Executor, working
from dlcli.executors.stacked_jobs import StackedJobs
from dlcli.executors.workers import Workers
from dlcli.inference.latency import LATENCY
from dlcli.job import Job
from dlcli.result import Result
from dlcli.runs.folder import read_result
from dlcli.sweeps.budget import SweepLimits, TrialLimits
from dlcli.sweeps.leaderboard import Standing
from dlcli.sweeps.plan import SweepPlan
from dlcli.sweeps.records import Records, own_seconds
from dlcli.sweeps.study import Study
from dlcli.sweeps.trial import Trial
from dlcli.tracking.mlflow_tags import PRUNED_TAG
from dlcli.tracking.recorder import Recorder


@dataclass
class _Attempt:
    """A trial in progress.

    Attributes:
        trial: the trial.
        config: its configuration.
        folders: of its finished folds.
        record: closes the recorder of its run, if its folds are child runs.
        recorder: of its run, if its folds are child runs.
        limits: its time limit.
        job: the job that is running.
        is_cut: whether it was ended because of `sweep.timeout`; it continues when the sweep is resumed.
    """

    trial: Trial
    config: dict[str, Any]
    folders: list[Path] = field(default_factory=list)
    record: ExitStack = field(default_factory=ExitStack)
    recorder: Recorder | None = None
    limits: TrialLimits | None = None
    job: Job | None = None
    is_cut: bool = False


class Driver:
    """Runs the remaining trials of a sweep.

    Args:
        plan: the sweep.
        study: proposes points and prunes trials.
        records: creates the trials' runs.
        standing: the ranking of all trials.
        listen: receives the events of the trials.
        on_end: called with each trial that has ended in any state; if others run, after its successor has begun.
        at_rest: called while the last trials are running, possibly several times.
    """

    def __init__(
        self,
        plan: SweepPlan,
        study: Study,
        records: Records,
        standing: Standing,
        listen: Listener,
        on_end: Callable[[Trial], None],
        at_rest: Callable[[], object],
    ) -> None:
        self._plan = plan
        self._study = study
        self._records = records
        self._standing = standing
        self._listen = listen
        self._on_end = on_end
        self._at_rest = at_rest
        self._ended: deque[Trial] = deque()
        self._stopped = deque(trial for trial in standing.trials if trial.state == "running")
        self._attempts: list[_Attempt] = []
        self._running: dict[Future[Result], _Attempt] = {}
        # An error of dlcli itself in a thread that delivers events.
        self._trouble: Future[Result] = Future()
        self._together = 1
        self._limits = SweepLimits(plan.options.seconds, plan.options.trial_seconds)

    def run(self, executor: Executor) -> None:
        """Run trials until all have ended and no further trial is to start."""
        self._executor = executor
        self._together = executor.together if isinstance(executor, StackedJobs | Workers) else 1
        try:
            while True:
                while self._has_room() and self._may_begin():
                    self._begin()
                with working(self._executor) as worked:
                    self._keep_record()
                    for _ in worked:
                        self._settle_ended()
                        self._keep_record()
                if not self._running:
                    if self._may_begin():
                        continue
                    return
                self._end_what_hangs()
                wait([*self._running, self._trouble], self._limits.tick, return_when=FIRST_COMPLETED)
                self._settle_ended()
                if (
                    not self._running
                ):  # nothing waits; an executor in this process would first train the next one
                    self._keep_record()
        except BaseException as error:
            # Whatever stops the sweep, running trials are recorded as interrupted, and continue when it is resumed.
            stop = error if isinstance(error, Interrupted) else Interrupted(signal.SIGTERM)
            for attempt in self._attempts:
                attempt.record.__exit__(type(stop), stop, error.__traceback__)
            raise

    @property
    def is_out_of_time(self) -> bool:
        """Whether `sweep.timeout` has passed, so that no further trial starts."""
        return self._limits.is_out_of_time

    @property
    def is_stopped_by_failures(self) -> bool:
        """Whether `sweep.max_failures` trials have failed, so that no further trial starts."""
        return self._failures_left <= 0 and not self.is_complete

    @property
    def _failures_left(self) -> float:
        """The number of further failures that end the sweep; infinity if `sweep.max_failures` is not set."""
        most = self._plan.options.max_failures
        return math.inf if most is None else most - len(self._standing.having("failed"))

    @property
    def is_complete(self) -> bool:
        """Whether all trials of the sweep have ended."""
        return not self._stopped and len(self._standing.trials) >= self._plan.total

    def _has_room(self) -> bool:
        running = len(self._running)
        if running < self._plan.slots:
            return True
        if running >= min(self._together, self._failures_left):
            return False
        is_next = not self._stopped and self._study.is_independent(len(self._standing.trials))
        return is_next or self._plan.may_learn_late

    def _may_begin(self) -> bool:
        return not (self.is_complete or self.is_out_of_time or self.is_stopped_by_failures)

    def _end_what_hangs(self) -> None:
        """End trials that exceed their time limit."""
        longest = max((trial.seconds for trial in self._standing.having("finished")), default=None)
        for future, attempt in self._running.items():
            if attempt.job is None or attempt.limits is None:
                continue
            if not attempt.folders and not future.running():
                attempt.limits.begin()
            if error := attempt.limits.overrun():
                self._executor.end(attempt.job, error)
            elif self._limits.is_beyond(longest):
                attempt.is_cut = True
                self._executor.end(attempt.job, Interrupted(signal.SIGTERM))

    def _begin(self) -> None:
        """Continue a trial that was stopped, or start the next one."""
        trial = self._stopped.popleft() if self._stopped else None
        number = trial.number if trial else len(self._standing.trials)
        params = trial.params if trial else self._study.ask(number)
        problem: ConfigError | None = None
        try:
            config, tags = self._plan.trial(params)
        except ConfigError as error:  # each value is valid, but not their combination
            config, tags, problem = self._plan.config, {}, error
        if trial is None:
            trial = self._records.make(number, params, config, tags)
            self._standing.trials.append(trial)
        attempt = _Attempt(trial, config, limits=self._limits.of_trial())
        self._attempts.append(attempt)
        if problem or len(self._records.folds) > 1:
            attempt.recorder = attempt.record.enter_context(Recorder(trial.run_dir, system_metrics=False))
        if problem:
            self._fail(attempt, problem)
            return
        attempt.folders = self._records.finished_folds(trial)
        self._go_on(attempt)

    def _go_on(self, attempt: _Attempt) -> None:
        """Start the next fold of a trial, or finish the trial."""
        folds, index = self._records.folds_of(attempt.config), len(attempt.folders)
        if index == len(folds):
            self._finish(attempt)
            return
        folder = self._records.fold_dir(attempt.trial, index, attempt.config)
        job = self._plan.estimation.job(folder, folds[index], attempt.config)
        self._listen(TrialStarted(attempt.trial, index, len(folds)))
        timed = any(objective.metric == LATENCY for objective in self._standing.objectives)
        attempt.job = replace(job, slim=True, times_rows=timed)
        listen = partial(self._hear, attempt.trial, reports_epochs=len(folds) == 1)
        self._running[self._executor.submit(attempt.job, listen)] = attempt

    def _hear(self, trial: Trial, event: Event, *, reports_epochs: bool) -> None:
        """Pass on an event of a trial's job; finished epochs are also reported to the study.

        An error here is an error of dlcli or the study, and stops the sweep.

        Raises:
            Pruned: the study prunes the trial.
        """
        try:
            self._listen(TrialEvent(trial, event))
            if not (reports_epochs and isinstance(event, EpochDone)):
                return
            objective = self._standing.objectives[0]
            value = event.metrics.get(objective.metric, math.nan)
            best = trial.reports.get(event.epoch, math.nan)  # value of the epochs before
            trial.reports[event.epoch + 1] = value if objective.is_better(value, best) else best
            is_hopeless = self._study.report(trial, event.epoch + 1)
        except Exception as error:
            with suppress(InvalidStateError):  # one error is enough
                self._trouble.set_exception(error)
            return
        if is_hopeless:
            raise Pruned

    def _settle_ended(self) -> None:
        """Handle the ends of all jobs that have ended."""
        if self._trouble.done():
            self._trouble.result()
        for future in [future for future in self._running if future.done()]:
            self._settle(self._running.pop(future), future)

    def _settle(self, attempt: _Attempt, future: Future[Result]) -> None:
        """Handle the end of a trial's job."""
        try:
            result = future.result()
        except Pruned as pruned:
            self._give_up(attempt, pruned)
        except (DiskFull, ExecutorError):  # no trial can be recorded or trained any more
            raise
        except (Exception, Interrupted) as error:
            if attempt.is_cut and isinstance(error, Interrupted):
                self._cut(attempt, error)
            else:
                self._fail(attempt, error)
        else:
            attempt.folders.append(result.run_dir)
            if len(self._records.folds) > 1 and self._is_hopeless_after_fold(attempt):
                return
            self._go_on(attempt)

    def _is_hopeless_after_fold(self, attempt: _Attempt) -> bool:
        trial, step, folds = attempt.trial, len(attempt.folders), len(self._records.folds)
        figures = self._records.figures(attempt.folders[-1])
        trial.reports[step] = figures[self._standing.objectives[0].metric]
        if not self._study.report(trial, step):
            return False
        assert attempt.recorder is not None
        attempt.recorder.tag(PRUNED_TAG, f"after fold {step} of {folds}")
        self._give_up(attempt, Pruned())
        return True

    def _give_up(self, attempt: _Attempt, pruned: Pruned) -> None:
        attempt.trial.state = "pruned"
        attempt.record.__exit__(type(pruned), pruned, pruned.__traceback__)
        self._end(attempt)

    def _cut(self, attempt: _Attempt, stop: Interrupted) -> None:
        """Record that a trial was ended because of `sweep.timeout`; it continues when the sweep is resumed."""
        attempt.record.__exit__(type(stop), stop, stop.__traceback__)
        self._attempts.remove(attempt)
        self._stopped.append(attempt.trial)
        text = (
            f"Trial {attempt.trial.number} was stopped: it had not ended {in_words(self._limits.beyond)} after "
            "sweep.timeout. It continues when the sweep is resumed."
        )
        self._listen(Note(text))

    def _fail(self, attempt: _Attempt, error: BaseException) -> None:
        attempt.trial.state = "failed"
        attempt.trial.reason = _reason(error)
        attempt.record.__exit__(type(error), error, error.__traceback__)
        self._end(attempt)

    def _finish(self, attempt: _Attempt) -> None:
        trial, duration = attempt.trial, sum(read_result(folder).duration_s for folder in attempt.folders)
        try:
            self._records.set_figures(trial, attempt.folders)
        except TrainingError as error:
            self._fail(attempt, error)
            return
        trial.state = "finished"
        if attempt.recorder is not None:
            metrics: Mapping[str, float] = trial.metrics
            attempt.recorder.finish(
                metrics, step=0, result={"metrics": list(metrics), "duration_s": duration}
            )
        attempt.record.close()
        self._end(attempt)

    def _end(self, attempt: _Attempt) -> None:
        self._attempts.remove(attempt)
        attempt.trial.seconds = own_seconds(attempt.trial.run_dir, attempt.folders)
        self._study.tell(attempt.trial)
        self._ended.append(attempt.trial)

    def _keep_record(self) -> None:
        """Do what no trial has to wait for, while others run."""
        while self._ended:
            self._on_end(self._ended.popleft())
        self._records.store.project()
        if self._running and not self._may_begin():
            self._at_rest()


def _reason(error: BaseException) -> str:
    """Return an error as one line."""
    if isinstance(error, Interrupted):
        return f"its process was stopped by {error}"
    text = str(error) if isinstance(error, DlcliError) else f"{type(error).__name__}: {error}".strip(": ")
    own = None if isinstance(error, DlcliError) else in_own_code(error)
    return text.partition("\n")[0] + (f" ({own.where})" if own else "")

"""Training runs that pause for their steps, continued together."""

from __future__ import annotations

import contextlib
import copy
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import torch
from lightning_fabric.utilities.seed import _collect_rng_states, _set_rng_states

from dlcli.errors import Interrupted
from dlcli.stacking.stack import Stack, draws_only_torch, stack_shape
from dlcli.stacking.stacked_layers import Unstackable
from dlcli.training.due_steps import DueSteps, Pausing
from dlcli.training.module import TrainingModule

T = TypeVar("T")

# Most runs that wait, with their rows and networks, for others of their shape. In a grid of several sizes, the next one
# follows runs of all other sizes.
_MOST_WAITING = 4


@dataclass(eq=False)
class _Run(Generic[T]):
    """One training run: its place, the steps that it waits for, its random state, and its shape.

    `paused` is the time at which it last paused, and `own` its share of the time of its steps since, in seconds.
    `is_light` says whether it draws from torch's random numbers only until its training has ended.
    """

    place: int
    pausing: Pausing[T]
    random: dict[str, Any]
    due: DueSteps | None = None
    shape: Hashable = None
    paused: float = 0.0
    own: float = 0.0
    is_light: bool = False


@dataclass(eq=False)
class _Group(Generic[T]):
    """Runs of one shape that are in a stack."""

    runs: list[_Run[T]]
    stack: Stack


@dataclass
class Together(Generic[T]):
    """Training runs that are continued chunk by chunk, so that runs of one shape take their steps together.

    Each run has its own random state, as if it ran alone. Runs that cannot be stacked take their steps alone.

    Args:
        runs: the training runs.
    """

    runs: Sequence[Pausing[T]]
    # Those whose random states are torch's, and those of Python and numpy.
    _loaded: _Run[T] | None = None
    _whole: _Run[T] | None = None
    _waiting: list[_Run[T]] = field(default_factory=list)
    _groups: dict[Hashable, _Group[T]] = field(default_factory=dict)

    def outcomes(self) -> Generator[tuple[int, T | Exception], None, None]:
        """Yield the place of each run that has ended, with its result or its error.

        If the iteration is interrupted, or not continued, the runs that have not ended are interrupted.
        """
        outside = _collect_rng_states()
        try:
            for place, pausing in enumerate(self.runs):
                run = _Run(place, pausing, dict(outside))
                yield from self._continue(run)
                if run.due is not None:
                    run.shape = self._shape(run.due.module)
                if run.due is not None and run.shape is None:
                    yield from self._end_alone(run)
                if len(single := self._without_others()) > _MOST_WAITING:
                    yield from self._end_alone(single[0])
            for run in self._without_others():
                yield from self._end_alone(run)
            self._form_groups()
            while self._waiting:
                yield from self._take_next()
        except BaseException as error:
            self._stop(getattr(error, "signum", signal.SIGTERM))
            raise
        finally:
            _set_rng_states(outside)

    def _without_others(self) -> list[_Run[T]]:
        """Return the waiting runs of whose shape there is no other, in their order."""
        counts = Counter(run.shape for run in self._waiting)
        return [run for run in self._waiting if counts[run.shape] == 1]

    def _end_alone(self, run: _Run[T]) -> Iterator[tuple[int, T | Exception]]:
        """Continue a run alone, up to its end."""
        if run.due is not None and not run.due.module.sharing.why_alone:
            run.due.module.sharing.why_alone = "no other network of its shape"
        while run.due is not None:
            yield from self._take_alone(run)

    def _shape(self, module: TrainingModule) -> Hashable:
        """Return the shape of a run, or None if it has to be trained alone."""
        try:
            return stack_shape(module)
        except Unstackable as reason:
            module.sharing.why_alone = str(reason)
            return None

    def _form_groups(self) -> None:
        shapes: dict[Hashable, list[_Run[T]]] = defaultdict(list)
        for run in self._waiting:
            shapes[run.shape].append(run)
        self._groups = {shape: _Group(runs, _stack_of(runs)) for shape, runs in shapes.items()}
        for run in self._waiting:
            assert run.due is not None
            if draws_only_torch(run.due.module):
                run.is_light = True
                run.due.module.stacked.at_end = partial(self._load, run)

    def _take_next(self) -> Iterator[tuple[int, T | Exception]]:
        """Take the earliest steps that runs wait for, so that runs in a stack stay side by side."""
        first = min(_moment(run) for run in self._waiting)
        front = [run for run in self._waiting if _moment(run) == first]
        for shape in dict.fromkeys(run.shape for run in front):
            runs = [run for run in front if run.shape == shape]
            yield from self._take_stacked(self._groups[shape], runs)

    def _take_alone(self, run: _Run[T]) -> Iterator[tuple[int, T | Exception]]:
        assert run.due is not None
        self._load(run)
        failure: Exception | None = None
        started = time.perf_counter()
        try:
            run.due.take()
        except Exception as error:
            failure = error
        run.own = time.perf_counter() - started
        yield from self._continue(run, failure)

    def _take_stacked(self, group: _Group[T], runs: list[_Run[T]]) -> Iterator[tuple[int, T | Exception]]:
        alive = [run for run in group.runs if run in self._waiting]
        if 2 * len(alive) <= len(group.runs):  # most others have ended
            group.stack.release()
            group.runs, group.stack = alive, _stack_of(alive)
        self._load(None)
        due: dict[int, DueSteps] = {}
        random: dict[int, torch.Generator] = {}
        for run in runs:
            assert run.due is not None
            number = group.runs.index(run)
            due[number], random[number] = run.due, torch.Generator()
            random[number].set_state(run.random["torch"])
        failures: dict[int, Exception] = {}
        started = time.perf_counter()
        try:
            failures = group.stack.take(due, random)
            group.stack.score([k for k, steps in due.items() if steps.ends_epoch and k not in failures])
        except Exception as error:  # of all runs, such as too little memory
            failures = {number: _copied(error) for number in due}
        for number, generator in random.items():
            group.runs[number].random["torch"] = generator.get_state()
        share = (time.perf_counter() - started) / len(runs)
        for run in runs:
            run.own = share
            yield from self._continue(run, failures.get(group.runs.index(run)))

    def _continue(
        self, run: _Run[T], failure: Exception | None = None
    ) -> Iterator[tuple[int, T | Exception]]:
        """Continue a run up to its next steps, or yield its end."""
        self._load(run, whole=not run.is_light)
        if run in self._waiting:
            self._waiting.remove(run)
        if run.due is not None:
            run.due.module.sharing.waited += time.perf_counter() - run.paused - run.own
        run.due = None
        try:
            run.due = next(run.pausing) if failure is None else run.pausing.throw(failure)
        except StopIteration as end:
            yield run.place, end.value
        except Exception as error:
            yield run.place, error
        else:
            run.paused = time.perf_counter()
            self._waiting.append(run)

    def _load(self, run: _Run[T] | None, *, whole: bool = True) -> None:
        """Save the random state of the run that was continued last, and set that of another one.

        Without `whole`, that is torch's only, because the epochs of most runs draw from no other.
        """
        if self._loaded is not run:
            if self._loaded is not None:
                self._loaded.random["torch"] = torch.get_rng_state()
            if run is not None:
                torch.set_rng_state(run.random["torch"])
            self._loaded = run
        if run is not None and whole and self._whole is not run:
            if self._whole is not None:
                self._whole.random |= _collect_rng_states() | {"torch": self._whole.random["torch"]}
            run.random["torch"] = torch.get_rng_state()
            _set_rng_states(run.random)
            self._whole = run

    def _stop(self, signum: int) -> None:
        """Interrupt the runs that have not ended, each of which records that."""
        for run in self._waiting:
            with contextlib.suppress(BaseException):
                run.pausing.throw(Interrupted(signum))
        self._waiting = []


def _stack_of(runs: Sequence[_Run[Any]]) -> Stack:
    modules = [run.due.module for run in runs if run.due is not None]
    for module in modules:
        module.sharing.runs = max(module.sharing.runs, len(modules))
    return Stack(modules)


def _copied(error: Exception) -> Exception:
    """Return a copy of an error, to which a run can add its own notes."""
    try:
        found = copy.copy(error)
    except Exception:  # its constructor takes other arguments
        return error
    found.__notes__ = list(getattr(error, "__notes__", ()))
    return found.with_traceback(error.__traceback__)


def _moment(run: _Run[Any]) -> tuple[int, int]:
    assert run.due is not None
    return run.due.epoch, run.due.number

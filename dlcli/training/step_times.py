"""Compare the times of steps on a machine that does other work as well."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

# Maximum number of times that each step is taken, and seconds after which none is taken any more.
_ROUNDS, _SECONDS = 12, 3.0


def fastest_steps(steps: Sequence[Callable[[], object]]) -> list[float]:
    """Return the shortest time of each step, in seconds of CPU time of this thread.

    The thread takes part in all operations on a CPU. Its time does not grow when it waits for a core, unlike that of a
    clock. The steps are taken in turn, so that a change of the machine's speed falls on all of them, and the shortest
    time is the one that other work disturbed least.
    """
    times: list[list[float]] = [[] for _ in steps]
    started = time.perf_counter()
    while len(times[0]) < _ROUNDS and (len(times[0]) < 2 or time.perf_counter() - started < _SECONDS):
        for step, own in zip(steps, times, strict=True):
            before = time.thread_time()
            step()
            own.append(time.thread_time() - before)
    return [min(own) for own in times]

"""The queue of a pool's jobs."""

from __future__ import annotations

from concurrent.futures import Future
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcli.events import ignore
from dlcli.executors.job_queue import JobQueue, QueuedJob
from dlcli.job import Job


def queued(number: int) -> QueuedJob:
    return QueuedJob(Job({}, str(number), 0), ignore, Future())


def taken(queue: JobQueue) -> list[list[str]]:
    """The jobs that each of two workers takes at first, in turn."""
    workers = [queue.batches() for _ in range(2)]
    return [[task.job.run_dir for task in next(worker)] for worker in workers]


def test_jobs_that_are_released_together_are_shared_out_evenly() -> None:
    queue = JobQueue(stack=32, workers=2)
    for number in range(5):
        queue.put(queued(number))
    queue.release()
    assert taken(queue) == [["0", "1", "2"], ["3", "4"]]


@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4))
def test_every_job_is_taken_once_and_in_order(jobs: int, stack: int, workers: int) -> None:
    queue = JobQueue(stack, workers)
    for number in range(jobs):
        queue.put(queued(number))
    queue.close()
    batches = [[int(task.job.run_dir) for task in batch] for batch in queue.batches()]
    assert [number for batch in batches for number in batch] == list(range(jobs))
    assert max(map(len, batches)) <= stack
    assert all(len(one) >= len(other) for one, other in pairwise(batches))


def test_jobs_that_are_dropped_are_cancelled() -> None:
    queue, jobs = JobQueue(stack=2, workers=1), [queued(number) for number in range(3)]
    for job in jobs[:2]:
        queue.put(job)
    queue.release()
    queue.put(jobs[2])  # not yet released
    queue.drop()
    queue.close()
    assert [job.future.cancelled() for job in jobs] == [True] * 3
    with pytest.raises(StopIteration):
        next(queue.batches())

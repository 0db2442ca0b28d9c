"""The thread that runs the model."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from dlcli.serving.model_worker import Busy, ModelWorker


def test_requests_that_wait_are_answered_together() -> None:
    entered, leave, sizes = threading.Event(), threading.Event(), []

    def answer(requests: Sequence[Any]) -> list[Any]:
        sizes.append(len(requests))
        entered.set()
        leave.wait()
        return [request * 2 for request in requests]

    worker = ModelWorker(answer, waiting=4)
    first = worker.submit(1)
    entered.wait()
    waiting = [worker.submit(number) for number in (2, 3, 4, 5)]
    with pytest.raises(Busy):
        worker.submit(6)
    assert worker.waiting == 4
    assert waiting[1].cancel()  # such as after its time is up
    leave.set()
    assert first.result() == 2
    assert [future.result() for number, future in enumerate(waiting) if number != 1] == [4, 8, 10]
    worker.close()
    assert sizes == [1, 3]


def test_a_request_that_is_cancelled_holds_no_memory_until_its_turn() -> None:
    leave, released = threading.Event(), list[bool]()
    worker = ModelWorker(lambda requests: [leave.wait() for _ in requests], waiting=4)
    first, body = worker.submit("first"), {"a", "body"}
    weakref.finalize(body, released.append, True)
    while not first.running():
        pass
    waiting = worker.submit(body)
    del body
    assert not released
    assert waiting.cancel()
    assert released
    leave.set()
    worker.close()


def test_the_thread_survives_what_a_model_raises_and_answers_all_before_its_end() -> None:
    def answer(requests: Sequence[Any]) -> list[Any]:
        if "exit" in requests:
            raise SystemExit
        return [ValueError() if request == "bad" else request for request in requests]

    worker = ModelWorker(answer, waiting=100)
    with pytest.raises(SystemExit):
        worker.submit("exit").result()
    futures = [worker.submit(number) for number in range(90)]
    bad = worker.submit("bad")
    worker.close()
    assert [future.result(timeout=0) for future in futures] == list(range(90))
    assert isinstance(bad.exception(timeout=0), ValueError)

"""`ModelWorker`: the thread that runs the model, with all waiting requests in one batch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

# Maximum number of requests in a batch. No request waits for a batch to be full.
_TOGETHER = 64


class Busy(Exception):
    """The queue of requests is full."""


class ModelWorker:
    """Answers requests in a thread of its own, each time all that are waiting.

    Args:
        answer: returns the answers to several requests; an exception takes the place of an answer.
        waiting: maximum number of waiting requests.
    """

    def __init__(self, answer: Callable[[Sequence[Any]], Sequence[Any]], waiting: int) -> None:
        self._answer = answer
        self._queue: queue.Queue[tuple[list[Any], Future[Any]] | None] = queue.Queue(waiting)
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return self._queue.qsize()

    def submit(self, request: Any) -> Future[Any]:
        """Queue a request and return the future of its answer; a future that is cancelled in time is not computed.

        Raises:
            Busy: The queue of requests is full.
        """
        future: Future[Any] = Future()
        held = [request]
        # A cancelled request does not hold its memory until its turn.
        future.add_done_callback(lambda _: held.clear())
        try:
            self._queue.put_nowait((held, future))
        except queue.Full:
            raise Busy from None
        return future

    def close(self) -> None:
        """Answer the waiting requests, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        closing = False
        while not closing:
            some = [self._queue.get()]
            while len(some) < _TOGETHER and some[-1] is not None:
                try:
                    some.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            closing = some[-1] is None
            asked = [one for one in some if one is not None and one[1].set_running_or_notify_cancel()]
            if asked:
                self._settle(asked)

    def _settle(self, asked: Sequence[tuple[list[Any], Future[Any]]]) -> None:
        try:
            answers = self._answer([request for (request,), _ in asked])
        except BaseException as error:  # the thread continues, whatever a user's model raises
            answers = [error] * len(asked)
        for (_, future), answer in zip(asked, answers, strict=True):
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)

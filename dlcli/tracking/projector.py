"""The thread that updates MLflow during a run, without delaying training."""

from __future__ import annotations

import logging
import math
import threading
import time

from dlcli.errors import DlcliError
from dlcli.tracking.connection import NO_RUN, is_server, recall
from dlcli.tracking.ledger import Ledger
from dlcli.tracking.projection import DELETED, Projection

_log = logging.getLogger(__name__)

# Seconds between pushes, and maximum seconds between attempts while the store does not answer.
_INTERVAL, _LONGEST_BACKOFF = 2.0, 30.0
# Runs that are trained together push this much less often each, so that their number does not multiply the time that
# the store takes.
_SECONDS_EACH = 0.5
_HEARTBEAT = 30.0  # seconds
_GRACE = 5.0  # seconds after the end of the run during which a store that does not answer is retried

# Times at which runs of this process gave up a store. Child runs that end soon after do not wait for it: many that are
# trained together would wait one after the other.
_gave_up: dict[str, float] = {}

# The projectors of this process that push.
_running: set[Projector] = set()


class Projector(threading.Thread):
    """Pushes every two seconds, for many runs in one process less often; the rest when the run has ended.

    If the store does not answer, it warns once and retries with exponential backoff.
    """

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(name="dlcli-projector", daemon=True)
        self._ledger = ledger
        self._over = threading.Event()
        self._projection: Projection | None = None
        self._warned = False
        self._last_error: Exception | None = None
        self._server = False
        self._next_beat = 0.0

    def run(self) -> None:
        """Push until the run has ended, then push the rest."""
        _running.add(self)
        try:
            self._push_until_over()
        finally:
            _running.discard(self)
        if self._is_left:
            return
        given_up = _gave_up.get(self._ledger.store_uri, -math.inf)
        if self._last_error and self._ledger.parent_id and time.monotonic() - given_up < _LONGEST_BACKOFF:
            return
        deadline = time.monotonic() + _GRACE
        while not self._attempt(last=True):
            if time.monotonic() >= deadline:
                _gave_up[self._ledger.store_uri] = time.monotonic()
                return
            time.sleep(0.5)

    def _push_until_over(self) -> None:
        # Push the status RUNNING now, except for child runs, which may end soon.
        wait = 0.0 if self._ledger.parent_id is None else self._interval
        while not self._over.wait(wait):
            done = self._attempt(last=False)
            wait = self._interval if done else min(max(2 * wait, _INTERVAL), _LONGEST_BACKOFF)

    @property
    def _interval(self) -> float:
        return max(_INTERVAL, _SECONDS_EACH * len(_running))

    @property
    def _is_left(self) -> bool:
        """Whether the driver sends this run, which MLflow does not have yet, together with others."""
        ledger = self._ledger
        return self._projection is None and ledger.parent_id is not None and not ledger.projected

    def finish(self) -> bool:
        """Push the rest, unless the store does not answer; return whether MLflow has all of the run.

        For a run without a parent, a warning reports the missing data and the remedy.
        """
        self._over.set()
        self.join()
        if self._last_error is not None and self._ledger.parent_id is None:
            _log.warning("MLflow lacks a part of this run: %s", _in_one_line(self._last_error))
        return self._projection is not None and self._projection.complete

    def _attempt(self, *, last: bool) -> bool:
        try:
            if self._projection is None:
                self._projection = Projection(self._ledger)
                self._server = is_server(recall(self._ledger.tracking_uri, self._ledger.runs_dir))
            if last:
                self._projection.push_all()
            else:
                if self._server and time.monotonic() >= self._next_beat:
                    self._projection.beat()
                    self._next_beat = time.monotonic() + _HEARTBEAT
                self._projection.push()
        except Exception as error:
            if not last:  # `finish` gives the warning at the end
                self._warn(error)
            self._last_error = error
            self._next_beat = 0.0
            return False
        self._last_error = None
        if self._warned:
            self._warned = False
            _log.info("The MLflow store answers again.")
        return True

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            reason = error.problems[0].message if isinstance(error, DlcliError) else repr(error)
            later = (
                ""
                if reason in (NO_RUN, DELETED)
                else ", and MLflow will be updated later, at the latest by the next dlcli command"
            )
            _log.warning(
                "MLflow is not up to date (%s). Nothing is lost: the run continues, its record is on disk%s.",
                reason,
                later,
            )


def _in_one_line(error: Exception) -> str:
    if not isinstance(error, DlcliError):
        return repr(error)
    problem = error.problems[0]
    parts = [": ".join(filter(None, [problem.where, problem.message])), problem.hint]
    return ". ".join(filter(None, parts))

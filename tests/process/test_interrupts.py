import signal
import threading

import pytest

from dlcli.errors import Interrupted
from dlcli.process.interrupts import interruptible


def test_a_signal_is_one_exception_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted), interruptible():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_comes_within_a_destructor_is_not_lost() -> None:
    class Signals:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGHUP)

    with pytest.raises(Interrupted, match="SIGHUP"), interruptible():
        Signals()
        threading.Event().wait(60)
        pytest.fail("the signal was lost")

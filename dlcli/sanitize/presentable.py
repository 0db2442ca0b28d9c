"""Removal of secrets and control characters from text for display.

This includes Python's own output: warnings, log records and tracebacks.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dlcli.sanitize.escapes import shortened, visible, visible_name
from dlcli.sanitize.redact import redact

# Maximum number of characters of a line, and of a name or a cell in a table.
_LONGEST, _LONGEST_NAME = 4_000, 400

# Texts are shortened to this number of characters before they are searched for secrets, to bound the time.
_TOO_LONG = 100_000


def presentable(text: str) -> str:
    """Return text for display; lines that are too long are shortened, unless DLCLI_DEBUG=1."""
    is_whole = os.environ.get("DLCLI_DEBUG") == "1"
    text = visible(redact(text if is_whole else shortened(text, _TOO_LONG)))
    if len(text) <= _LONGEST or is_whole:
        return text
    return "\n".join(shortened(line, _LONGEST) for line in text.split("\n"))


def presentable_name(text: str) -> str:
    """Return a name, a value or a heading for display, on one line."""
    is_whole = os.environ.get("DLCLI_DEBUG") == "1"
    text = visible_name(redact(text if is_whole else shortened(text, _TOO_LONG)))
    return text if is_whole else shortened(text, _LONGEST_NAME)


@contextmanager
def python_presentable() -> Iterator[None]:
    """Sanitise warnings and log records within this context. What user code prints itself is not changed."""
    format_warning, make_record = warnings.formatwarning, logging.getLogRecordFactory()

    def formatted(*arguments: Any, **more: Any) -> str:
        return presentable(format_warning(*arguments, **more))

    def made(*arguments: Any, **more: Any) -> logging.LogRecord:
        return _presentable_record(make_record(*arguments, **more))

    warnings.formatwarning = formatted
    logging.setLogRecordFactory(made)
    try:
        yield
    finally:
        warnings.formatwarning = format_warning
        logging.setLogRecordFactory(make_record)


def present_process() -> None:
    """Sanitise warnings, log records and uncaught exceptions for the rest of this process."""
    python_presentable().__enter__()
    sys.excepthook = lambda *error: to_stderr("".join(traceback.format_exception(*error)))
    threading.excepthook = _of_a_thread


def print_traceback() -> None:
    """Print the current exception to stderr, in Python's format."""
    to_stderr(traceback.format_exc())


def _of_a_thread(end: threading.ExceptHookArgs) -> None:
    if end.exc_type is not SystemExit:
        trace = traceback.format_exception(end.exc_type, end.exc_value, end.exc_traceback)
        to_stderr(f"Exception in thread {end.thread.name if end.thread else '?'}:\n{''.join(trace)}")


def _presentable_record(record: logging.LogRecord) -> logging.LogRecord:
    try:
        message = record.getMessage()
    except Exception:  # the arguments do not fit the format, which logging reports itself
        return record
    if presentable(message) != message:
        record.msg, record.args = presentable(message), None
    if record.exc_info and record.exc_info[0] is not None:
        record.exc_text = presentable("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
    return record


def to_stderr(text: str) -> None:
    """Write sanitised text to stderr, for code that has no console."""
    sys.stderr.write(presentable(text))
    sys.stderr.flush()

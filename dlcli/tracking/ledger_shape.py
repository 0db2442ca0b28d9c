"""Checks of the parts of a ledger that later commands rely on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

_DIGEST = re.compile(r"(\d+:)?[0-9a-f]{64}")
_ID = re.compile(r"[\w-]+")

# Maximum characters of a name or tag and of a message (MLflow and the recorder allow fewer), and maximum numbers of
# tags and of messages.
_TEXT, _MESSAGE, _MOST = 10_000, 100_000, 10_000
_NESTED = 2  # lists of lists of numbers


def invalid_fields(document: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that do not have the shape that dlcli writes, such as `result.folds`.

    The fields' own types have been checked already; missing fields are not named.
    """
    return [name for name, is_valid in _checks(document) if not _try(is_valid)]


def _checks(document: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], bool]]]:
    for name in ("created_at", "started_at", "ended_at"):
        if (time := document.get(name)) is not None:
            yield name, lambda time=time: bool(datetime.fromisoformat(time))  # type: ignore[misc]
    tags, digests = document.get("tags") or {}, document.get("digests") or {}
    for name in ("run_name", "experiment", "error"):
        yield name, lambda name=name: len(document.get(name) or "") <= _TEXT  # type: ignore[misc]
    yield "tags", lambda: len(tags) <= _MOST and all(map(_is_short, (*tags, *tags.values())))
    yield "tags.dlcli.fold", lambda: int(tags.get("dlcli.fold", 0)) >= 0
    yield "digests", lambda: all(_is_list(each, _is_digest) for each in digests.values())
    projected = document.get("projected") or {}
    yield "projected.offset", lambda: _is_count(projected.get("offset", 0))
    yield "projected.tags", lambda: isinstance(projected.get("tags", {}), dict)
    about = document.get("about") or {}
    for name, is_valid in _ABOUT.items():
        if name in about:
            yield f"about.{name}", lambda name=name, is_valid=is_valid: is_valid(about[name])  # type: ignore[misc]
    result, metrics = document.get("result") or {}, document.get("metrics") or {}
    for name, is_valid in _RESULT.items():
        if name in result:
            yield f"result.{name}", lambda name=name, is_valid=is_valid: is_valid(result[name])  # type: ignore[misc]
    yield "result.metrics", lambda: set(result.get("metrics", ())) <= set(metrics)
    folds = result.get("folds", [])
    yield "result.chosen", lambda: len(result.get("chosen", folds)) == len(folds)


def _try(is_valid: Callable[[], bool]) -> bool:
    try:
        return is_valid()
    except (TypeError, ValueError, AttributeError, OverflowError):
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _MESSAGE


def _is_short(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _TEXT


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_id_or_none(value: Any) -> bool:
    return value is None or _is_id(value)


def _is_digest(value: Any) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 1 << 63


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_tuned(value: Any) -> bool:
    """Return whether a value has the shape of facts that a task has tuned: words, and numbers in lists, by name.

    A user's task may tune facts of its own names.
    """
    return all(_is_short(name) and (_is_short(one) or _is_numbers(one)) for name, one in value.items())


def _is_numbers(value: Any, within: int = 0) -> bool:
    return _is_number(value) or (
        within < _NESTED and isinstance(value, list) and all(_is_numbers(one, within + 1) for one in value)
    )


def _is_member(value: Any) -> bool:
    """Return whether a value has the shape of a member of an ensemble."""
    return (
        _is_dict(value)
        and _is_id(value.get("run_id"))
        and isinstance(value.get("run_name"), str)
        and _is_count(value.get("count"))
        and value["count"] > 0
    )


def _is_list(value: Any, is_valid: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_valid, value))


def _is_best(value: Any) -> bool:
    if value is None:
        return True
    figures = value["metrics"].values() if isinstance(value.get("metrics"), dict) else [None]
    return (
        all(map(_is_number, figures)) and _is_dict(value.get("params")) and _is_count(value.get("folds", 1))
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and len(value) <= _MOST and all(map(_is_short, (*value, *value.values())))


def _is_profile(value: Any) -> bool:
    counts = value.get("classes", {})
    return (
        all(_is_texts(value.get(name, {})) for name in ("columns", "targets"))
        and len(counts) <= _MOST
        and all(_is_short(name) and _is_count(count) for name, count in counts.items())
        and _is_count(value.get("rows", 0))
        and _is_short(value.get("rows_are", ""))
    )


def _is_warning(value: Any) -> bool:
    return set(value) == {"where", "message", "hint"} and all(map(_is_text, value.values()))


# Entries of `Ledger.about` to checks of their values.
_ABOUT: dict[str, Callable[[Any], bool]] = {
    "panel": _is_texts,
    "profile": _is_profile,
    "words": lambda value: _is_list(value, _is_text) and len(value) <= _MOST,
    "warnings": lambda value: _is_list(value, _is_warning) and len(value) <= _MOST,
}

# Entries of `Ledger.result` to checks of their values.
_RESULT: dict[str, Callable[[Any], bool]] = {
    "metrics": lambda value: _is_list(value, _is_text),
    "over": lambda value: all(map(_is_short, value)) and all(map(_is_count, value.values())),
    "messages": lambda value: _is_list(value, _is_text) and len(value) <= _MOST,
    "duration_s": _is_number,
    "folds": lambda value: _is_list(value, _is_id),
    "chosen": lambda value: _is_list(value, _is_dict),
    "tuned": _is_tuned,
    "members": lambda value: _is_list(value, _is_member),
    "trials": lambda value: _is_list(value, _is_dict),
    "best": _is_best,
    "notices": lambda value: _is_list(value, _is_dict),
    "importances": lambda value: all(map(_is_short, value)) and all(map(_is_number, value.values())),
    "front": lambda value: _is_list(value, _is_count),
    "models": lambda value: _is_list(value, _is_dict),
    "out_of_time": lambda value: isinstance(value, bool),
    "best_run_id": _is_id_or_none,
    "sharing": _is_dict,
    "best_folds": lambda value: _is_list(value, _is_id),
    "refit_run_id": _is_id_or_none,
}

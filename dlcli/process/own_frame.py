"""Find the user's code: in the traceback of an error, or where it defines an object."""

from __future__ import annotations

import inspect
import sysconfig
import traceback
from functools import cache
from pathlib import Path


def own_frame(error: BaseException) -> traceback.FrameSummary | None:
    """Return the innermost frame outside of Python, installed packages and dlcli; None if there is none."""
    return next(
        (frame for frame in reversed(traceback.extract_tb(error.__traceback__)) if _is_own(frame.filename)),
        None,
    )


def own_place(what: object, *methods: str) -> str:
    """Return ` (FILE:LINE)` of the user's code that defines an object; empty if it is not the user's.

    Args:
        what: an object, its class, or a function.
        methods: names of methods, of which the first that the user defines is the place.
    """
    kind = what if inspect.isclass(what) or inspect.isfunction(what) else type(what)
    for found in (*(getattr(kind, name, None) for name in methods), kind):
        try:
            file = inspect.getsourcefile(found)  # type: ignore[arg-type]
            # The line of a class takes parsing the whole file, which is long in libraries.
            if file is None or not _is_own(file):
                continue
            return f" ({file}:{inspect.getsourcelines(found)[1]})"  # type: ignore[arg-type]
        except (TypeError, OSError):  # none, compiled, or typed into a shell
            continue
    return ""


def _is_own(file: str) -> bool:
    """Return whether a file is outside of Python, installed packages and dlcli."""
    path = Path(file)
    return path.is_absolute() and not any(path.is_relative_to(folder) for folder in _libraries())


@cache
def _libraries() -> tuple[Path, ...]:
    folders = {*sysconfig.get_paths().values()} - {sysconfig.get_path("data")}
    return (Path(__file__).parents[1], *map(Path, folders))

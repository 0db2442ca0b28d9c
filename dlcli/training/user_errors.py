"""Errors of a user's model, loss or optimizer, with the failing line of code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from dlcli.errors import ConfigError, DlcliError, first_line
from dlcli.process.own_frame import own_frame, own_place
from dlcli.training import out_of_memory

# Methods of a user's model, loss, optimizer, augmentation or metric that dlcli calls.
_CALLED = ("forward", "step", "__call__", "compute")


@contextmanager
def blamed_on(where: str, what: object, given: Mapping[str, Tensor], wanted: str = "") -> Iterator[None]:
    """Convert an exception of `what` to a ConfigError at `where`, with its message, its line, and the inputs `given`.

    Out-of-memory errors are not converted, because they are not errors of the code.
    """
    try:
        yield
    except DlcliError:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory.is_out_of_memory(error):
            raise
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                "batch normalization cannot compute the variance of a single row",
                "dataset.batch_size",
                "Use at least 2 rows, or choose model.normalization=group.",
            ) from error
        shapes = [
            f"{name} {str(t.dtype).removeprefix('torch.')} {tuple(t.shape)}" for name, t in given.items()
        ]
        frame = own_frame(error)
        line = f" ({frame.filename}:{frame.lineno})" if frame else own_place(what, *_CALLED)
        hint = f"Its inputs were {', '.join(shapes)}." if shapes else ""
        raise ConfigError(
            f"{type(what).__name__} fails on a batch: {type(error).__name__}: {first_line(error)}{line}",
            where,
            f"{hint} {wanted}".strip(),
        ) from error


@contextmanager
def left_unchanged(where: str, what: object, given: Mapping[str, Tensor]) -> Iterator[None]:
    """Raise a ConfigError if a user's model or loss changes the tensors of a batch, which later epochs read again."""
    before = {name: values._version for name, values in given.items()}
    yield
    changed = [name for name, values in given.items() if values._version != before[name]]
    if changed and (place := own_place(what, *_CALLED)):
        raise ConfigError(
            f"{type(what).__name__} changes {' and '.join(changed)} in place, which are rows of the data{place}",
            where,
            "Compute new tensors: x = x * 2 in place of x *= 2; x = x.clone() before x[...] = ...",
        )


def check_sizes_known(model: nn.Module) -> None:
    """Raise a ConfigError if a model has parameters without a size, which lazy layers receive with the first batch."""
    if lazy := [name for name, values in model.named_parameters() if is_lazy(values)]:
        name, place = type(model).__name__, own_place(model, "__init__")
        raise ConfigError(
            f"{name} has lazy layers, whose sizes are unknown before the first batch: {lazy[0]}{place}",
            "model",
            "Give their sizes: __init__ receives input_shape, the shape of a row, if it is an argument.",
        )

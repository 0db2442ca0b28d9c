"""A network as a program of torch or of ONNX: written, read back, and compared with what it was made of."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from dlcli.errors import DlcliError, InputError, first_line
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import unfinished
from dlcli.training.fields import Batch
from dlcli.training.network import Network

# How far outputs may be apart: of equal kernels they are equal, and every runtime has its own.
RELATIVE, ABSOLUTE = 1e-3, 1e-4

_MOST_ROWS, _MOST_STEPS = 1 << 20, 1 << 16

_HINT = (
    "What a model computes must not depend on how many rows or steps there are. Of rows of unequal length, "
    "transformer, tcn and textcnn can be exported; rnn, lstm and gru where all have one length."
)

Run = Callable[[Batch], Tensor]


class Inputs(nn.Module):
    """A network whose batch is given as named arguments, of which a program's inputs take their names."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, x_cat: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Outputs `(N, ...)` of what a batch has under these names."""
        batch = {"x": x, "x_cat": x_cat, "lengths": lengths}
        return self.network({name: values for name, values in batch.items() if values is not None})


@torch.no_grad()
def write_program(
    network: Network, batches: Sequence[Batch], file: Path, describe: Callable[[float], str] | None = None
) -> float:
    """Write a .pt2 or .onnx whose number of rows is free (and of steps, where rows differ in length).

    Args:
        network: on the CPU.
        batches: on whose rows the program is compared with the network; the first is also what it is traced with. They
            differ in their number of rows.
        file: which is there afterwards only if the outputs are equal; beside it, of a large .onnx, its weights.
        describe: what stands in `FILE.json` then, made of the largest difference.

    Returns:
        The largest difference between outputs.

    Raises:
        DlcliError: torch cannot export the network, or the program computes something else.
        InputError: a package that ONNX takes is not installed, or the file cannot be written.
    """
    network = network.cpu().eval()
    # Some keep what they have computed, such as the positions of the longest row so far: traced as it was before.
    fresh = copy.deepcopy(network)
    expected = [network(batch) for batch in batches]
    with _silence():
        program = _traced(fresh, batches[0], file)
        # Under its own name, by which a graph finds weights that are a file of their own.
        with (
            write_errors(file, "the file", "write elsewhere"),
            unfinished(file, folder=True) as folder,
        ):
            made = folder / file.name
            run = _as_onnx(program, made) if file.suffix == ".onnx" else _as_torch(program, made)
            largest = max(
                _difference(run, batch, outputs, network, file)
                for batch, outputs in zip(batches, expected, strict=True)
            )
            if describe is not None:
                description_of(made).write_text(describe(largest), encoding="utf-8")
            for part in sorted(folder.iterdir(), key=made.__eq__):  # the program last
                part.replace(file.with_name(part.name))
    return largest


def description_of(file: Path) -> Path:
    """Where a program is described."""
    return file.with_name(f"{file.name}.json")


def _traced(network: Network, batch: Batch, file: Path) -> ExportedProgram:
    shapes: dict[str, dict[int, Any]] = {name: {0: Dim("rows", min=1, max=_MOST_ROWS)} for name in batch}
    if "lengths" in batch:
        shapes["x"][1] = Dim("steps", min=2, max=_MOST_STEPS)
    try:
        return torch.export.export(Inputs(network), (), dict(batch), dynamic_shapes=shapes)
    except Exception as error:  # torch has a kind of its own for each thing that it cannot follow
        raise _not_exported(error, network, file) from error


def _as_torch(program: ExportedProgram, file: Path) -> Run:
    torch.export.save(program, file)
    module = torch.export.load(file).module()
    return lambda batch: module(**batch)


def _as_onnx(program: ExportedProgram, file: Path) -> Run:
    names = list(program.call_spec.in_spec.child(1).context)
    written: Any = torch.onnx.export(program, input_names=names, output_names=["outputs"], dynamo=True)
    written.save(file)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(batch: Batch) -> Tensor:
        (outputs,) = session.run(None, {name: values.numpy() for name, values in batch.items()})
        return torch.from_numpy(outputs)

    return run


def need_onnx() -> None:
    """Refuse to export to ONNX where what it takes is not installed.

    Raises:
        InputError: that is so.
    """
    packages = ("onnx", "onnxscript", "onnxruntime")
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        raise InputError(
            f"ONNX needs {', '.join(missing)}", "--output", "Install it: pip install 'dlcli[onnx]'"
        )


def _difference(run: Run, batch: Batch, expected: Tensor, network: Network, file: Path) -> float:
    """The largest difference between the program's outputs and the network's."""
    try:
        found = run(batch)
    except Exception as error:
        raise _not_exported(error, network, file) from error
    if found.shape != expected.shape or not torch.allclose(found, expected, RELATIVE, ABSOLUTE):
        raise DlcliError(
            "the exported program gives other outputs than the model, and was deleted", str(file), _HINT
        )
    return float((found - expected).abs().max())


def _not_exported(error: Exception, network: Network, file: Path) -> DlcliError:
    why = first_line(error).partition(" For more information")[0].rstrip(".!")
    name = type(network.model).__name__
    return DlcliError(f"{name} cannot be exported as {file.suffix}: {why}", str(file), _HINT)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """torch tells of each of its steps, and of what is none of a user's business."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

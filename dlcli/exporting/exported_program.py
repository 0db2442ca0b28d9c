"""Write a network as a program of torch or ONNX, read it back, and compare its outputs with those of the network."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import inspect
import io
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from dlcli.errors import DlcliError, InputError, first_line
from dlcli.exporting.dynamic_sizes import SizeNames, dynamic_shapes, size_names, widened, with_stepped_layers
from dlcli.files.disk import write_errors
from dlcli.files.unfinished import unfinished
from dlcli.inference.ensemble_network import EnsembleNetwork
from dlcli.training.fields import Batch
from dlcli.training.network import Network

# Tolerances for the outputs. Runtimes use different kernels, so outputs are not exactly equal.
RELATIVE, ABSOLUTE = 1e-3, 1e-4

_HINT = "The model's computation must not depend on the number of rows or steps."

Run = Callable[[Batch], Tensor]


class Inputs(nn.Module):
    """A network that takes the fields of a batch as named arguments, which become the names of the program's inputs.

    Args:
        network: the network.
        fields: names of the fields.
        head: module that is applied to the outputs; None for the outputs.
    """

    def __init__(self, network: Network, fields: Iterable[str], head: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network
        self.head = head

        def forward(**given: Tensor) -> Tensor:
            outputs = self.network(given)
            return outputs if self.head is None else self.head(outputs)

        # torch.export reads the names of the inputs from the signature; those of `**given` it cannot guard.
        names = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in fields]
        forward.__signature__ = inspect.Signature(names)  # type: ignore[attr-defined]
        self.forward = forward


def batch_size_of(batch: Batch) -> int:
    """Return the number of rows of a batch."""
    return len(next(iter(batch.values())))


@torch.no_grad()
def write_program(
    network: Network,
    batches: Sequence[Batch],
    file: Path,
    describe: Callable[[float, tuple[int, ...]], str] | None = None,
    paired: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """Write a .pt2 or .onnx with a dynamic number of rows (and of steps, if rows differ), or a .pte of one row.

    Args:
        network: The network; it is moved to the CPU.
        batches: Batches of different sizes, on which the program is compared with the network, with all fields of
            their rows. The first one is also used for tracing.
        file: The file to write. It appears only if the outputs agree; a large .onnx has its weights in a file next
            to it.
        describe: Returns the content of `FILE.json`, given the largest difference and the shape of a row's output.
        paired: Returns the program's outputs in the order of the network's, as `Detection.paired`.

    Returns:
        The largest absolute difference between outputs.

    Raises:
        DlcliError: Torch cannot export the network, or the program computes other outputs.
        InputError: A package that ONNX needs is not installed, or the file cannot be written.
    """
    network = network.cpu().eval()
    # Fields that the network does not take tell which sizes differ between batches.
    sizes = size_names(batches[0])
    batches = [network.taken(widened(batch)) for batch in batches]
    # A copy is traced, because some networks cache tensors in `forward`, such as the positions of the longest row.
    fresh = copy.deepcopy(network)
    expected = [network(batch) for batch in batches]
    with silenced_exporter():
        program = (
            _one_row(fresh, batches[0], file, sizes)
            if file.suffix == ".pte"
            else traced(Inputs(fresh, batches[0]), batches[0], file, sizes)
        )
        # Written under its final name, because the graph refers to a separate file of weights by name.
        with (
            write_errors(file, "the file", "write elsewhere"),
            unfinished(file, folder=True) as folder,
        ):
            made = folder / file.name
            try:
                run = _WRITERS[file.suffix](program, made)
            except (OSError, DlcliError):
                raise
            except Exception as error:  # as for torch.export
                raise _not_exported(error, network, file) from error
            largest = max(
                _difference(run, batch, outputs, network, file, paired)
                for batch, outputs in zip(batches, expected, strict=True)
            )
            if describe is not None:
                shape = tuple(expected[0].shape[1:])
                description_of(made).write_text(describe(largest, shape), encoding="utf-8")
            for part in sorted(folder.iterdir(), key=made.__eq__):  # the program last
                part.replace(file.with_name(part.name))
    return largest


def description_of(file: Path) -> Path:
    """Return the file of a program's description."""
    return file.with_name(f"{file.name}.json")


def traced(module: Inputs, batch: Batch, file: Path, sizes: SizeNames) -> ExportedProgram:
    """Return the exported program of a network, with the dynamic sizes of its fields; `file` is for messages.

    Raises:
        DlcliError: Torch cannot export it.
    """
    sizes = {name: sizes[name] for name in batch}
    if any(len(own) > 1 for own in sizes.values()):
        with_stepped_layers(module)
    # Deferred until now: an export before it is loaded would let a later export of loops fail.
    importlib.import_module("torch._dynamo.eval_frame")
    try:
        return torch.export.export(module, (), dict(batch), dynamic_shapes=dynamic_shapes(sizes))
    except Exception as error:  # torch.export raises many types of errors
        raise _not_exported(error, module.network, file) from error


def onnx_program(program: ExportedProgram) -> Any:
    """Convert a program to ONNX; its output is named `outputs`."""
    names = list(program.call_spec.in_spec.child(1).context)
    return torch.onnx.export(program, input_names=names, output_names=["outputs"], dynamo=True)


def _as_torch(program: ExportedProgram, file: Path) -> Run:
    # Written to memory first: on a full disk, torch's file writer ends the whole process.
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    file.write_bytes(buffer.getbuffer())
    module = torch.export.load(file).module()
    return lambda batch: module(**batch)


def _as_onnx(program: ExportedProgram, file: Path) -> Run:
    onnx_program(program).save(file)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def run(batch: Batch) -> Tensor:
        # The exporter leaves out inputs that the graph does not use.
        given = {one.name: batch[one.name].numpy() for one in session.get_inputs()}
        (outputs,) = session.run(None, given)
        return torch.from_numpy(outputs)

    return run


def _one_row(network: Network, batch: Batch, file: Path, sizes: SizeNames) -> ExportedProgram:
    """Return the program of one row at a time: ExecuTorch plans memory for the largest number of rows in advance."""
    if any(len(sizes[name]) > 1 for name in batch):
        why = ValueError("ExecuTorch needs rows of equal length")
        raise _not_exported(why, network, file)
    try:
        row = {name: _row(values, 0) for name, values in batch.items()}
        return torch.export.export(Inputs(network, row), (), row)
    except Exception as error:  # torch.export raises many types of errors
        raise _not_exported(error, network, file) from error


def _as_executorch(program: ExportedProgram, file: Path) -> Run:
    from executorch.exir import to_edge
    from executorch.runtime import Runtime

    file.write_bytes(to_edge(program).to_executorch().buffer)
    method = Runtime.get().load_program(file).load_method("forward")

    def run(batch: Batch) -> Tensor:
        rows = batch_size_of(batch)
        # Copied, because the next call overwrites the memory of the outputs.
        found = [
            method.execute([_row(values, row) for values in batch.values()])[0].clone() for row in range(rows)
        ]
        return torch.cat(found)

    return run


def _row(values: Tensor, row: int) -> Tensor:
    """Return one row with contiguous strides; a dimension of size 1 may have stride 0, which ExecuTorch refuses."""
    return values[row : row + 1].clone(memory_format=torch.contiguous_format)


_WRITERS: dict[str, Callable[[ExportedProgram, Path], Run]] = {
    ".pt2": _as_torch,
    ".onnx": _as_onnx,
    ".pte": _as_executorch,
}


def need_onnx(option: str = "--output") -> None:
    """Check that the packages for an export to ONNX are installed; `option` is the option to name in the message.

    Raises:
        InputError: A package is missing.
    """
    need_packages("ONNX", ("onnx", "onnxscript", "onnxruntime"), option)


def need_packages(format: str, packages: Sequence[str], option: str) -> None:
    """Check that the packages for a format are installed.

    Raises:
        InputError: A package is missing.
    """
    if missing := [name for name in packages if importlib.util.find_spec(name) is None]:
        install = f"Install it: pip install {' '.join(missing)}"
        raise InputError(f"{format} needs {', '.join(missing)}", option, install)


def _difference(
    run: Run,
    batch: Batch,
    expected: Tensor,
    network: Network,
    file: Path,
    paired: Callable[[Tensor, Tensor], Tensor] | None = None,
) -> float:
    """Return the largest absolute difference between the outputs of the program and the network."""
    try:
        found = run(batch)
    except Exception as error:
        raise _not_exported(error, network, file) from error
    if paired is not None and found.shape == expected.shape:
        found = paired(found, expected)
    if found.shape != expected.shape or not torch.allclose(found, expected, RELATIVE, ABSOLUTE):
        raise DlcliError(
            "the outputs of the exported program differ from the model's; the file was deleted",
            str(file),
            _HINT,
        )
    # Words that are cut off have logits of minus infinity.
    return float((found - expected).masked_fill(found == expected, 0).abs().max())


def _not_exported(error: Exception, network: Network, file: Path) -> DlcliError:
    why = first_line(error).partition(" For more information")[0].rstrip(".!")
    model = getattr(network.model, "wrapped", network.model)
    name = "The ensemble" if isinstance(network, EnsembleNetwork) else type(model).__name__
    return DlcliError(f"{name} cannot be exported as {file.suffix}: {why}", str(file), _HINT)


@contextlib.contextmanager
def silenced_exporter() -> Iterator[None]:
    """Suppress the progress messages and internal warnings of torch's exporter."""
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)

"""Write a model that generates one token at a time as two ONNX programs, and compare them with the model."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from dlcli.errors import DlcliError, first_line
from dlcli.exporting.dynamic_sizes import with_stepped_layers
from dlcli.exporting.exported_program import ABSOLUTE, RELATIVE, silenced_exporter
from dlcli.preprocessing.subwords import END, START
from dlcli.tasks.decoding import Decodes, State, greedy
from dlcli.training.fields import Batch

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"

# Rows, source tokens and earlier tokens of the traced example, and of one by which dynamic dimensions are recognized.
_ROWS = 3
_SIZES = ((_ROWS, 7, 2), (2, 5, 4))

_MOST_ROWS = 1 << 20

_INSTEAD = "Use dlcli predict, dlcli serve, or dlcli.load_run from Python."


class DecodingPrograms:
    """The encoder and one step of the decoder, run by onnxruntime; they decode as the model does (`Decodes`).

    `encoder.onnx` returns the memory and the first state of sources. `decoder.onnx` takes tokens `(N,)`, the memory and
    the state, and returns the logits of the next token and the next state.

    Args:
        folder: the folder with both files.
        memory: number of tensors of the memory.
    """

    def __init__(self, folder: Path, memory: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors
        self._encoder, self._decoder = (
            onnxruntime.InferenceSession(folder / name, options, providers=["CPUExecutionProvider"])
            for name in (ENCODER, DECODER)
        )
        self._memory = memory
        self._inputs = [one.name for one in self._decoder.get_inputs()]

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[State, State]:
        """Return memory and first state; see `Decodes`."""
        found = self._run(self._encoder, {"x": x, "lengths": lengths})
        return found[: self._memory], found[self._memory :]

    def decode(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, State]:
        """Return logits and the next state; see `Decodes`."""
        given = dict(zip(_names(len(memory), len(state)), (tokens, *memory, *state), strict=True))
        # The exporter leaves out inputs that the graph does not use.
        logits, *after = self._run(self._decoder, {name: given[name] for name in self._inputs})
        return logits, tuple(after)

    def described(self) -> dict[str, Any]:
        """Return names, types and shapes of the inputs and outputs of both programs."""
        return {
            name: {
                side: [
                    {"name": one.name, "dtype": one.type[len("tensor(") : -1], "shape": one.shape}
                    for one in values
                ]
                for side, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
            }
            for name, session in (("encoder", self._encoder), ("decoder", self._decoder))
        }

    def _run(self, session: Any, inputs: Batch) -> State:
        found = session.run(None, {name: values.numpy() for name, values in inputs.items()})
        return tuple(torch.from_numpy(one) for one in found)


class _Encoder(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, ...]:
        memory, state = self.model.encode(x, lengths)
        return *memory, *state


class _Decoder(nn.Module):
    def __init__(self, model: Any, memory: int) -> None:
        super().__init__()
        self.model, self.memory = model, memory

    def forward(self, tokens: Tensor, parts: list[Tensor]) -> tuple[Tensor, ...]:
        logits, state = self.model.decode(tokens, tuple(parts[: self.memory]), tuple(parts[self.memory :]))
        return logits, *state


@torch.no_grad()
def write_programs(model: Any, folder: Path, longest: int) -> DecodingPrograms:
    """Write `encoder.onnx` and `decoder.onnx`, with a dynamic number of rows, source tokens and earlier tokens.

    Args:
        model: `Decodes`, on the CPU and in evaluation mode.
        folder: an existing folder.
        longest: maximum number of tokens of a source and of a target.

    Raises:
        DlcliError: torch cannot export the model.
    """
    # Copied, because models may cache tensors; here for the longest text, since a program cannot extend them.
    model = copy.deepcopy(model)
    model.encode(torch.full((1, longest), END), torch.tensor([longest]))
    encoder = copy.deepcopy(model)
    with_stepped_layers(encoder)
    one, other = (_example(model, *sizes) for sizes in _SIZES)
    x, lengths, tokens, memory, state = one
    parts = [*memory, *state]
    programs: list[tuple[str, nn.Module, tuple[Any, ...], tuple[Any, ...], list[str]]] = [
        (ENCODER, _Encoder(encoder), (x, lengths), _dynamic(one[:2], other[:2], longest), ["x", "lengths"]),
        (
            DECODER,
            _Decoder(model, len(memory)),
            (tokens, parts),
            (
                *_dynamic([tokens], [other[2]], longest),
                list(_dynamic(parts, [*other[3], *other[4]], longest)),
            ),
            _names(len(memory), len(state)),
        ),
    ]
    states = [f"state_{place}" for place in range(len(state))]
    outputs = {
        ENCODER: [*_names(len(memory), 0)[1:], *states],
        DECODER: ["logits", *(f"next_{name}" for name in states)],
    }
    for name, module, given, shapes, inputs in programs:
        try:
            with silenced_exporter():
                program = torch.export.export(module, given, dynamic_shapes=shapes)
                made: Any = torch.onnx.export(
                    program, input_names=inputs, output_names=outputs[name], dynamo=True
                )
                made.save(folder / name)
        except OSError:
            raise
        except Exception as error:  # torch.export raises many types of errors
            raise _not_exported(model, first_line(error)) from error
    try:
        return DecodingPrograms(folder, len(memory))
    except Exception as error:  # onnxruntime has errors of its own
        raise _not_exported(model, first_line(error)) from error


@torch.no_grad()
def compared(
    programs: DecodingPrograms, model: Any, batches: Sequence[Batch], steps: int
) -> tuple[float, int]:
    """Return the largest difference between logits of the model's greedy decoding, and the number of equal texts.

    The texts are those that the programs decode on their own. They differ only where two tokens are equally likely.

    Raises:
        DlcliError: the programs fail, or compute other logits than the model.
    """
    largest, equal = 0.0, 0
    for batch in batches:
        x, lengths = batch["x"], batch["lengths"]
        both = _Both(model, programs)
        try:
            expected, found = greedy(both, x, lengths, steps), greedy(programs, x, lengths, steps)
        except DlcliError:
            raise
        except Exception as error:  # onnxruntime has errors of its own
            raise _not_exported(model, first_line(error)) from error
        largest = max(largest, both.largest)
        equal += int((expected.tokens == found.tokens).all(dim=1).sum())
    return largest, equal


class _Both:
    """Decodes with the model, and computes each step with the programs as well."""

    def __init__(self, model: Any, programs: DecodingPrograms) -> None:
        self.model, self.programs = model, programs
        self.largest = 0.0
        self._states: tuple[State, State] = ((), ())

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[State, State]:
        self._states = self.programs.encode(x, lengths)
        return self.model.encode(x, lengths)

    def decode(self, tokens: Tensor, memory: State, state: State) -> tuple[Tensor, State]:
        logits, after = self.model.decode(tokens, memory, state)
        found, own = self.programs.decode(tokens, *self._states)
        self._states = (self._states[0], own)
        if found.shape != logits.shape or not torch.allclose(found, logits, RELATIVE, ABSOLUTE):
            raise DlcliError(
                "the programs compute other logits than the model; nothing was written", "--output", _INSTEAD
            )
        self.largest = max(self.largest, float((found - logits).abs().max()))
        return logits, after


def _names(memory: int, state: int) -> list[str]:
    """Return the names of the decoder's inputs."""
    return [
        "tokens",
        *(f"memory_{place}" for place in range(memory)),
        *(f"state_{place}" for place in range(state)),
    ]


def _example(
    model: Decodes, rows: int, length: int, steps: int
) -> tuple[Tensor, Tensor, Tensor, State, State]:
    """Return sources with their lengths, next tokens, the memory, and the state after some tokens."""
    x, lengths = torch.full((rows, length), END), length - torch.arange(rows)
    memory, state = model.encode(x, lengths)
    tokens = torch.full((rows,), START)
    for _ in range(steps):
        _, state = model.decode(tokens, memory, state)
    return x, lengths, tokens, memory, state


def _dynamic(one: Sequence[Tensor], other: Sequence[Tensor], longest: int) -> tuple[dict[int, Any], ...]:
    """Return the dimensions that differ between two examples as dynamic ones; those that change together are one."""
    return tuple(
        {
            place: Dim(f"size_{sizes[0]}", max=_MOST_ROWS if sizes[0] == _ROWS else longest - 1)
            for place, sizes in enumerate(zip(a.shape, b.shape, strict=True))
            if sizes[0] != sizes[1]
        }
        for a, b in zip(one, other, strict=True)
    )


def _not_exported(model: Any, why: str) -> DlcliError:
    name = type(model).__name__
    return DlcliError(f"{name} cannot be exported as ONNX: {why.rstrip('.!')}", "--output", _INSTEAD)

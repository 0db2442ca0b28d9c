"""Reading weight files, and comparing weights with a model."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from dlcli.errors import ConfigError, Problem, first_line
from dlcli.files.paths import typed

# Keys under which checkpoints of training scripts hold the weights, and prefixes that wrappers add to names.
_WITHIN = ("state_dict", "model", "model_state_dict")
_WRAPPERS = ("module.", "_orig_mod.")

# The batch counter of batch normalization, which not all formats contain.
_COUNTER = "num_batches_tracked"

# Buffers of a backbone's pixel statistics.
_SCALE = ("mean", "std")

_LISTED = 3


@dataclass(frozen=True)
class Misfit:
    """Names of weights that are missing, unexpected, or of another shape than in the model."""

    missing: list[str]
    unexpected: list[str]
    reshaped: list[str]

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        kinds = {
            "missing": self.missing, "not in the model": self.unexpected, "of another shape": self.reshaped,
        }  # fmt: skip
        return "; ".join(f"{len(names)} {kind}: {_few(names)}" for kind, names in kinds.items() if names)


def read_weights(file: Path, where: str) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file, or of a state dict saved by torch, without unpickling.

    Raises:
        ConfigError: the file does not exist or contains something else; reported at `where`.
    """
    if not file.is_file():
        raise ConfigError(f"there is no file {file}", where, "Give a .safetensors file or a state dict.")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # each library has its own exceptions
        # Replace torch's message, which advises to unpickle the file.
        pickled = isinstance(error, pickle.UnpicklingError)
        raise ConfigError(
            f"{file} cannot be read: {'it contains other objects than tensors' if pickled else first_line(error)}",
            where,
            "Give a .safetensors file, or a state dict as torch.save(model.state_dict(), FILE) writes it: "
            "files that need unpickling are not opened.",
        ) from error
    for key in _WITHIN:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{file} contains no state dict", where, "Give a file with names and tensors.")
    return {_unwrapped(str(name)): value for name, value in content.items()}


def weights_problem(weights: Any) -> Iterator[Problem]:
    """Yield a problem if `weights` has the suffix of a file that does not exist; without one, it may name a run."""
    if isinstance(weights, str) and Path(weights).suffix and not typed(weights).exists():
        yield Problem(
            f"there is no file {weights}",
            "weights",
            "Give an existing file, a run, hub (downloads timm's weights) or null (initializes at random).",
        )


def of_whole_model(file: Path) -> bool:
    """Return whether a file contains a backbone and its head, as saved by a run, instead of a backbone alone."""
    if file.suffix != ".safetensors" or not file.is_file():
        return False
    try:
        with safe_open(file, framework="pt") as opened:
            parts = {name.partition(".")[0] for name in opened.keys()}  # noqa: SIM118 it is not a mapping
    except (SafetensorError, OSError):  # reported when the file is read
        return False
    return {"backbone", "head"} <= parts <= {"backbone", "head", *_SCALE}


def compare_weights(
    model: nn.Module, weights: Mapping[str, Tensor], ignore: Callable[[str], bool] = lambda name: False
) -> Misfit:
    """Return the names that do not match the model, except those to `ignore`, such as a head's."""
    expected = model.state_dict()
    return Misfit(
        [
            name
            for name in expected
            if name not in weights and not name.endswith(_COUNTER) and not ignore(name)
        ],
        [
            name
            for name in weights
            if name not in expected and not name.endswith(_COUNTER) and not ignore(name)
        ],
        [
            f"{name} {tuple(weights[name].shape)}, not {tuple(value.shape)}"
            for name, value in expected.items()
            if name in weights and weights[name].shape != value.shape and not ignore(name)
        ],
    )


def add_tensors(digest: Any, tensors: Iterable[tuple[str, Tensor]]) -> None:
    """Update a hashlib digest with tensors and their names."""
    for name, values in tensors:
        array = values.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)


def _unwrapped(name: str) -> str:
    for wrapper in _WRAPPERS:
        name = name.removeprefix(wrapper)
    return name


def _few(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")

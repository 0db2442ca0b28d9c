"""Check that a user's model can be saved: built again with the saved state, it returns the same outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dlcli.assembly.parts import Parts
from dlcli.config.build import build
from dlcli.errors import ConfigError
from dlcli.models.forest import Forest
from dlcli.preprocessing.protocols import facts_of_model
from dlcli.process.own_frame import own_place
from dlcli.training.fields import Batch
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network
from dlcli.training.user_errors import blamed_on

_HINT = (
    "Put layers into nn.ModuleList or nn.ModuleDict, and tensors and numbers that the outputs depend on into "
    "parameters or buffers: self.register_buffer(name, tensor)."
)
_SEED = 0  # of both passes, because a model may draw numbers
_OTHER = 0x5EED  # the model that is built again has other initial weights
_ROWS = 8


@torch.no_grad()
def check_own_state(config: Mapping[str, Any], parts: Parts) -> None:
    """Raise a ConfigError if a user's model, after a few steps, depends on more than its `state_dict()`.

    What is missing there is lost in the saved model and in checkpoints.
    """
    network, model = parts.network, parts.network.model
    place = own_place(model, "forward")
    if (
        not place
        or not parts.task.keeps_outputs
        or isinstance(model, Forest)
        or network.finetuning is not None
    ):
        return
    device = next(model.parameters()).device
    batch = {
        name: values.to(device)
        for name, values in BatchLoader(parts.train, _ROWS, join_single=True).batch(0).items()
    }
    network.eval()
    with blamed_on("model", model, {name: values for name, values in batch.items() if name != "y"}):
        outputs, repeated = _outputs(network, batch), _outputs(network, batch)
    if not isinstance(outputs, Tensor) or not _equal(outputs, repeated):  # it draws numbers of its own
        return
    torch.manual_seed(int(config["seed"]) ^ _OTHER)
    again = build(config["model"], where="model", **facts_of_model(parts.preprocessing, parts.facts))
    again.to(device)
    name, state, own = type(model).__name__, model.state_dict(), again.state_dict()
    if own.keys() != state.keys():
        differing = ", ".join(sorted(own.keys() ^ state.keys())[:3])
        raise ConfigError(
            f"{name} has other parameters after a batch than before: {differing}{own_place(model, '__init__')}",
            "model",
            "Create all layers in __init__, where the facts of the data are arguments, such as input_shape.",
        )
    if any(values.dtype != own[key].dtype for key, values in state.items() if isinstance(values, Tensor)):
        return  # converted to the precision of the trainer
    try:
        again.load_state_dict(state)
    except RuntimeError:  # of other shapes
        pass
    else:
        network.model = again.eval()
        try:
            restored = _outputs(network, batch)
        finally:
            network.model = model
        if _equal(outputs, restored):
            return
    kept = "; ".join(_outside(model, again))
    raise ConfigError(
        f"{name} depends on more than its state_dict, which is all that is saved"
        f"{': ' if kept else ''}{kept}{own_place(model, '__init__')}",
        "model",
        _HINT,
    )


def _outputs(network: Network, batch: Batch) -> Any:
    torch.manual_seed(_SEED)
    return network(dict(batch))


def _equal(one: Tensor, other: Any) -> bool:
    return one.shape == other.shape and torch.allclose(one, other, rtol=1e-3, atol=1e-5, equal_nan=True)


def _outside(model: nn.Module, again: nn.Module) -> Iterator[str]:
    """Yield the attributes of a model that hold layers, tensors and changed numbers outside of its state."""
    fresh = dict(again.named_modules())
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            full = f"{path}.{name}" if path else name
            if name.startswith("_") or name == "training":
                continue
            items = value.values() if isinstance(value, Mapping) else value
            items = list(items) if isinstance(value, list | tuple | Mapping) else []
            if any(isinstance(item, nn.Module) for item in items):
                yield f"{full} is a {type(value).__name__} of layers"
            elif isinstance(value, Tensor) or any(isinstance(item, Tensor) for item in items):
                kind = "a tensor" if isinstance(value, Tensor) else f"a {type(value).__name__} of tensors"
                yield f"{full} is {kind} that is neither a parameter nor a buffer"
            elif isinstance(value, int | float) and value != (new := getattr(fresh.get(path), name, value)):
                yield f"{full} is {value:g} after a batch, and {new:g} in a new model"
        yield from (
            f"{path}.{name}".lstrip(".") + " is a buffer with persistent=False"
            for name in sorted(module._non_persistent_buffers_set)
        )

"""The frozen part of a model, which checkpoints omit because training does not change it."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from dlcli.errors import CorruptRun
from dlcli.models.weights import add_tensors
from dlcli.training.network import Network

# Prefixes of a model's tensors in the state of a training module: those of the network, and of its average.
_PREFIXES = ("network.model.", "average.model.")

# The key of the digest in a checkpoint, and in the metadata of a weights file.
FROZEN = "frozen"


class FrozenPart:
    """The part of a network that fine-tuning never trains, possibly empty.

    A resumed run builds the model, including this part, in the same way as the original run. The digest verifies that
    it is equal.

    Attributes:
        names: names of its tensors in the model's state.
        digest: digest of these tensors.
    """

    def __init__(self, network: Network) -> None:
        state = network.model.state_dict()
        self.names = frozen_names(network)
        digest = hashlib.blake2b(digest_size=16)
        add_tensors(digest, ((name, state[name]) for name in sorted(self.names)))
        self.digest = digest.hexdigest()

    def leave_out(self, checkpoint: dict[str, Any]) -> None:
        """Remove this part from a checkpoint, in place."""
        if self.names:
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {
                name: value for name, value in state.items() if _bare(name) not in self.names
            }
            checkpoint[FROZEN] = self.digest

    def put_back(self, checkpoint: dict[str, Any], state: Mapping[str, Any]) -> None:
        """Add this part to a loaded checkpoint, in place; `state` is the state of the resumed run.

        Raises:
            CorruptRun: it differs from the part that was omitted from the checkpoint.
        """
        if FROZEN in checkpoint:
            self.check(checkpoint[FROZEN])
            own = {name: value for name, value in state.items() if _bare(name) in self.names}
            checkpoint["state_dict"] = {**own, **checkpoint["state_dict"]}

    def without(self, model: nn.Module) -> dict[str, Tensor]:
        """Return copies of the tensors of a model's state without this part."""
        return {name: value.clone() for name, value in model.state_dict().items() if name not in self.names}

    def completed(self, model: nn.Module, rest: Mapping[str, Tensor], digest: str) -> nn.Module:
        """Return a copy of the model that shares this part, and has the other tensors `rest` returned by `without`.

        Raises:
            CorruptRun: the other tensors belong to another model.
        """
        self.check(digest)
        tensors = (*model.named_parameters(), *model.named_buffers())
        whole = copy.deepcopy(model, {id(value): value for name, value in tensors if name in self.names})
        whole.load_state_dict(rest, strict=False)
        return whole

    def check(self, digest: str) -> None:
        """Raise an error unless a checkpoint was written with the same frozen part.

        Raises:
            CorruptRun: it was written with a different one.
        """
        if digest != self.digest:
            raise CorruptRun(
                "the frozen weights differ from those at the start of the run: resuming would mix two models",
                where="model",
                hint="Restore the original weights, or start a new run.",
            )


def frozen_names(network: Network) -> frozenset[str]:
    """Return the names of the model's tensors that fine-tuning never trains."""
    if network.finetuning is None:
        return frozenset()
    trained: set[int] = set()
    for group in network.trained_parameters():
        trained |= {id(tensor) for tensor in (group["params"] if isinstance(group, dict) else [group])}
    return frozenset(_unchanged(network.model, trained))


def _unchanged(module: nn.Module, trained: set[int], prefix: str = "") -> Iterator[str]:
    """Yield the names of tensors in completely frozen modules, whose statistics do not change either
    (`keep_frozen`)."""
    parameters = list(module.parameters())
    if parameters and not any(id(parameter) in trained for parameter in parameters):
        state = module.state_dict(prefix=prefix)
        yield from (name for name, value in state.items() if isinstance(value, Tensor))
        return
    for name, child in module.named_children():
        yield from _unchanged(child, trained, f"{prefix}{name}.")


def _bare(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return ""

"""The part of a model that no step of a training changes: its checkpoints leave it out."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from dlcli.errors import CorruptRun
from dlcli.models.weights import add_tensors
from dlcli.training.network import Network

# What stands in front of a model's names in the state of a training: those of the network, and of its average.
_PREFIXES = ("network.model.", "average.model.")

# Below which key of a checkpoint, or of a file's metadata, the digest stands.
FROZEN = "frozen"


class FrozenPart:
    """What a network's fine-tuning never trains. Where there is none, this changes nothing.

    Whoever goes on with a training makes the model as it was made at first, this part included: the digest tells
    whether it is the same.

    Attributes:
        names: of tensors of the model's state.
        digest: of those tensors.
    """

    def __init__(self, network: Network) -> None:
        state = network.model.state_dict()
        self.names = frozen_names(network)
        digest = hashlib.blake2b(digest_size=16)
        add_tensors(digest, ((name, state[name]) for name in sorted(self.names)))
        self.digest = digest.hexdigest()

    def leave_out(self, checkpoint: dict[str, Any]) -> None:
        """Take it out of a training's state, in place."""
        if self.names:
            state = checkpoint["state_dict"]
            checkpoint["state_dict"] = {
                name: value for name, value in state.items() if _bare(name) not in self.names
            }
            checkpoint[FROZEN] = self.digest

    def put_back(self, checkpoint: dict[str, Any], state: Mapping[str, Any]) -> None:
        """Put it into a training's state that was read, in place; `state` is that of the training which goes on.

        Raises:
            CorruptRun: it is another than the one that the state was without.
        """
        if FROZEN in checkpoint:
            self.check(checkpoint[FROZEN])
            own = {name: value for name, value in state.items() if _bare(name) in self.names}
            checkpoint["state_dict"] = {**own, **checkpoint["state_dict"]}

    def without(self, model: nn.Module) -> dict[str, Tensor]:
        """The rest of a model's state, as tensors of their own."""
        return {name: value.clone() for name, value in model.state_dict().items() if name not in self.names}

    def completed(self, model: nn.Module, rest: Mapping[str, Tensor], digest: str) -> nn.Module:
        """A copy of the model that has this part in common with it, and the rest from what `without` gave.

        Raises:
            CorruptRun: the rest was that of another model.
        """
        self.check(digest)
        tensors = (*model.named_parameters(), *model.named_buffers())
        whole = copy.deepcopy(model, {id(value): value for name, value in tensors if name in self.names})
        whole.load_state_dict(rest, strict=False)
        return whole

    def check(self, digest: str) -> None:
        """Make sure that a checkpoint was one of a training with the same frozen part.

        Raises:
            CorruptRun: it was not.
        """
        if digest != self.digest:
            raise CorruptRun(
                "the frozen weights are not those that the run began with: going on would mix two models",
                where="model",
                hint="Put the weights back as they were, or train anew.",
            )


def frozen_names(network: Network) -> frozenset[str]:
    """Names of the model's tensors that its fine-tuning never trains."""
    if network.finetuning is None:
        return frozenset()
    trained: set[int] = set()
    for group in network.trained_parameters():
        trained |= {id(tensor) for tensor in (group["params"] if isinstance(group, dict) else [group])}
    return frozenset(_unchanged(network.model, trained))


def _unchanged(module: nn.Module, trained: set[int], prefix: str = "") -> Iterator[str]:
    """Names in parts that are frozen as a whole, which `keep_frozen` keeps in evaluation mode: statistics too."""
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

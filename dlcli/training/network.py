"""`Network`: a model behind the last part of its preprocessing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import Tensor, nn


class Network(nn.Module):
    """From a batch, a dict of tensors, to outputs.

    A plain model never sees a batch: its `forward` is called with the fields that its signature names.
    """

    def __init__(self, model: nn.Module, on_device: nn.Module | None = None) -> None:
        super().__init__()
        self.model = model
        self.on_device = on_device
        self._inputs = tuple(inspect.signature(model.forward).parameters)

    def with_model(self, model: nn.Module) -> Network:
        """The same network around another model of the same kind."""
        return Network(model, self.on_device)

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Outputs of the model, `(N, ...)`."""
        fields = {name: batch[name] for name in self._inputs if name in batch}
        if self.on_device is not None:
            fields["x"] = self.on_device(fields["x"])
        return self.model(**fields)

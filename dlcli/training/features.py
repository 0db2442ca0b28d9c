"""A frozen backbone's features, computed once for each row: what the head trains on instead of the rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from dlcli.datasets.data import Data, take
from dlcli.preprocessing.base import Preprocessing
from dlcli.training.feature_store import FeatureStore
from dlcli.training.fields import Field, as_fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network

# Rows that go through the backbone at a time.
_ROWS = 64

# The share of what memory is free that a part's features may take; larger ones are read from the disk.
_SHARE = 0.25


class Features:
    """The features of a data set's rows.

    They are kept under a name that follows from all that they depend on: the rows, the preprocessing, the backbone and
    its weights. Whatever agrees in these shares them: folds, trials, later runs.

    Args:
        network: with a backbone that does not change.
        preprocessing: fitted.
        data: the raw rows.
        folder: where features are kept.
        device: where they are computed.
    """

    def __init__(
        self, network: Network, preprocessing: Preprocessing, data: Data, folder: Path, device: torch.device
    ) -> None:
        self._network = network
        self._preprocessing = preprocessing
        self._data = data
        self._device = device
        with closing(self._of(np.arange(1))) as first:
            width = next(first).shape[1]
        self.store = FeatureStore(folder / _key(network, preprocessing, data), len(data), width)

    def read(self, rows: np.ndarray) -> Field:
        """The features `(N, F)` of some rows; those that nobody knows are computed."""
        self.store.fill(rows, self._of)
        mapped = self.store.mapped()
        if len(rows) * mapped.shape[1] * mapped.itemsize < _SHARE * psutil.virtual_memory().available:
            return torch.from_numpy(mapped[rows])
        return MappedRows(torch.from_numpy(mapped), torch.from_numpy(rows))

    def _of(self, rows: np.ndarray) -> Generator[np.ndarray]:
        """The features of rows, batch by batch."""
        network = self._network
        was_training, model = network.training, network.model
        fields = as_fields(self._preprocessing.transform(take(self._data.x, rows)))
        network.to(self._device).eval()
        try:
            for batch in BatchLoader({"x": fields["x"].to(self._device)}, _ROWS):
                with torch.inference_mode():
                    x = batch["x"] if network.on_device is None else network.on_device(batch["x"])
                    yield model.features(x).float().cpu().numpy()  # type: ignore[operator]
        finally:
            network.train(was_training)


class MappedRows:
    """Rows of a tensor on disk, in an order of their own, read a batch at a time."""

    def __init__(self, values: Tensor, rows: Tensor, device: torch.device | str = "cpu") -> None:
        self._values, self._rows, self._device = values, rows, torch.device(device)

    @property
    def shape(self) -> torch.Size:
        """`(N, F)`."""
        return torch.Size((len(self._rows), *self._values.shape[1:]))

    @property
    def device(self) -> torch.device:
        """Where a batch that is read will be."""
        return self._device

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._values[self._rows[rows]].to(self._device)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of an index `(B,)`."""
        return self._values[self._rows[index.cpu()]].to(self._device)

    def to(self, device: torch.device) -> MappedRows:
        """The same rows, sent to a device as they are read."""
        return MappedRows(self._values, self._rows, device)


def _key(network: Network, preprocessing: Any, data: Data) -> str:
    """A digest of all that features depend on."""
    digest = hashlib.blake2b(data.fingerprint.encode(), digest_size=16)
    model: Any = network.model
    digest.update(json.dumps(model.feature_settings(), sort_keys=True, default=str).encode())
    _add(digest, model.backbone)
    kind = type(preprocessing)
    digest.update(f"{kind.__module__}.{kind.__qualname__} {preprocessing.get_params()}".encode())
    if getattr(preprocessing, "transform_is_fitted", True):
        for name, value in sorted(vars(preprocessing).items()):
            digest.update(f"{name} {np.asarray(value).tolist()!r}".encode())
    if network.on_device is not None:
        _add(digest, network.on_device)
    return digest.hexdigest()


def _add(digest: Any, module: nn.Module) -> None:
    """A module's weights and buffers, saved ones and others."""
    for name, values in (*module.named_parameters(), *module.named_buffers()):
        array = values.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)

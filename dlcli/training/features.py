"""A frozen backbone's features, computed once for each row: what the head trains on instead of the rows."""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from dlcli.datasets.data import Data, take
from dlcli.files.disk import disk_errors
from dlcli.models.weights import add_tensors
from dlcli.preprocessing.base import Preprocessing
from dlcli.training.feature_store import FeatureStore
from dlcli.training.fields import Field, as_fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network

# Rows that go through the backbone at a time.
_ROWS = 64

# The share of what memory is free that a part's features may take; larger ones are read from the disk.
_SHARE = 0.25

# How a forward pass runs under each of a trainer's precisions in which weights stay what they are.
_AUTOCAST: Mapping[str, torch.dtype | None] = {
    **dict.fromkeys(("None", "32", "32-true")),
    **dict.fromkeys(("16", "16-mixed"), torch.float16),
    **dict.fromkeys(("bf16", "bf16-mixed"), torch.bfloat16),
}


def can_compute_in(precision: Any) -> bool:
    """Whether features can be computed as a trainer of this precision would."""
    return str(precision) in _AUTOCAST


class Features:
    """The features of a data set's rows.

    They are kept under a name that follows from all that they depend on: the rows, the preprocessing, the backbone and
    its weights, device and precision. Whatever agrees in these shares them: folds, trials, later runs.

    Attributes:
        width: how many a row has.

    Args:
        network: with a backbone that does not change.
        preprocessing: fitted.
        data: the raw rows.
        folder: where features are kept.
        device: where they are computed.
        precision: of a trainer (`can_compute_in`); None: in full.
    """

    def __init__(
        self,
        network: Network,
        preprocessing: Preprocessing,
        data: Data,
        folder: Path,
        device: torch.device,
        precision: Any = None,
    ) -> None:
        self._network = network
        self._preprocessing = preprocessing
        self._data = data
        self._device = device
        self._type = _AUTOCAST[str(precision)]
        self._inputs = tuple(inspect.signature(self._model.features).parameters)
        with closing(self._of(np.arange(1))) as first:
            self.width = next(first)[1].shape[1]
        self.store = FeatureStore(folder / self._key(), len(data), self.width)

    def compute(self, rows: np.ndarray, advanced: Callable[[int], None] = lambda rows: None) -> None:
        """Have the features of some rows; `advanced` hears of each that were computed."""
        with disk_errors(self.store.folder):
            self.store.fill(rows, self._of, advanced)

    def estimate(self, rows: np.ndarray) -> tuple[float, int]:
        """About how many seconds `compute` would take, from a few of the rows, and the bytes that it would write."""
        missing = self.store.missing(rows)
        some = missing[:: max(1, len(missing) // _ROWS)][:_ROWS]
        if not len(some):
            return 0.0, 0
        start = time.perf_counter()
        for _ in self._of(some):
            pass
        seconds = (time.perf_counter() - start) * len(missing) / len(some)
        return seconds, 4 * self.width * len(missing)

    def read(self, rows: np.ndarray) -> Field:
        """The features `(N, F)` of some rows; those that nobody knows are computed."""
        self.compute(rows)
        mapped = self.store.mapped()
        if len(rows) * mapped.shape[1] * mapped.itemsize < _SHARE * psutil.virtual_memory().available:
            return torch.from_numpy(mapped[rows])
        return MappedRows(torch.from_numpy(mapped), torch.from_numpy(rows))

    @property
    def in_full(self) -> bool:
        """Whether they are computed in full precision, as a trained model's are."""
        return self._type is None

    @property
    def _model(self) -> Any:
        """Has a backbone."""
        return self._network.model

    def _of(self, rows: np.ndarray) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """The features of rows, batch by batch: of texts the longest first."""
        network = self._network
        was_training = network.training
        network.to(self._device).eval()
        fields = as_fields(self._preprocessing.transform(take(self._data.x, rows)))
        loader = BatchLoader(
            {name: fields[name].to(self._device) for name in self._inputs if name in fields}, _ROWS
        )
        order = loader.order()
        ordered = rows if order is None else rows[order.numpy()]
        try:
            for number, batch in enumerate(loader):
                with torch.inference_mode(), self._autocast():
                    scaled = {} if network.on_device is None else {"x": network.on_device(batch["x"])}
                    vectors = self._model.features(**batch | scaled).float().cpu().numpy()
                yield ordered[number * _ROWS : (number + 1) * _ROWS], vectors
        finally:
            network.train(was_training)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self._device.type, self._type) if self._type else nullcontext()

    def _key(self) -> str:
        """A digest of all that features depend on."""
        network, preprocessing = self._network, self._preprocessing
        digest = hashlib.blake2b(self._data.fingerprint.encode(), digest_size=16)
        digest.update(f"{self._device.type} {self._type}".encode())
        digest.update(json.dumps(self._model.feature_settings(), sort_keys=True, default=str).encode())
        backbone = self._model.backbone
        add_tensors(digest, (*backbone.named_parameters(), *backbone.named_buffers()))
        kind: Any = type(preprocessing)
        arguments = preprocessing.get_params()  # type: ignore[attr-defined]
        digest.update(f"{kind.__module__}.{kind.__qualname__} {arguments}".encode())
        if getattr(preprocessing, "transform_is_fitted", True):
            for name, value in sorted(vars(preprocessing).items()):
                if name != "rows_seen_":  # how many they were is another for each fold, and changes nothing
                    digest.update(f"{name} {np.asarray(value).tolist()!r}".encode())
        if network.on_device is not None:
            add_tensors(digest, network.on_device.named_buffers())
        return digest.hexdigest()


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

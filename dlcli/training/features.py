"""Features of a frozen backbone, computed once per row; the head is trained on them instead of the rows."""

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
from dlcli.preprocessing.protocols import Preprocessing
from dlcli.training.feature_store import FeatureStore
from dlcli.training.fields import Field, as_fields
from dlcli.training.loader import BatchLoader
from dlcli.training.network import Network

# Number of rows per forward pass of the backbone.
_ROWS = 64

# Maximum share of free memory for features of one part of the split; larger ones are read from disk.
_SHARE = 0.25

# The autocast type of each trainer precision that leaves the weights unchanged.
_AUTOCAST: Mapping[str, torch.dtype | None] = {
    **dict.fromkeys(("None", "32", "32-true")),
    **dict.fromkeys(("16", "16-mixed"), torch.float16),
    **dict.fromkeys(("bf16", "bf16-mixed"), torch.bfloat16),
}


class Features:
    """The features of the rows of a dataset.

    They are stored under a digest of everything they depend on: rows, preprocessing, backbone and its weights, device
    and precision. Folds, trials and later runs with the same digest share them, also those with other targets.

    Attributes:
        width: the number of features per row.

    Args:
        network: network with a frozen backbone.
        preprocessing: the fitted preprocessing.
        data: the raw rows.
        folder: folder of the stored features.
        device: device on which they are computed.
        precision: precision of the trainer; None means full precision.
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
        """Compute the missing features of some rows; `advanced` is called with the number of rows added."""
        with disk_errors(self.store.folder):
            self.store.fill(rows, self._of, advanced)

    def estimate(self, rows: np.ndarray) -> tuple[float, int]:
        """Estimate, from a few rows, the seconds that `compute` takes and the bytes that it writes."""
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
        """Return the features of some rows, `(N, F)`; missing ones are computed."""
        self.compute(rows)
        mapped = self.store.mapped()
        if len(rows) * mapped.shape[1] * mapped.itemsize < _SHARE * psutil.virtual_memory().available:
            return torch.from_numpy(mapped[rows])
        return MappedRows(torch.from_numpy(mapped), torch.from_numpy(rows))

    @property
    def in_full(self) -> bool:
        """Whether they are computed in full precision, like those of a saved model."""
        return self._type is None

    @property
    def _model(self) -> Any:
        """The model, which has a backbone."""
        return self._network.model

    def _of(self, rows: np.ndarray) -> Generator[tuple[np.ndarray, np.ndarray]]:
        """Yield the features of rows batch by batch; for texts, the longest come first."""
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
        """Return a digest of everything that the features depend on."""
        network, preprocessing = self._network, self._preprocessing
        digest = hashlib.blake2b(self._data.fingerprint_of_x.encode(), digest_size=16)
        digest.update(f"{self._device.type} {self._type}".encode())
        digest.update(json.dumps(self._model.feature_settings(), sort_keys=True, default=str).encode())
        backbone = self._model.backbone
        add_tensors(digest, (*backbone.named_parameters(), *backbone.named_buffers()))
        kind: Any = type(preprocessing)
        arguments = preprocessing.get_params()  # type: ignore[attr-defined]
        digest.update(f"{kind.__module__}.{kind.__qualname__} {arguments}".encode())
        if getattr(preprocessing, "transform_is_fitted", True):
            # Fitted attributes that differ between folds, but do not affect features.
            only_told: frozenset[str] = getattr(preprocessing, "only_told", frozenset())
            for name, value in sorted(vars(preprocessing).items()):
                if name not in only_told:
                    digest.update(f"{name} {np.asarray(value).tolist()!r}".encode())
        if network.on_device is not None:
            add_tensors(digest, network.on_device.named_buffers())
        return digest.hexdigest()


class MappedRows:
    """Selected rows of a tensor on disk, read batch by batch."""

    def __init__(self, values: Tensor, rows: Tensor, device: torch.device | str = "cpu") -> None:
        self._values, self._rows, self._device = values, rows, torch.device(device)

    @property
    def shape(self) -> torch.Size:
        """`(N, F)`."""
        return torch.Size((len(self._rows), *self._values.shape[1:]))

    @property
    def device(self) -> torch.device:
        """The device of the batches that are read."""
        return self._device

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._values[self._rows[rows]].to(self._device)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows of an index `(B,)`."""
        return self._values[self._rows[index.cpu()]].to(self._device)

    def to(self, device: torch.device) -> MappedRows:
        """Return the same rows, moved to a device when they are read."""
        return MappedRows(self._values, self._rows, device)
